"""What happens after a handler has failed.

Source: LMAX Disruptor 4.0, `ExceptionHandler`. Differs: the default halts and hands the error to whoever
publishes next, where the original leaves the producer blocked for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

from ringbus.errors import ConfigurationError

if TYPE_CHECKING:
    from ringbus.consumer import Consumer


class _Decline:
    """The type of `DECLINE`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ringbus.DECLINE"

    def __reduce__(self) -> str:
        return "DECLINE"


DECLINE: Final = _Decline()
"""Return this from a handler to say that it did not take the event: it counts as a failure under its policy."""


@runtime_checkable
class Policy(Protocol):
    """Decides what follows a failure."""

    def handle(self, error: BaseException, sequence: int, event: object, consumer: Consumer) -> None:
        """Return to go on with the next event; raise to halt the group.

        Args:
            error: what the handler raised; a HandlerError where it returned `DECLINE`.
            sequence: where it happened; of a batch, its first.
            event: the event, a copy of its own; of a batch, a copied array; None where there is none.
            consumer: whose handler it was.
        """


class Skip:
    """Go on with the next event."""

    def handle(self, error: BaseException, sequence: int, event: object, consumer: Consumer) -> None:
        """Do nothing: the event counts as handled."""


class Halt:
    """Halt the group; whoever publishes next, or leaves the group, gets the error."""

    def handle(self, error: BaseException, sequence: int, event: object, consumer: Consumer) -> None:
        """Raise the error again."""
        raise error


OnError = Literal["halt", "skip"] | Policy


def policy(on_error: object) -> Policy:
    """Return the policy that a name or an object stands for.

    Raises:
        ConfigurationError: neither a name nor an object with `handle`.
    """
    if on_error == "halt":
        return Halt()
    if on_error == "skip":
        return Skip()
    if isinstance(on_error, Policy):
        return on_error
    remedy = "use 'halt', 'skip', or an object with handle(error, sequence, event, consumer)"
    raise ConfigurationError(f"on_error is {on_error!r}", remedy)


def name_of(of: Policy) -> str | None:
    """The name of a policy that has one, by which another process knows it too."""
    return {Halt: "halt", Skip: "skip"}.get(type(of))
