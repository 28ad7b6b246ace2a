"""A peer that was stopped in the middle of a join keeps others from joining and leaving, and from nothing else.

That Ctrl-C ends such a wait is in test_signals.py.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import ringbus
from support.events import PATIENCE
from support.handed import Tick
from support.segments import rings_folder
from support.stopped import somebody_stopped

__all__ = ["rings_folder"]

Ring = ringbus.RingBuffer[Tick]


@pytest.fixture
def ring(rings_folder: Path) -> Ring:
    return ringbus.RingBuffer(Tick, 4, name="ticks")


def is_inside_a_call(thread: threading.Thread) -> bool:
    """Whether it stays where it is although it could have the interpreter: looked at five times."""
    assert thread.ident is not None
    seen = set()
    for _ in range(5):
        frame = sys._current_frames().get(thread.ident)
        seen.add((id(frame), frame and frame.f_lasti))
        threading.Event().wait(0.004)
    return len(seen) == 1 and None not in seen


def _join(ring: Ring) -> Callable[[], object]:
    return lambda: ring.poller("joins")


def _leave(ring: Ring) -> Callable[[], object]:
    return ring.poller("leaves").close


def _follow(ring: Ring) -> Callable[[], object]:
    first = ring.poller("first")
    return lambda: (ring.poller("follows", depends_on=["first"]), first)


def _forget(ring: Ring) -> Callable[[], object]:
    return lambda: ring.forget("nobody")


@pytest.mark.parametrize("verb", [_join, _leave, _follow, _forget])
def test_the_program_goes_on_while_one_of_its_threads_waits_for_the_stopped_one(
    ring: Ring, verb: Callable[[Ring], Callable[[], object]]
) -> None:
    call, ended = verb(ring), list[object]()
    with somebody_stopped() as go_on:
        thread = threading.Thread(target=lambda: ended.append(call()))
        thread.start()
        while not is_inside_a_call(thread):
            ring.try_publish(value=1)
        assert ended == []
        go_on()
        thread.join(PATIENCE)
    assert len(ended) == 1


def test_one_that_was_dropped_meanwhile_leaves_afterwards(ring: Ring) -> None:
    reads = ring.poller("reads")
    for value in range(4):
        ring.publish(value=value)
    with somebody_stopped() as go_on:
        del reads
        assert not ring.try_publish(value=4)
        go_on()
        ring.producer(timeout=PATIENCE).publish(value=4)
    assert "reads" not in ring.statistics().consumers
