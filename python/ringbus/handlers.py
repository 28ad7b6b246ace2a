"""What kind of handler a callable is, and what it takes."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ringbus.errors import ConfigurationError
from ringbus.event import EventMeta
from ringbus.machine.foreign import is_foreign
from ringbus.machine.marks import options_of

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__ringbus_handler__"

_SIGNATURES = {
    2: "h(events[, first_sequence])",
    3: "h(event[, sequence[, end_of_batch]])",
    4: "h(event[, state[, sequence[, end_of_batch]]])",
}
"""What a handler takes, by the most arguments that it may have."""


def batch(handler: F) -> F:
    """Mark `h(events, first_sequence)` as a handler of batches.

    It gets a NumPy structured array on the slots themselves: no copy. An array ends where the ring wraps,
    where an event of another type or a failed claim lies, and after `max_batch`. What it keeps of the
    array, it keeps as `.copy()`: a view that is still alive after the call halts the group with
    KeptViewError, since its slots are about to be written again.

    Args:
        handler: a function, method or callable object of one or two positional arguments.

    Shapes:
        events: (n,), structured, `Trade.dtype` (strided where slots have headers).

    Example:
        >>> @batch
        ... def total(events, first_sequence):
        ...     print(float(events["price"].sum()))
    """
    try:
        setattr(handler, _MARK, "batch")
    except (AttributeError, TypeError):
        # Methods and built-in functions have no room for a mark.
        handler = typing.cast("F", functools.partial(handler))
        setattr(handler, _MARK, "batch")
    return handler


@dataclass(frozen=True, slots=True)
class Shape:
    """What a handler is.

    Attributes:
        kind: "event", "batch", "compiled" or "async".
        arity: positional arguments it is called with.
        types: the event types its annotation names; empty where it names none, None where it cannot be evaluated.
    """

    kind: str
    arity: int
    types: tuple[EventMeta, ...] | None


def shape_of(name: str, handler: object) -> Shape:
    """Look at a handler's marks and signature.

    Raises:
        ConfigurationError: not callable, or a signature that no handler has.
    """
    if is_foreign(handler):
        return Shape("compiled", 4, ())
    if not callable(handler):
        raise ConfigurationError(f"the handler of {name!r} is {handler!r}", "pass a function or a callable object")
    function = _function(handler)
    if getattr(handler, _MARK, None) == "batch" or getattr(function, _MARK, None) == "batch":
        kind, most = "batch", 2
    elif options_of(handler) is not None:
        kind, most = "compiled", 4
    elif inspect.iscoroutinefunction(function):
        kind, most = "async", 3
    else:
        kind, most = "event", 3
    return Shape(
        kind, _arity(name, handler, most, f"a handler is {_SIGNATURES[most]}"), _annotated_types(handler, function)
    )


def source_shape(name: str, source: object) -> Shape:
    """Look at the signature of a source: `f(event[, state[, sequence]])`, or a C function.

    Raises:
        ConfigurationError: a signature that no source has.
    """
    if is_foreign(source):
        return Shape("compiled", 3, ())
    if not callable(source):
        raise ConfigurationError(f"the source {name!r} is {source!r}", "pass a function or a C function")
    takes = "a source is f(event[, state[, sequence]])"
    return Shape("compiled", _arity(name, source, 3, takes), _annotated_types(source, _function(source)))


def _function(handler: Callable[..., object]) -> Callable[..., object]:
    """The function that runs: an object's `__call__`, a partial's function."""
    while not inspect.isfunction(handler) and callable(inner := getattr(handler, "func", None)):
        handler = inner
    if inspect.isroutine(handler) or isinstance(handler, type):
        return handler
    return typing.cast("Callable[..., object]", type(handler).__call__)


def _arity(name: str, handler: Callable[..., object], most: int, takes: str) -> int:
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (ValueError, TypeError):
        return 1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    anything = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(required) > most or named or not (positional or anything):
        raise ConfigurationError(f"the function of {name!r} takes {inspect.signature(handler)}", takes)
    return max(1, len(required))


def _annotated_types(handler: Callable[..., object], function: Callable[..., object]) -> tuple[EventMeta, ...] | None:
    """The event types that the annotation of the first argument names; None where it cannot be evaluated."""
    try:
        first = next(iter(inspect.signature(handler).parameters), None)
    except (ValueError, TypeError):
        return ()
    annotation = getattr(function, "__annotations__", {}).get(first)
    if isinstance(annotation, str):
        # This one alone: another one of the handler may name what only type checkers know.
        alone = types.FunctionType((lambda: None).__code__, getattr(function, "__globals__", {}))
        alone.__annotations__ = {"event": annotation}
        try:
            annotation = typing.get_type_hints(alone).get("event")
        except (NameError, AttributeError, TypeError, SyntaxError):
            return None
    return event_types(annotation)


def event_types(annotation: object) -> tuple[EventMeta, ...]:
    """The event types in `Trade`, `Trade | Quote` or `Union[Trade, Quote]`; none where there is another type."""
    if isinstance(annotation, EventMeta):
        return (annotation,)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = typing.get_args(annotation)
        if all(isinstance(member, EventMeta) for member in members):
            return members
    return ()


def indices(wanted: Sequence[object], ring_types: Sequence[EventMeta], who: str) -> list[int] | None:
    """The places of the wanted types among the ring's; None is all.

    Raises:
        ConfigurationError: the ring has no such type.
    """
    if not wanted:
        return None
    found: set[int] = set()
    for event_type in wanted:
        places = {
            place
            for place, known in enumerate(ring_types)
            if isinstance(event_type, type) and issubclass(known, event_type)
        }
        if not places:
            has = ", ".join(known.__name__ for known in ring_types) or "objects"
            fact = f"{who} takes {getattr(event_type, '__name__', event_type)!r}, which is not on the ring"
            raise ConfigurationError(fact, f"the ring has {has}")
        found |= places
    return sorted(found)
