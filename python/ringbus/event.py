"""`Event`, the base of every event class.

A class declares its fields as a dataclass does. What it gets is a fixed layout, a NumPy structured type, and instances
that are a pointer to their data: in a slot of a ring while a handler has them, their own when they are kept or copied.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np

from ringbus import _core
from ringbus.errors import FieldError, LayoutError, SchemaError
from ringbus.fields import array, blob, decimal, field, text
from ringbus.schema import Column, layout, merged, native_schema, own_columns


@dataclass_transform(kw_only_default=True, field_specifiers=(text, blob, array, field, decimal))
class EventMeta(_core.EventType):
    """Lays an event class out when it is made."""

    __columns__: tuple[Column, ...] = ()
    __schema__: _core.Schema
    dtype: np.dtype[np.void]

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> EventMeta:
        """Make the class, its NumPy type, its native schema, and a descriptor for each field."""
        if namespace.setdefault("__slots__", ()) != ():
            raise SchemaError(f"{name} has __slots__ of its own", "declare fields, or keep the state elsewhere")
        cls = super().__new__(mcs, name, bases, namespace, **options)
        inherited = _inherited(name, bases)
        own = own_columns(cls, sys._getframe(1).f_locals)
        columns = merged(name, inherited, own)
        if columns:
            _check_names(cls, own)
            _lay_out(cls, columns)
        return cls

    def __setattr__(cls, name: str, value: Any) -> None:
        """Refuse to replace a field; anything else is as usual."""
        if any(column.name == name for column in cls.__columns__):
            raise SchemaError(f"{cls.__name__}.{name} is a field and cannot be replaced", "derive a class instead")
        super().__setattr__(name, value)


def _inherited(name: str, bases: tuple[type, ...]) -> tuple[Column, ...]:
    """The fields of the one base that has some."""
    found = [base for base in bases if isinstance(base, EventMeta) and base.__columns__]
    if len(found) > 1:
        names = " and ".join(base.__name__ for base in found)
        raise SchemaError(f"{name} inherits fields from {names}", "derive from one of them")
    return found[0].__columns__ if found else ()


def _check_names(cls: EventMeta, own: list[Column]) -> None:
    """A field may not hide what the class needs itself."""
    for column in own:
        if column.name.startswith("_"):
            raise SchemaError(f"{cls.__name__}.{column.name} begins with an underscore", "give it a public name")
        if hasattr(Event, column.name) or column.name == "dtype":
            fact = f"{cls.__name__}.{column.name} is a name that events need themselves"
            raise SchemaError(fact, f"call it {column.name}_, or something better")


def _lay_out(cls: EventMeta, columns: list[Column]) -> None:
    dtype = layout(columns)
    schema = native_schema(cls.__name__, columns, dtype)
    _core.bind(cls, schema, methods=_has_methods(cls))
    facts = {"dtype": dtype, "__schema__": schema, "__columns__": tuple(columns), "__match_args__": ()}
    for name, value in facts.items():
        type.__setattr__(cls, name, value)


def _has_methods(cls: EventMeta) -> bool:
    """Does the class, or a base of it below Event, define functions to call on an instance?"""
    own = itertools.takewhile(lambda base: base is not Event, cls.__mro__)
    return any(isinstance(value, types.FunctionType) for base in own for value in vars(base).values())


class Event(_core.Event, metaclass=EventMeta):
    """Base of all event classes. Derive from it and annotate the fields.

    Fields are given by name; one without a default has to be given. A derived class inherits fields, and its own come
    behind them. Methods and properties are kept. An event is mutable, has no other attributes than its fields, compares
    by them, and cannot be hashed.

    Raises:
        SchemaError: for a field that does not exist, or one that is missing.
        FieldError: for a value that does not fit.

    Threads:
        As for any mutable object: whoever has it, writes it.

    Cost:
        One object, data included. Reading a number makes one Python number; text, arrays and blobs are copied.

    Example:
        >>> class Trade(Event):
        ...     symbol: str = text(16)
        ...     price: float
        ...     quantity: float = 1.0
        >>> trade = Trade(symbol="BTC-USD", price=63241.5)
        >>> trade.price *= 2
        >>> trade
        Trade(symbol='BTC-USD', price=126483.0, quantity=1.0)
        >>> Trade.dtype.names, Trade.dtype.itemsize
        (('symbol', 'price', 'quantity'), 32)
    """

    dtype: ClassVar[np.dtype[np.void]]
    __schema__: ClassVar[_core.Schema]
    # A mutable object cannot be hashed.
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    @classmethod
    def from_record(cls, record: np.void | np.ndarray[tuple[()], np.dtype[np.void]], *, published_ns: int = 0) -> Self:
        """Make an event from one element of an array of its type.

        Args:
            record: an element of an array whose type is `cls.dtype`.
            published_ns: the publish time to go with it.

        Raises:
            LayoutError: when the element is of another type.
        """
        found = getattr(record, "dtype", type(record))
        if found != cls.dtype or getattr(record, "shape", ()) != ():
            raise LayoutError(f"no record of {cls.__name__}", found, cls.dtype)
        return _core.event_from_bytes(cls, np.asarray(record).tobytes(), published_ns)

    def asdict(self) -> dict[str, Any]:
        """Return the fields as a dictionary, in order."""
        return {column.name: getattr(self, column.name) for column in type(self).__columns__}

    def __eq__(self, other: object) -> bool:
        """Compare field by field; the publish time does not count."""
        if type(self) is not type(other):
            return NotImplemented
        names = [column.name for column in type(self).__columns__]
        return all(_equal(getattr(self, name), getattr(other, name)) for name in names)

    def __repr__(self) -> str:
        fields = (f"{column.name}={_shown(self, column.name)}" for column in type(self).__columns__)
        return f"{type(self).__name__}({', '.join(fields)})"

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by fields, so that the layout may differ where it is read."""
        return _restored, (type(self), self.asdict(), self.published_ns)


def _restored(cls: type[Event], fields: Mapping[str, Any], published_ns: int) -> Event:
    """Make a pickled event again."""
    event = cls.__new__(cls)
    for name, value in fields.items():
        setattr(event, name, value)
    return _core.event_from_bytes(cls, event.record().tobytes(), published_ns)


def _equal(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


def _shown(event: Event, name: str) -> str:
    """The value of a field, or why it cannot be read."""
    try:
        return repr(getattr(event, name))
    except FieldError as error:
        return f"<unreadable: {error}>"
