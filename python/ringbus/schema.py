"""From the annotations of an event class to its fixed layout."""

from __future__ import annotations

import decimal
import enum
import inspect
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, cast

import numpy as np

from ringbus import _core
from ringbus.errors import SchemaError
from ringbus.fields import MISSING, FieldSpec, native_kind, packer

#: What a plain annotation means.
_PLAIN: Final[Mapping[object, FieldSpec]] = {
    float: FieldSpec("f8", np.dtype("<f8")),
    int: FieldSpec("i8", np.dtype("<i8")),
    bool: FieldSpec("bool", np.dtype("?")),
}

#: The annotation that goes with a declaration.
_PARTNER: Final[Mapping[str, type]] = {"text": str, "blob": bytes, "decimal": decimal.Decimal}

#: What is missing beside an annotation that does not say how much room it takes.
_INCOMPLETE: Final[Mapping[object, str]] = {
    str: "ringbus.text(16)",
    bytes: "ringbus.blob(64)",
    decimal.Decimal: "ringbus.decimal(2)",
    np.ndarray: "ringbus.array('f8', 3)",
    np.datetime64: "ringbus.field('datetime64[ns]')",
    np.timedelta64: "ringbus.field('timedelta64[ns]')",
}


@dataclass(frozen=True)
class Column:
    """One field of an event class.

    Attributes:
        name: the field's name.
        spec: how it is stored, and its default.
        members: the enumeration, if it is one.
    """

    name: str
    spec: FieldSpec
    members: type[enum.Enum] | None = None


def own_columns(cls: type, local_names: Mapping[str, Any] | None = None) -> list[Column]:
    """Return the fields that a class declares itself, in order.

    Args:
        cls: the class, with the defaults still among its attributes.
        local_names: names beside those of the module, for annotations that are strings.

    Raises:
        SchemaError: when an annotation says nothing that can be stored.
    """
    hints = _own_hints(cls, local_names)
    for name, value in vars(cls).items():
        if isinstance(value, FieldSpec) and name not in hints:
            raise SchemaError(f"{cls.__name__}.{name} has no annotation", f"write {name}: str = text(16), or so")
    return [
        _column(f"{cls.__name__}.{name}", name, hint, vars(cls).get(name, MISSING))
        for name, hint in hints.items()
        if not _is_class_variable(hint)
    ]


def _own_hints(cls: type, local_names: Mapping[str, Any] | None) -> dict[str, Any]:
    """The annotations of the class itself, evaluated: in its body first, then where it stands, then in its module."""
    own = inspect.get_annotations(cls)
    body = {name: value for name, value in vars(cls).items() if name not in own}
    holder = type(cls.__name__, (), {"__annotations__": own, "__module__": cls.__module__})
    names = {**(local_names or {}), **body, cls.__name__: cls}
    try:
        return typing.get_type_hints(holder, None, names, include_extras=True)
    except (NameError, SyntaxError, TypeError) as error:
        fact = f"an annotation of {cls.__name__} cannot be evaluated ({error})"
        raise SchemaError(fact, "import the name in the module, not only for type checkers") from error


def _is_class_variable(hint: object) -> bool:
    return hint is ClassVar or typing.get_origin(hint) is ClassVar


def _column(label: str, name: str, hint: Any, value: Any) -> Column:
    """The field that an annotation and what is assigned to it make together."""
    told = [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, FieldSpec)]
    plain = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    if isinstance(value, FieldSpec):
        told, default = [value], value.default
    else:
        default = value
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return Column(name, _enum_spec(label, plain, told, default), plain)
    spec = told[0] if told else _PLAIN.get(plain)
    if spec is None:
        raise _unknown(label, name, plain)
    partner = _PARTNER.get(spec.kind)
    if partner is not None and plain not in (partner, Any):
        fact = f"{label} is annotated {_called(plain)} but declared {spec.kind}"
        raise SchemaError(fact, f"annotate {_called(partner)}")
    return Column(name, replace(spec, default=default))


def _unknown(label: str, name: str, plain: Any) -> SchemaError:
    example = _INCOMPLETE.get(plain) or _INCOMPLETE.get(typing.get_origin(plain))
    if example:
        remedy = f"write {name}: {_called(plain)} = {example}"
        return SchemaError(f"{label} is annotated {_called(plain)}, which does not say its size", remedy)
    fact = f"{label} is annotated {_called(plain)}, which has no fixed layout"
    return SchemaError(fact, "use int, float, bool, an Enum, text(n), blob(n), array(), field() or decimal(n)")


