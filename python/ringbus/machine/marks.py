"""The decorator that marks a function to be compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ringbus.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__ringbus_compiled__"


@dataclass(frozen=True, slots=True)
class Options:
    """How a function is compiled.

    Attributes:
        fastmath: whether sums of floats may be reordered, and no NaN or infinity is expected.
        boundscheck: whether an index out of range raises; otherwise it is undefined, as in C.
    """

    fastmath: bool = False
    boundscheck: bool = False


@overload
def compiled(handler: F) -> F: ...
@overload
def compiled(*, fastmath: bool = False, boundscheck: bool = False) -> Callable[[F], F]: ...
def compiled(handler: F | None = None, *, fastmath: bool = False, boundscheck: bool = False) -> F | Callable[[F], F]:
    """Mark `h(event, state, sequence, end_of_batch)` as a handler that is compiled to machine code, by Numba.

    It is compiled where it is added to a group, together with the loop over the events, and kept on disk for the next
    process. Its thread runs without the GIL. It may take fewer arguments, from the left. The function itself stays an
    ordinary Python function.

    Args:
        handler: a function. `event` has the fields of the slot, to be read and written; `state` is what
            `group.add(..., state=)` was given. What it returns is ignored, but for a whole number that is not 0: that
            is a failure, as an exception is.
        fastmath: let sums of floats be reordered, and expect no NaN or infinity.
        boundscheck: raise IndexError for an index out of range; without it that is undefined, as in C.

    Raises:
        ConfigurationError: no function.

    Cost: nothing here; about half a second in `add`, some milliseconds once it is on disk.

    Example:
        >>> @compiled
        ... def vwap(event, state):
        ...     state.volume += event.quantity
        ...     state.value += event.price * event.quantity
    """
    options = Options(fastmath, boundscheck)

    def mark(function: F) -> F:
        if function_of(function) is None:
            raise ConfigurationError(f"compiled was given {function!r}", "decorate a function")
        setattr(function, _MARK, options)
        return function

    return mark if handler is None else mark(handler)


def function_of(handler: object) -> Callable[..., Any] | None:
    """The Python function that is to be compiled: itself, or that of a dispatcher of Numba's."""
    function = getattr(handler, "py_func", handler)
    return (
        function if callable(function) and hasattr(function, "__code__") and hasattr(function, "__globals__") else None
    )


def options_of(handler: object) -> Options | None:
    """How the handler is to be compiled; None when it is not."""
    found = getattr(handler, _MARK, None)
    return found if isinstance(found, Options) else None
