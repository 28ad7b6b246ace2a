"""Consumers that agreed to be evicted when they are slow: by whom, when, and what they are told."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ringbus
from support import machine
from support.children import start_child
from support.handed import Tick
from support.segments import rings_folder

__all__ = ["rings_folder"]

SOON = 0.05
KINDS = pytest.mark.parametrize("kind", ["single", "multi"])


def ring_of(kind: Any = "multi", capacity: int = 4) -> ringbus.RingBuffer[Tick]:
    return ringbus.RingBuffer(Tick, capacity, name="ticks", producers=kind, timeout=10.0)


def attached() -> ringbus.RingBuffer[Tick]:
    return ringbus.attach("ticks", Tick, read_only="slots")


def publish(ring: ringbus.RingBuffer[Tick], count: int) -> None:
    for value in range(count):
        ring.publish(value=value)


def values(events: list[Tick]) -> list[int]:
    return [event.value for event in events]


def state_of(ring: ringbus.RingBuffer[Tick], name: str) -> str:
    return ring.statistics().consumers[name].state


# -- taking part without writing events -------------------------------------------------------------------------------


@KINDS
def test_one_that_cannot_write_events_takes_part_as_others_do(rings_folder: Path, kind: str) -> None:
    ring, there = ring_of(kind), attached()
    assert (ring.read_only, there.read_only) == (False, "slots")
    with there.poller("reads") as reads, there.poller("follows", depends_on=["reads"]) as follows:
        publish(ring, 4)
        assert not ring.try_publish(value=4)
        assert follows.take(10, 0.0) == []
        assert values(reads.take(10, 1.0)) == [0, 1, 2, 3]
        assert values(follows.take(10, 1.0)) == [0, 1, 2, 3]
        assert ring.try_publish(value=4)


def test_who_cannot_write_events_cannot_publish(rings_folder: Path) -> None:
    ring_of()
    with pytest.raises(ringbus.ClaimError, match="read_only"):
        attached().publish(value=1)
    with pytest.raises(ringbus.ClaimError, match="read_only"), attached().claim():
        pass


def change(event: Tick) -> None:
    event.value = -1


@ringbus.batch
def change_all(events: Any) -> None:
    events["value"] = -1


@pytest.mark.parametrize("handler", [change, change_all])
def test_what_a_handler_changes_there_is_a_copy(rings_folder: Path, handler: Callable[..., Any]) -> None:
    ring, seen = ring_of(), list[int]()
    group = ring.consumer_group("here")
    there = attached().consumer_group("there")
    there.add("changes", handler)
    group.add("sees", lambda event: seen.append(event.value)).depends_on("changes")
    with there, group:
        publish(ring, 4)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("key", ["value", None])
def test_workers_there_share_the_events(rings_folder: Path, key: str | None) -> None:
    ring, seen = ring_of(), list[int]()
    group = attached().consumer_group("there")
    group.add("works", lambda event: seen.append(event.value), workers=2, key=key)
    with group:
        publish(ring, 20)
    assert sorted(seen) == list(range(20))


def test_a_ring_pickles_with_what_it_may_do(rings_folder: Path) -> None:
    ring_of()
    assert pickle.loads(pickle.dumps(attached())).read_only == "slots"
    with pytest.raises(ringbus.ConfigurationError, match="read_only is 'all'"):
        ringbus.attach("ticks", read_only="all")  # type: ignore[arg-type] # refused, as tested


# -- who may be evicted -----------------------------------------------------------------------------------------------


def test_who_could_write_events_may_not_be_evicted(rings_folder: Path) -> None:
    for ring in (ring_of(), ringbus.RingBuffer(Tick, 4), ringbus.attach("ticks", Tick)):
        with pytest.raises(ringbus.ConfigurationError, match='read_only="slots"'):
            ring.poller("slow", evict_after=1.0)
        with pytest.raises(ringbus.ConfigurationError, match='read_only="slots"'):
            ring.consumer_group("g").add("slow", print, evict_after=1.0)


@pytest.mark.parametrize("after", [0, -1, 1e10, float("nan"), True, "1"])
def test_a_patience_that_is_none_is_refused(rings_folder: Path, after: Any) -> None:
    ring_of()
    with pytest.raises(ringbus.ConfigurationError, match="evict_after"):
        attached().poller("slow", evict_after=after)


def test_who_gates_nobody_needs_no_eviction(rings_folder: Path) -> None:
    ring_of()
    with pytest.raises(ringbus.ConfigurationError, match="does not gate"):
        attached().poller("slow", gating=False, evict_after=1.0)


def test_who_agreed_to_nothing_is_never_evicted(rings_folder: Path) -> None:
    ring = ring_of()
    there = attached()
    with there.poller("patient"), there.poller("quick", evict_after=SOON) as quick:
        publish(ring, 4)
        assert len(quick.take(10, 1.0)) == 4
        with pytest.raises(ringbus.WaitTimeout, match="patient"):
            ring.producer(timeout=5 * SOON).publish(value=4)
        assert (state_of(ring, "patient"), state_of(ring, "quick")) == ("live", "live")


# -- being evicted ----------------------------------------------------------------------------------------------------


@KINDS
def test_a_slow_poller_is_evicted_and_told_what_it_missed(rings_folder: Path, kind: str) -> None:
    ring, there = ring_of(kind), attached()
    with there.poller("slow", evict_after=SOON) as slow:
        publish(ring, 2)
        assert len(slow.take(1, 1.0)) == 1
        assert ring.statistics().consumers["slow"].evict_after == SOON
        publish(ring, 6)
        assert state_of(ring, "slow") == "evicted"
        assert ring.remaining_capacity == 4
        for take in (slow.take, slow.take_array, slow.next, lambda: slow.poll(print)):
            with pytest.raises(ringbus.EvictedError, match="missed 7 events") as caught:
                take()
            assert (caught.value.name, caught.value.sequence, caught.value.missed) == ("slow", 0, 7)
        assert ring.statistics().consumers["slow"].missed == 7
    with there.poller("slow", evict_after=SOON) as again:
        publish(ring, 1)
        assert len(again.take(10, 1.0)) == 1


def test_a_claim_that_does_not_wait_evicts_too(rings_folder: Path) -> None:
    ring = ring_of()
    with attached().poller("slow", evict_after=SOON):
        publish(ring, 4)
        deadline = time.monotonic() + 10
        while not ring.try_publish(value=4):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert state_of(ring, "slow") == "evicted"


def test_what_was_handed_out_before_does_not_count_after_an_eviction(rings_folder: Path) -> None:
    ring = ring_of()
    with attached().poller("slow", evict_after=SOON) as slow:
        publish(ring, 4)
        assert slow.next(1.0).value == 0
        publish(ring, 4)
        with pytest.raises(ringbus.EvictedError) as caught:
            slow.next(1.0)
        assert (caught.value.sequence, caught.value.missed) == (-1, 8)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("on_error", ["halt", "skip"])
def test_a_handler_that_takes_too_long_fails_its_group(rings_folder: Path, batch: bool, on_error: Any) -> None:
    ring, seen = ring_of(), list[int]()

    def slow(event: Tick) -> None:
        publish(ring, 6 if not seen else 0)
        seen.append(event.value)

    @ringbus.batch
    def slow_rows(events: np.ndarray[Any, Any]) -> None:
        publish(ring, 6 if not seen else 0)
        seen.extend(events["value"].tolist())

    group = attached().consumer_group("there", on_error=on_error)
    group.add("slow", slow_rows if batch else slow, evict_after=SOON)
    publish(ring, 2)
    with pytest.raises(ringbus.EvictedError) as caught, group:
        pass
    assert (caught.value.sequence, caught.value.missed) == (-1, 8)
    assert seen == ([0, 1] if batch else [0])
    assert not ring.statistics().consumers


def test_who_follows_one_that_was_evicted_is_told(rings_folder: Path) -> None:
    ring, there = ring_of(), attached()
    with there.poller("slow", evict_after=SOON) as slow, ring.poller("follows", depends_on=["slow"]) as follows:
        publish(ring, 4)
        assert len(slow.take(2, 1.0)) == 2
        assert len(follows.take(2, 1.0)) == 2
        with pytest.raises(ringbus.WaitTimeout, match="follows"):
            publish(ring.producer(timeout=10 * SOON), 4)
        assert state_of(ring, "slow") == "evicted"
        with pytest.raises(ringbus.PeerDiedError, match="too slow and evicted at sequence 1"):
            follows.take(10, 5.0)


def test_who_waits_for_a_slow_one_is_not_evicted_in_its_place(rings_folder: Path) -> None:
    ring = ring_of()
    with ring.poller("slow"), attached().poller("follows", depends_on=["slow"], evict_after=SOON):
        publish(ring, 4)
        with pytest.raises(ringbus.WaitTimeout, match="slow"):
            ring.producer(timeout=5 * SOON).publish(value=4)
        assert state_of(ring, "follows") == "live"


def test_one_that_moves_is_not_slow(rings_folder: Path) -> None:
    """It needs longer for a ring of events than producers wait for it, but not for any one of them."""
    ring, there = ring_of(), attached()
    group = there.consumer_group("there")
    group.add("steady", lambda event: time.sleep(SOON / 4), max_batch=1, evict_after=4 * SOON)
    with group:
        publish(ring, 40)
    assert group["steady"].sequence == 39


def test_a_durable_one_that_was_evicted_comes_back_and_is_told(rings_folder: Path) -> None:
    ring = ring_of()
    for missed in (0, 12, 24):
        group = attached().consumer_group("there")
        group.add("keeps", print, durable=True, evict_after=SOON)
        assert ring.statistics().consumers["keeps"].missed == missed
        publish(ring, 6)
        with pytest.raises(ringbus.EvictedError, match="missed 6 events"), group:
            pass
        assert state_of(ring, "keeps") == "away"
        publish(ring, 6)
    assert ring.forget("keeps")


STOPPED = """
ring = ringbus.attach("ticks", Tick, read_only="slots")
group = ring.consumer_group("stopped")
group.add("reads", lambda tick: print(tick.value, flush=True), max_batch=1, evict_after=0.2)
try:
    with group:
        print("ready", flush=True)
        group.join()