def _called(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _enum_spec(label: str, members: type[enum.Enum], told: list[FieldSpec], default: Any) -> FieldSpec:
    """How the numbers of an enumeration are stored: as told, else as int64."""
    stored = told[0].dtype if told else np.dtype("<i8")
    if stored.kind not in "iu":
        raise SchemaError(f"{label} stores an enumeration as {stored}", "store its number as an integer type")
    info = np.iinfo(stored)
    for member in members:
        number = member.value
        if not isinstance(number, int) or not info.min <= number <= info.max:
            fact = f"{label}: {members.__name__}.{member.name} has the value {number!r}, which {stored} cannot hold"
            raise SchemaError(fact, "number the members, or declare a wider type with field()")
    return FieldSpec("enum", stored, default)


def merged(label: str, inherited: Iterable[Column], own: Iterable[Column]) -> list[Column]:
    """Return the inherited fields, then the new ones. A field declared again may only change its default.

    Args:
        label: the class, for the error.
        inherited: the fields of the base.
        own: what the class itself declares.
    """
    columns = {column.name: column for column in inherited}
    for column in own:
        known = columns.get(column.name)
        if known and (known.spec.kind, known.spec.dtype, known.members) != (
            column.spec.kind,
            column.spec.dtype,
            column.members,
        ):
            fact = f"{label}.{column.name} is declared again as {column.spec.dtype}, and was {known.spec.dtype}"
            raise SchemaError(fact, "give the new field another name")
        columns[column.name] = column
    return list(columns.values())


def layout(columns: Iterable[Column]) -> np.dtype[np.void]:
    """Return the aligned NumPy structured type of some fields."""
    return np.dtype([(column.name, column.spec.dtype) for column in columns], align=True)


def native_schema(name: str, columns: list[Column], dtype: np.dtype[np.void]) -> _core.Schema:
    """Return the native schema: what rings and descriptors work with.

    Args:
        name: the class.
        columns: its fields in order.
        dtype: their layout.

    Raises:
        FieldError: when a default does not fit its field.
    """
    facts = [_facts(name, column, _offset(dtype, column.name)) for column in columns]
    return _core.Schema(name, dtype, facts, _document(name, columns, dtype))


def _offset(dtype: np.dtype[np.void], name: str) -> int:
    fields = cast("Mapping[str, tuple[np.dtype[Any], int]]", dtype.fields)
    return fields[name][1]


def _facts(name: str, column: Column, offset: int) -> tuple[Any, ...]:
    spec = column.spec
    required = spec.default is MISSING
    default = None if required else spec.default
    stored = _stored(spec.dtype)
    size = spec.dtype.itemsize
    return column.name, _kind(column), stored, offset, size, _extra(name, column), required, default


def _kind(column: Column) -> str:
    return column.spec.kind


def _stored(dtype: np.dtype[Any]) -> str:
    """A NumPy type as text that says all of it."""
    base, shape = dtype.subdtype or (dtype, ())
    return f"{base.descr if base.names else base.str}{list(shape) if shape else ''}"


def _extra(name: str, column: Column) -> Any:
    """What the native layer needs beside kind, offset and size."""
    spec = column.spec
    if spec.kind == "decimal":
        return spec.places
    if column.members is not None:
        return column.members, {member.value: member for member in column.members}, native_kind(spec.dtype)
    if spec.kind in ("array", "scalar"):
        base, shape = spec.dtype.subdtype or (spec.dtype, ())
        return spec.dtype, base, list(shape), packer(f"{name}.{column.name}", spec.dtype)
    return None


def _document(name: str, columns: list[Column], dtype: np.dtype[np.void]) -> str:
    """The layout as JSON; the native schema adds the bytes of the defaults."""
    fields = [_described(column, _offset(dtype, column.name)) for column in columns]
    document = {"event": name, "itemsize": dtype.itemsize, "alignment": dtype.alignment, "fields": fields}
    return json.dumps(document, separators=(",", ":"))


def _described(column: Column, offset: int) -> dict[str, Any]:
    spec = column.spec
    described = {
        "name": column.name,
        "kind": spec.kind,
        "dtype": _stored(spec.dtype),
        "offset": offset,
        "size": spec.dtype.itemsize,
        "required": spec.default is MISSING,
    }
    if spec.kind == "decimal":
        described["places"] = spec.places
    if column.members is not None:
        described["members"] = {member.name: member.value for member in column.members}
    return described
