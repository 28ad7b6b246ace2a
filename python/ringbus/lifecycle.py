"""Groups that run when the interpreter ends, and groups that nobody refers to any more."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ringbus import _core

if TYPE_CHECKING:
    from ringbus.group import ConsumerGroup
    from ringbus.ring import RingBuffer
    from ringbus.runners import Runner
    from ringbus.source import Source
    from ringbus.threads import RunnerThread

EXIT_SECONDS = 5.0
"""The longest drain at the end of the interpreter where a group has no `drain_timeout`."""

_SOURCE_SECONDS = 1.0
"""The longest wait for the end of a source, at the end of the interpreter."""

_all: weakref.WeakSet[ConsumerGroup[Any]] = weakref.WeakSet()
_running: weakref.WeakSet[ConsumerGroup[Any]] = weakref.WeakSet()
_producing: weakref.WeakKeyDictionary[RunnerThread, _core.Source] = weakref.WeakKeyDictionary()


def _forget() -> None:
    """The groups of a parent process are not the child's to stop."""
    _all.clear()
    _running.clear()
    _producing.clear()


os.register_at_fork(after_in_child=_forget)


def register(group: ConsumerGroup[Any]) -> None:
    """Know a group."""
    _all.add(group)


def running(group: ConsumerGroup[Any], runners: weakref.WeakSet[Runner]) -> None:
    """Stop the group at the end of the interpreter, or when nobody refers to it any more.

    Args:
        group: the group.
        runners: what it has started, kept by its threads and tasks alone.
    """
    _running.add(group)
    finalizer = weakref.finalize(group, _halt, runners, os.getpid())
    finalizer.atexit = False


def ended(group: ConsumerGroup[Any]) -> None:
    """Forget that the group runs."""
    _running.discard(group)


def producing(source: Source, native: _core.Source, thread: RunnerThread) -> None:
    """Halt the source at the end of the interpreter, or when nobody refers to it any more."""
    _producing[thread] = native
    finalizer = weakref.finalize(source, _halt, (native,), os.getpid())
    finalizer.atexit = False


def groups_of(ring: RingBuffer[Any]) -> Iterator[ConsumerGroup[Any]]:
    """The groups of a ring."""
    return iter([group for group in _all if group.ring is ring])


def _halt(runners: Iterable[Runner | _core.Source], pid: int) -> None:
    if os.getpid() == pid:
        for runner in runners:
            runner.halt()


@atexit.register
def _stop_all() -> None:
    """Drain or halt what still runs; threads that do not end are daemons, and end with the process."""
    for thread, source in list(_producing.items()):
        source.halt()
        thread.join(_SOURCE_SECONDS)
    groups = list(_running)
    for group in groups:
        limit = EXIT_SECONDS if group.drain_timeout is None else group.drain_timeout
        if group.at_exit == "drain":
            _say_failure(group, functools.partial(group.drain_at_exit, limit))
    for group in _dependents_first(groups):
        _say_failure(group, group.end_at_exit)


def _say_failure(group: ConsumerGroup[Any], step: Callable[[], None]) -> None:
    try:
        step()
    except BaseException as error:  # noqa: BLE001 (nobody is left to catch it, and the others have to stop too)
        sys.stderr.write(f"ringbus: group {group.name!r} at exit: {type(error).__name__}: {error}\n")


def _dependents_first(groups: list[ConsumerGroup[Any]]) -> Iterator[ConsumerGroup[Any]]:
    """The groups, each before those that it depends on."""
    left = list(groups)
    while left:
        free = [group for group in left if not any(other.follows(group) for other in left if other is not group)]
        for group in free or left[:1]:
            yield group
            left.remove(group)
