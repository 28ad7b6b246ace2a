"""Waiting for runners to be done with a sequence, or moving them on to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ringbus import _core
from ringbus.asynchronous import AsyncProcessor
from ringbus.deadline import Deadline
from ringbus.errors import ConfigurationError, WaitTimeout
from ringbus.failures import Failures
from ringbus.poller import MOST_CONSUMERS
from ringbus.remote import RemoteProcessor
from ringbus.runners import Runner

_LOOK = 0.001
"""Seconds between looks at a watcher of a read-only ring."""
_SLICE = 0.05
"""Seconds between looks at failures while a drain waits."""


def laggards(runners: Iterable[Runner], target: int) -> tuple[str, ...]:
    """Who is not done with `target`, and by how much, the slowest first."""
    behind = [(target - runner.sequence, runner.name) for runner in runners if not runner.left]
    return tuple(f"{name} ({lag} behind)" for lag, name in sorted(behind, reverse=True) if lag > 0)


def check_done(what: str, timeout: float | None, late: tuple[str, ...]) -> None:
    """Check that nobody was late.

    Raises:
        WaitTimeout: somebody was.
    """
    if late:
        raise WaitTimeout(what, timeout or 0.0, late)


def wait_until_done(
    native: _core.Ring,
    runners: Sequence[Runner],
    timeout: float | None,
    failures: Failures,
    moves: Callable[[Runner], bool],
) -> tuple[str, ...]:
    """Wait until each is done with what is published now. Ends early when one fails or is halted.

    Args:
        native: their ring.
        runners: those that are waited for.
        timeout: the longest wait, in seconds; None waits for ever.
        failures: those of their group.
        moves: whether somebody still moves a runner on.

    Returns:
        Those that are not done in time.
    """
    target, deadline = native.published(), Deadline(timeout)
    runners = [runner for runner in runners if not runner.left]
    for runner in runners:
        while not failures and not runner.left and not _reaches(native, runner, target, deadline.slice(_SLICE)):
            if not moves(runner):
                return ()
            if deadline.is_over:
                return laggards(runners, target)
    return ()


def _reaches(native: _core.Ring, runner: Runner, target: int, seconds: float) -> bool:
    """Whether the runner is done with `target` within so many seconds."""
    if runner.index < MOST_CONSUMERS:
        return native.wait_done(runner.index, target, seconds)
    # A watcher of a read-only ring has no word in it to wait on.
    deadline = Deadline(seconds)
    while runner.sequence < target and not deadline.is_over:
        time.sleep(_LOOK)
    return runner.sequence >= target


def check_can_run_out(ordered: Iterable[Runner]) -> None:
    """Check that the caller's own thread can run them.

    Raises:
        ConfigurationError: an async handler, or one in another process.
    """
    for runner in ordered:
        if isinstance(runner, AsyncProcessor | RemoteProcessor):
            fact = f"{runner.name!r} is an async handler or runs in a process of its own"
            raise ConfigurationError(fact, "start the group in place of run_once")


def run_out(ordered: Sequence[Any], target: int, capacity: int) -> int:
    """Run each in turn on the caller's thread, until all are done with `target` or none can go on.

    Returns:
        The events handled.
    """
    before = _events(ordered)
    # A step over what it missed and a ring of events is all there can be for each, whatever a segment says.
    left = 2 * capacity * len(ordered)
    while (moved := _run_all(ordered)) and any(runner.sequence < target for runner in ordered):
        left -= min(moved, capacity)
        if left <= 0:
            break
    return _events(ordered) - before


def _run_all(ordered: Iterable[_core.Processor]) -> int:
    """Let each handle a batch, in the order of the graph; the sequences that they are done with."""
    moved = 0
    for runner in ordered:
        done = runner.step() if runner.begin() else None
        if done is None:
            return 0
        moved += done
    return moved


def _events(runners: Iterable[_core.Processor]) -> int:
    return sum(runner.events for runner in runners)
