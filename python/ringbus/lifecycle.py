"""Groups that run when the interpreter ends, and groups that nobody refers to any more."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringbus.group import ConsumerGroup
    from ringbus.ring import RingBuffer

EXIT_SECONDS = 5.0
"""The longest drain at the end of the interpreter where a group has no `drain_timeout`."""

_all: weakref.WeakSet[ConsumerGroup[Any]] = weakref.WeakSet()
_running: weakref.WeakSet[ConsumerGroup[Any]] = weakref.WeakSet()
_pid = os.getpid()


def register(group: ConsumerGroup[Any]) -> None:
    """Know a group."""
    _all.add(group)


def running(group: ConsumerGroup[Any]) -> None:
    """Stop the group at the end of the interpreter, and halt its threads if nobody refers to it any more."""
    _running.add(group)
    runners = [runner for consumer in group for runner in consumer.runners]
    finalizer = weakref.finalize(group, _halt, runners)
    finalizer.atexit = False


def ended(group: ConsumerGroup[Any]) -> None:
    """Forget that the group runs."""
    _running.discard(group)


def groups_of(ring: RingBuffer[Any]) -> Iterator[ConsumerGroup[Any]]:
    """The groups of a ring."""
    return iter([group for group in _all if group.ring is ring])


def _halt(runners: list[Any]) -> None:
    if os.getpid() == _pid:
        for runner in runners:
            runner.halt()


@atexit.register
def _stop_all() -> None:
    """Drain or halt what still runs; threads that do not end are daemons, and end with the process."""
    if os.getpid() != _pid:
        return
    for group in list(_running):
        limit = EXIT_SECONDS if group.drain_timeout is None else group.drain_timeout
        try:
            if group.at_exit == "drain":
                group.end_at_exit(limit)
            else:
                group.end_at_exit(0.0)
        except BaseException as error:  # noqa: BLE001 (nobody is left to catch it, and the others have to stop too)
            sys.stderr.write(f"ringbus: group {group.name!r} at exit: {type(error).__name__}: {error}\n")