except ringbus.EvictedError as error:
    print(error.sequence, error.missed)
"""


def _is_stopped(task: Path) -> bool:
    """A signal to stop reaches each thread in its own time."""
    return (task / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        while not all(_is_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()):
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@KINDS
def test_producers_go_on_without_a_process_that_is_stopped(rings_folder: Path, kind: str) -> None:
    ring = ring_of(kind)
    with start_child(STOPPED) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        publish(ring, 10)
        while ring.statistics().consumers["reads"].lag:
            time.sleep(0.001)
        with stopped(child.pid):
            publish(ring, 20)
            assert state_of(ring, "reads") == "evicted"
        out, _ = child.communicate(timeout=20)
    assert out.split("\n")[-2] == "9 20"


def test_a_handler_in_a_process_of_its_own_may_be_evicted(rings_folder: Path) -> None:
    ring = ring_of()
    group = ring.consumer_group("remote")
    group.add("slow", sleep_long, process=True, evict_after=SOON)
    with pytest.raises(ringbus.RemoteError, match=r"EvictedError.*missed"), group:
        publish(ring, 8)


def sleep_long(event: Tick) -> None:
    """Longer than anybody waits for it."""
    time.sleep(10 * SOON)


# -- machine code -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"workers": 2, "key": "number"}])
def test_machine_code_there_gets_copies_and_is_told_of_an_eviction(rings_folder: Path, options: Any) -> None:
    pytest.importorskip("numba", reason="the extra ringbus[compiled] is not installed")
    ring = ringbus.RingBuffer(machine.Tick, 4, name="ticks", timeout=10.0)
    there = ringbus.attach("ticks", machine.Tick, read_only="slots")
    group = there.consumer_group("there")
    consumer = group.add("sum", machine.add_up, state=machine.sums(), evict_after=SOON, **options)
    machine.publish(ring, 4)
    group.run_once()
    assert sum(state.total for state in consumer.states) == 0 + 1 + 2 + 3
    machine.publish(ring, 8)
    with pytest.raises(ringbus.EvictedError, match="missed 8 events"):
        group.run_once()
    group.halt()
    assert sum(state.total for state in consumer.states) == 0 + 1 + 2 + 3
