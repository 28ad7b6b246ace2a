"""Statements 16 to 19: life cycle, batches, shares, and the graph."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

import ringbus
from support.parts import (
    Alternate,
    Arrays,
    ByThread,
    Lived,
    Log,
    Seen,
    Sizes,
    doubled,
    parity,
    plus_one,
    same,
    threads_of,
)
from support.variants import PATIENCE, RUNS, Gate, Variant, nothing, only, opened_at_end, publish, running

structured = only("arrays of slots need structured memory", lambda variant: variant.structured)


# -- 16 ---------------------------------------------------------------------------------------------------------------


def race(variant: Variant, moment: str) -> list[list[str]]:
    """Start and halt a group of two in the given order, and give what each handler was called."""
    ring = variant.ring(4)
    group = ring.consumer_group("short", drain_timeout=PATIENCE)
    handlers = [variant.at_consumers(Lived), variant.at_consumers(Lived)]
    for number, handler in enumerate(handlers):
        group.add(f"lived {number}", handler, depends_on=("lived 0",) if number else ())
    if moment == "before":
        group.halt()
        group.start()
    elif moment == "during":
        both = threading.Barrier(2)

        def halt() -> None:
            both.wait(PATIENCE)
            group.halt()

        with running(halt):
            both.wait(PATIENCE)
            group.start()
    else:
        group.start()
    group.halt()
    assert group.join(PATIENCE), "a thread did not end"
    assert not variant.at_consumers(threads_of, "short")
    return [handler.calls for handler in handlers]


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_16_halt_always_ends_the_thread_with_each_life_cycle_call_once(variant: Variant, moment: str) -> None:
    for _ in range(variant.share(RUNS)):
        assert race(variant, moment) == [["start", "shutdown"], ["start", "shutdown"]]


# -- 17 ---------------------------------------------------------------------------------------------------------------


class OddError(Exception):
    """What a claim fails with."""


def publish_or_fail(ring: ringbus.RingBuffer[Any], value: int) -> None:
    """Publish even values, and fail inside the claim of odd ones."""
    with contextlib.suppress(OddError), ring.claim() as event:
        event.value = value
        if value % 2:
            raise OddError


def test_17_on_batch_start_never_gets_0(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("sizes")
    plain, narrow = variant.at_consumers(Sizes), variant.at_consumers(Sizes)
    group.add("plain", plain)
    group.add("narrow", narrow, max_batch=1)
    with group:
        for value in range(100):
            publish_or_fail(ring, value)
            if value % 10 == 1:
                group.drain(PATIENCE)
    for handler in (plain, narrow):
        assert handler.events == list(range(0, 100, 2))
        assert min(handler.sizes) == 1
        assert sum(handler.sizes) == 50
    assert set(narrow.sizes) == {1}


def test_17_a_batch_of_failed_claims_alone_calls_nothing(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("sizes")
    handler = variant.at_consumers(Sizes)
    group.add("reader", handler)
    for value in (1, 3, 5):
        publish_or_fail(ring, value)
    assert group.run_once() == 0
    assert handler.sizes == []
    publish_or_fail(ring, 6)
    assert group.run_once() == 1
    assert handler.sizes == [1]


def test_17_a_worker_is_told_its_own_events_only(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("sizes")
    handler = variant.at_consumers(Sizes)
    group.add("worker", handler, workers=2, key=same)
    publish(ring, 5)
    assert group.run_once() == 5
    assert handler.sizes == [5]


@structured
def test_17_a_batch_handler_is_told_the_length_of_its_array(variant: Variant) -> None:
    ring = variant.ring(16)
    arrays = variant.at_consumers(Arrays)
    group = ring.consumer_group("sizes")
    group.add("arrays", arrays)
    with group:
        for value in range(100):
            publish_or_fail(ring, value)
    said = arrays.said
    assert said == [len(array) for array in arrays.came]
    assert min(said) > 0
    assert sum(said) == 50


# -- 18 ---------------------------------------------------------------------------------------------------------------


def test_18_two_consumers_take_alternate_sequences(variant: Variant) -> None:
    ring = variant.ring(2048)
    group = ring.consumer_group("alternate")
    consumers = [variant.at_consumers(Alternate, own) for own in (0, 1)]
    for own, consumer in enumerate(consumers):
        group.add(f"takes {own}", consumer)
    with group:
        publish(ring, 10_000)
    assert [consumer.taken for consumer in consumers] == [list(range(0, 10_000, 2)), list(range(1, 10_000, 2))]


def test_18_two_workers_take_alternate_sequences_by_key(variant: Variant) -> None:
    ring = variant.ring(2048)
    group = ring.consumer_group("alternate")
    handler = variant.at_consumers(ByThread)
    group.add("worker", handler, workers=2, key=parity)
    with group:
        publish(ring, 10_000)
    assert sorted(handler.taken.values()) == [list(range(0, 10_000, 2)), list(range(1, 10_000, 2))]


# -- 19 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["left", "right"])
def test_19_in_a_diamond_the_last_sees_nothing_before_both_are_done(variant: Variant, held: str) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("diamond")
    gate, last = variant.at_consumers(Gate), variant.at_consumers(Seen)
    free = {"left": "right", "right": "left"}[held]
    group.add(held, gate)
    group.add(free, nothing)
    group.add("last", last).depends_on("left", "right")
    with group, opened_at_end(gate):
        publish(ring, 2)
        gate.wait()
        assert ring._ring.wait_done(group[free].runners[0].index, 1, PATIENCE)
        assert (last.values, group["last"].sequence) == ([], -1)
        gate.open()
        group.drain(PATIENCE)
        assert last.values == [0, 1]


def test_19_a_chain_hands_on_in_order(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("chain")
    seen = variant.at_consumers(Seen, "other")
    group.add("last", seen)
    group.add("then", doubled)
    group.add("first", plus_one)
    group["then"].depends_on("first")
    group["last"].depends_on("then")
    with group:
        publish(ring, 100)
    assert seen.values == [2 * (value + 1) for value in range(100)]


def test_19_a_consumer_may_follow_one_of_another_group(variant: Variant) -> None:
    ring = variant.ring(8)
    ahead, behind = ring.consumer_group("ahead"), ring.consumer_group("behind")
    gate, seen = variant.at_consumers(Gate), variant.at_consumers(Seen)
    ahead.add("gate", gate)
    behind.add("seen", seen, depends_on=("gate",))
    with ahead, behind, opened_at_end(gate):
        publish(ring, 2)
        gate.wait()
        assert seen.values == []
        gate.open()
        behind.drain(PATIENCE)
        assert seen.values == [0, 1]


def test_19_an_unknown_name_is_an_error_and_changes_nothing(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("graph")
    consumer = group.add("known", nothing)
    with pytest.raises(ringbus.TopologyError, match="nobody"):
        consumer.depends_on("nobody")
    with pytest.raises(ringbus.TopologyError, match="nobody"):
        group.add("other", nothing, depends_on=("nobody",))
    assert consumer.depends_on_names == ()
    assert list(ring.statistics().consumers) == ["known"]


def test_19_a_cycle_is_an_error_and_changes_nothing(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("graph")
    log = variant.at_consumers(Log)
    group.add("a", log.handler("a"))
    group.add("b", nothing).depends_on("a")
    group.add("c", log.handler("c")).depends_on("b")
    with pytest.raises(ringbus.TopologyError, match="cycle"):
        group["a"].depends_on("c")
    with pytest.raises(ringbus.TopologyError, match="cycle"):
        group["b"].depends_on("b")
    with group:
        publish(ring, 1)
    assert log.entries == [("a", 0), ("c", 0)]


def test_19_starting_twice_is_an_error(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("once")
    seen = variant.at_consumers(Seen)
    group.add("reader", seen)
    with group:
        with pytest.raises(ringbus.TopologyError, match="started before"):
            group.start()
        publish(ring, 3)
    with pytest.raises(ringbus.TopologyError, match="started before"):
        group.start()
    assert seen.values == [0, 1, 2]


def test_19_adding_to_a_running_group_is_an_error_unless_it_is_dynamic(variant: Variant) -> None:
    ring = variant.ring(8)
    fixed, dynamic = ring.consumer_group("fixed"), ring.consumer_group("dynamic", dynamic=True)
    seen = variant.at_consumers(Seen)
    fixed.add("one", nothing)
    dynamic.add("two", nothing)
    with fixed, dynamic:
        publish(ring, 3)
        with pytest.raises(ringbus.TopologyError, match="dynamic=True"):
            fixed.add("three", nothing)
        dynamic.add("four", seen, depends_on=("two",))
        publish(ring, 20, first=3)
    assert seen.values == list(range(3, 23))


def test_19_what_was_published_before_the_start_is_delivered(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("late")
    seen = variant.at_consumers(Seen)
    group.add("reader", seen)
    publish(ring, 5)
    with group:
        publish(ring, 5, first=5)
    assert seen.values == list(range(10))
