"""Compiled handlers and sources on rings that several processes share."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import ringbus
from support.children import FORK_WARNING, start_child
from support.events import PATIENCE, PRODUCERS
from support.machine import Tick, add_up, fill, in_order, numbers, publish, refuse_sevens, sums
from support.segments import rings_folder

__all__ = ["rings_folder"]

pytest.importorskip("numba", reason="the extra ringbus[compiled] is not installed")

READER = """
import numpy as np

@ringbus.compiled
def order(tick, state, sequence):
    state.count += 1
    state.wrong += tick.number != sequence

ring = ringbus.attach("ticks")
group = ring.consumer_group("there")
group.add("there", order, state={"count": 0, "wrong": 0})
print("ready", flush=True)
with group:
    while group["there"].state.count < 50_000:
        time.sleep(0.001)
print(group["there"].state.count, group["there"].state.wrong)
"""

WRITER = """
import numpy as np

def fill(tick, state, sequence):
    tick.number = sequence

ring = ringbus.attach("ticks")
source = ring.source(fill, np.zeros(1), batch=int(sys.argv[1])).start()
while source.published < 10_000:
    time.sleep(0.001)
print("ready", flush=True)
source.join()
"""


def shared(producers: Any, capacity: int = 64) -> ringbus.RingBuffer[Tick]:
    return ringbus.RingBuffer(Tick, capacity, producers=producers, name="ticks")


@pytest.mark.parametrize("producers", PRODUCERS)
@pytest.mark.parametrize("batch", [1, 16])
def test_a_compiled_source_here_feeds_a_compiled_handler_there(rings_folder: Path, producers: Any, batch: int) -> None:
    ring = shared(producers)
    with start_child(READER) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with ring.source(fill, numbers(), batch=batch, limit=50_000) as source:
            assert source.join(PATIENCE)
        out, err = child.communicate(timeout=PATIENCE)
    assert (out, err) == ("50000 0\n", "")
    ring.unlink()


@pytest.mark.parametrize("producers", PRODUCERS)
def test_a_compiled_handler_runs_in_a_process_of_its_own(rings_folder: Path, producers: Any) -> None:
    ring = shared(producers)
    group = ring.consumer_group("group")
    group.add("there", add_up, state=sums(), process=True)
    group.add("here", add_up, state=sums(), depends_on=("there",))
    with group:
        publish(ring, 200)
    assert group["here"].state.count == 200
    assert group.statistics().consumers["there"].events == 200
    with pytest.raises(ringbus.ConfigurationError, match="'there' has no state here"):
        _ = group["there"].state
    ring.unlink()


def test_what_it_raises_there_reaches_the_group_here(rings_folder: Path) -> None:
    ring = shared("multi")
    group = ring.consumer_group("group")
    group.add("there", refuse_sevens, state=sums(), process=True)
    publish(ring, 8)
    with pytest.raises(ringbus.HandlerError, match="'there' failed at sequence 7") as caught, group:
        group.join(PATIENCE)
    assert isinstance(caught.value.__cause__, ringbus.RemoteError)
    assert "ValueError" in str(caught.value.__cause__)
    ring.unlink()


def test_what_cannot_be_compiled_is_said_here_before_a_process_starts(rings_folder: Path) -> None:
    ring = shared("multi")
    group = ring.consumer_group("group")
    with pytest.raises(ringbus.CompilationError):
        group.add("there", add_up, state={"other": 0}, process=True)
    assert len(group) == 0
    ring.unlink()


@pytest.mark.parametrize("producers", PRODUCERS)
@pytest.mark.parametrize("batch", [1, 16])
def test_a_killed_source_leaves_no_hole_and_another_goes_on(rings_folder: Path, producers: Any, batch: int) -> None:
    ring = shared(producers)
    group = ring.consumer_group("group")
    consumer = group.add("order", in_order, state=sums())
    with group:
        with start_child(WRITER, str(batch)) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        published = consumer.statistics().sequence
        assert ring.cursor >= published
        with ring.source(fill_by_sequence, numbers(), limit=1000, batch=batch) as source:
            assert source.join(PATIENCE)
        group.drain(PATIENCE)
    state = consumer.state
    assert state.count + ring.statistics().pads == ring.cursor + 1
    assert state.count == consumer.statistics().events
    ring.unlink()


def fill_by_sequence(event: Any, state: Any, sequence: Any) -> None:
    event.number = sequence


def test_a_ring_that_is_unlinked_ends_a_source_and_a_handler(rings_folder: Path) -> None:
    ring = shared("single")
    group = ring.consumer_group("group")
    group.add("sum", add_up, state=sums())
    group.start()
    source = ring.source(fill, numbers()).start()
    while not source.published:
        time.sleep(0)
    ring.unlink()
    with pytest.raises(ringbus.RingReplacedError):
        source.join(PATIENCE)
    with pytest.raises(ringbus.RingReplacedError):
        group.stop()


def test_a_watcher_of_a_read_only_ring_may_be_compiled(rings_folder: Path) -> None:
    ring = shared("multi")
    watching = ringbus.attach("ticks", read_only=True)
    group = watching.consumer_group("watch")
    late = group.add("watch", add_up, state=sums(), gating=False)
    with group:
        publish(ring, 30_000)  # many laps, so that some begin inside a batch
        while late.sequence < 29_999:
            time.sleep(0.001)
    assert late.state.count + late.missed == 30_000
    ring.unlink()


@pytest.mark.filterwarnings(FORK_WARNING)
def test_a_child_made_by_fork_may_not_use_the_parents_source(rings_folder: Path) -> None:
    ring = shared("multi")
    source = ring.source(fill, numbers(), limit=1)
    child = os.fork()
    if child == 0:
        try:
            source.start().join(PATIENCE)
        except ringbus.ForkedError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert source.published == 0
    ring.unlink()
