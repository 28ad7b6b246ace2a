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

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__ringbus_handler__"


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
        kind: "event", "batch" or "async".
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
    if not callable(handler):
        raise ConfigurationError(f"the handler of {name!r} is {handler!r}", "pass a function or a callable object")
    function = _function(handler)
    if getattr(handler, _MARK, None) == "batch" or getattr(function, _MARK, None) == "batch":
        kind, most = "batch", 2
    elif inspect.iscoroutinefunction(function):
        kind, most = "async", 3
    else:
        kind, most = "event", 3
    return Shape(kind, _arity(name, handler, most), _annotated_types(handler, function))


def _function(handler: Callable[..., object]) -> Callable[..., object]:
    """The function that runs: an object's `__call__`, a partial's function."""
    while not inspect.isfunction(handler) and callable(inner := getattr(handler, "func", None)):
        handler = inner
    if inspect.isroutine(handler) or isinstance(handler, type):
        return handler
    return typing.cast("Callable[..., object]", type(handler).__call__)


def _arity(name: str, handler: Callable[..., object], most: int) -> int:
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (ValueError, TypeError):
        return 1
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    anything = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(required) > most or named or not (positional or anything):
        takes = "h(events[, first_sequence])" if most == 2 else "h(event[, sequence[, end_of_batch]])"
        signature = inspect.signature(handler)
        raise ConfigurationError(f"the handler of {name!r} takes {signature}", f"a handler is {takes}")
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
