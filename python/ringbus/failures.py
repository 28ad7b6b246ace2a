"""What the handlers of a group raised, and how it reaches those who should know."""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ringbus.errors import HandlerError, KeptViewError
from ringbus.policies import Policy, Skip

if TYPE_CHECKING:
    import asyncio

    from ringbus.consumer import Consumer
    from ringbus.group import ConsumerGroup

    GroupRef = weakref.ref[ConsumerGroup[Any]]
    ConsumerRef = weakref.ref[Consumer]


class Failures:
    """The errors of one group, in the order in which they happened."""

    def __init__(self, group: str) -> None:
        """Begin without any."""
        self._group = group
        self._errors: list[BaseException] = []
        self.told = False

    def __bool__(self) -> bool:
        return bool(self._errors)

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """The errors so far."""
        return tuple(self._errors)

    def add(self, error: BaseException) -> None:
        """Take one more down."""
        self._errors.append(error)
        self.told = False

    def raise_any(self) -> None:
        """Raise the error there is; several as one group."""
        self.told = bool(self._errors)
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise BaseExceptionGroup(f"handlers of group {self._group!r} failed", list(self._errors))

    def note(self, winner: BaseException) -> None:
        """Add the errors to one that is on its way already."""
        self.told = bool(self._errors)
        for error in self._errors:
            if error is not winner:
                cause = f", from {error.__cause__!r}" if error.__cause__ is not None else ""
                winner.add_note(f"group {self._group!r}: {type(error).__name__}: {error}{cause}")

    def reporter(
        self, group: GroupRef, consumer: ConsumerRef, policy: Policy
    ) -> Callable[[BaseException | None, int, object], bool]:
        """The function that a consumer's loop asks after a failure: True goes on with the next event."""

        def report(error: BaseException | None, sequence: int, event: object) -> bool:
            if type(policy) is Skip and isinstance(error, Exception | None) and not isinstance(error, KeptViewError):
                return True
            owner, which = group(), consumer()
            if owner is None or which is None:
                return False
            failure = _decide(error, sequence, event, which, policy)
            if failure is not None:
                owner.fail(failure)
            elif error is not None and isinstance(event, np.ndarray):
                _forget_views(error)
            return failure is None

        return report

    def guarded(self, group: GroupRef, run: Callable[[], None], name: str) -> Callable[[], None]:
        """A thread's function: what the loop itself raises is a failure too. Does not keep the group alive."""

        def target() -> None:
            try:
                run()
            except BaseException as error:  # noqa: BLE001 (kept, and raised where the group is left)
                owner = group()
                if owner is not None:
                    owner.fail(error)
            owner = group()
            if owner is not None:
                owner.runner_ended()

        return target

    def noted(self, group: GroupRef) -> Callable[[asyncio.Task[None]], None]:
        """What follows when a task ends: what it raised is a failure, and a cancelled one halts its group."""

        def done(task: asyncio.Task[None]) -> None:
            owner = group()
            if owner is None:
                return
            if task.cancelled():
                owner.halt_soon()
            elif (error := task.exception()) is not None:
                owner.fail(error)
            owner.runner_ended()

        return done


def _decide(
    error: BaseException | None, sequence: int, event: object, consumer: Consumer, policy: Policy
) -> BaseException | None:
    """Ask the policy; the failure that halts the group, or None to go on."""
    if error is not None and (isinstance(error, KeptViewError) or not isinstance(error, Exception)):
        return error
    failure = _handler_error(error, sequence, event, consumer.name)
    try:
        policy.handle(failure if error is None else error, sequence, event, consumer)
    except BaseException as raised:  # noqa: BLE001 (what a policy raises halts the group)
        if raised is not error and raised is not failure:
            failure.__cause__ = raised
        return failure
    return None


def _forget_views(error: BaseException) -> None:
    """Take the local variables out of the tracebacks of an error: views of slots may be among them."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        chained = (one.__cause__, one.__context__)
        waiting += [other for other in chained if other is not None and id(other) not in seen]


def _handler_error(error: BaseException | None, sequence: int, event: object, consumer: str) -> HandlerError:
    reason = "the handler declined" if error is None else None
    failure = HandlerError(consumer, sequence, _shown(event), reason)
    failure.__cause__ = error
    return failure


def _shown(event: object) -> str:
    try:
        return repr(event)
    except Exception as error:  # noqa: BLE001 (an error message must not fail)
        return f"<{type(event).__name__} whose repr raises {type(error).__name__}>"
