"""Making a ring: its options, the checks that they go together, and what the core is told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Literal, TypedDict

import numpy as np

from ringbus import _core
from ringbus.errors import CapacityError, ConfigurationError, SchemaError
from ringbus.event import EventMeta
from ringbus.handlers import event_types
from ringbus.waits import WaitStrategy

_MOST_TYPES = 64
"""The most event types of a ring."""
_NAME_BYTES = 64
"""The most bytes of a consumer's name."""


class RingOptions(TypedDict, total=False):
    """The options of any `RingBuffer`."""

    producers: Literal["multi", "single"]
    wait: str | WaitStrategy
    timeout: float | None
    stamp: bool
    start: int
    require: Sequence[str]
    prefault: bool
    huge_pages: bool


class EventRingOptions(RingOptions, total=False):
    """The options of a `RingBuffer` of events, which may be shared."""

    name: str | None
    replace: bool


def new_ring(
    event: object,
    capacity: object,
    *,
    strategy: WaitStrategy,
    producers: str,
    stamp: bool,
    start: int,
    require: Sequence[str],
    factory: Callable[[], Any] | None,
    clear: Callable[[Any], object] | None,
    name: str | None,
    replace: bool,
    prefault: bool,
    huge_pages: bool,
) -> _core.Ring:
    """Check the options of `RingBuffer` and make the ring.

    Raises:
        CapacityError: no power of two, or too large.
        ConfigurationError: options that do not exist or do not go together.
        SchemaError: no event types, or one without fields.
    """
    types = _event_types(event, factory, clear)
    awaited = _names(require)
    check_choice("producers", producers, ("multi", "single"))
    facts = _facts(
        types,
        label=_label(types, factory, capacity, name),
        capacity=_capacity(capacity),
        multi=producers == "multi",
        wait=strategy.facts(),
        stamp=bool(stamp),
        start=start,
        prefault=bool(prefault),
        huge_pages=bool(huge_pages),
        factory=factory,
        clear=clear,
        name=_shared_name(name, factory, replace),
        replace=bool(replace),
    )
    native = _core.Ring(facts)
    if huge_pages and native.pages == "ordinary":
        warnings.warn("the system gave no huge pages; the ring has ordinary ones", ResourceWarning, stacklevel=3)
    native.recover()
    _hold(native, awaited)
    return native


def attached_ring(
    name: str, segment: _core.Segment, types: tuple[EventMeta, ...], strategy: WaitStrategy
) -> _core.Ring:
    """A ring on a segment that this process has attached to."""
    facts = _facts(
        types,
        label=f"the ring {name!r}",
        capacity=segment.capacity,
        multi=segment.multi,
        wait=strategy.facts(),
        stamp=segment.stamp,
        start=segment.start,
        name=name,
        attached=segment,
    )
    return _core.Ring(facts)


def _facts(types: tuple[EventMeta, ...], **facts: object) -> SimpleNamespace:
    unsaid: dict[str, object] = {
        "prefault": False,
        "huge_pages": False,
        "factory": None,
        "clear": None,
        "replace": False,
        "attached": None,
    }
    return SimpleNamespace(schemas=[(known.__schema__, known) for known in types], **(unsaid | facts))


def _hold(native: _core.Ring, awaited: Sequence[str]) -> None:
    """Keep the places of those that have not come yet; a ring that was left behind has kept its own."""
    known = {row[1] for row in native.consumers()}
    for name in awaited:
        if name not in known:
            native.hold(name)


def checked_types(event: object) -> tuple[EventMeta, ...]:
    """The event types that a ring is given.

    Raises:
        SchemaError: no event types, or one without fields.
    """
    return _event_types(event, None, None)


def _event_types(event: object, factory: object, clear: object) -> tuple[EventMeta, ...]:
    if factory is not None:
        if event is not None:
            raise ConfigurationError(
                "a ring has event types or a factory, and this one was given both", "leave one out"
            )
        if not callable(factory):
            raise ConfigurationError(f"factory is {factory!r}", "pass a callable without arguments")
        if clear is not None and not callable(clear):
            raise ConfigurationError(f"clear is {clear!r}", "pass a callable that takes the object")
        return ()
    if clear is not None:
        raise ConfigurationError("clear= is for rings of objects", "give the ring a factory=, or leave clear out")
    types = event_types(event)
    if not types:
        raise SchemaError(
            f"RingBuffer was given {event!r}", "pass a class that derives from ringbus.Event, or factory="
        )
    if len(types) > _MOST_TYPES:
        raise SchemaError(f"the ring was given {len(types)} event types", f"use at most {_MOST_TYPES}")
    for known in types:
        if getattr(known, "__schema__", None) is None:
            raise SchemaError(f"{known.__name__} has no fields", "annotate at least one, as in price: float")
    return types


def _capacity(capacity: object) -> int:
    if isinstance(capacity, bool) or not isinstance(capacity, (int, np.integer)):
        raise CapacityError("capacity is not a whole number", capacity, "use a power of two, such as 1024")
    if capacity < 1:
        raise CapacityError("capacity is less than 1", int(capacity), "use a power of two, such as 1024")
    if capacity >= 1 << 63:
        raise CapacityError("capacity is more than any memory", int(capacity), "use a power of two, such as 1024")
    return int(capacity)


def _names(require: Sequence[str]) -> Sequence[str]:
    if isinstance(require, str):
        raise ConfigurationError(f"require is the text {require!r}", f"use a tuple of names: ({require!r},)")
    for name in require:
        awaited: object = name
        if not isinstance(awaited, str) or not 1 <= len(name.encode()) <= _NAME_BYTES or "\0" in name:
            remedy = f"a consumer's name has 1 to {_NAME_BYTES} bytes and no NUL"
            raise ConfigurationError(f"require names {name!r}", remedy)
    if len(set(require)) < len(require):
        raise ConfigurationError(f"require is {tuple(require)!r}", "name each consumer once")
    return require


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """Check that an option is one of those there are.

    Raises:
        ConfigurationError: it is none of them.
    """
    if value not in choices:
        raise ConfigurationError(f"{option} is {value!r}", f"use {' or '.join(repr(choice) for choice in choices)}")


def _shared_name(name: object, factory: object, replace: object) -> str | None:
    if name is not None and not isinstance(name, str):
        raise ConfigurationError(f"name is {name!r}", "use a text, or leave it out for a ring of this process")
    if name is not None and factory is not None:
        raise ConfigurationError("a ring of objects cannot be shared", "give it an event type, or leave name= out")
    if replace and name is None:
        raise ConfigurationError("replace= is for shared rings", "give the ring a name=, or leave replace= out")
    return name


def _label(types: tuple[EventMeta, ...], factory: object, capacity: object, shared: str | None = None) -> str:
    if shared is not None:
        return f"the ring {shared!r}"
    names = " | ".join(known.__name__ for known in types) or getattr(factory, "__name__", "objects")
    return f"the ring of {names}[{capacity}]"
