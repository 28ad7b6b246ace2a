"""Statements 20 to 25: handlers, and the waits of consumers.

Python has no bare barrier: a wait that gives up is a poller's `next`, a producer's verb or a group's `drain`; an alert
is `halt`, `close` of a poller, or `close` of the ring.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.parts import (
    Check,
    Early,
    Failing,
    Follower,
    Late,
    Leader,
    MadeUpError,
    Seen,
    Told,
    Wide,
    WideBox,
    produce_wide,
)
from support.variants import (
    PATIENCE,
    Gate,
    Number,
    Variant,
    consuming,
    nothing,
    only,
    opened_at_end,
    producing,
    publish,
    running,
    values,
)

# -- 20 ---------------------------------------------------------------------------------------------------------------


def test_20_the_publisher_gets_to_the_capacity_and_waits_for_the_handler(variant: Variant) -> None:
    ring = variant.ring(4)
    group = ring.consumer_group("held")
    gate = variant.at_consumers(Gate)
    group.add("gate", gate)
    published = []
    full = threading.Event()

    def produce() -> None:
        patient = ring.producer(timeout=0.02)
        for value in itertools.count():
            try:
                patient.publish(value=value)
            except ringbus.WaitTimeout:
                break
            published.append(value)
        full.set()
        for value in range(len(published), 10):
            ring.publish(value=value)
            published.append(value)

    with group, opened_at_end(gate), running(produce):
        gate.wait()
        assert full.wait(PATIENCE)
        assert published == [0, 1, 2, 3]
        assert ring.remaining_capacity == 0
        gate.open()
    assert published == list(range(10))
    assert gate.seen == list(range(10))


# -- 21 ---------------------------------------------------------------------------------------------------------------


def test_21_early_release_is_visible_at_once(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("early")
    handler = variant.at_consumers(Early, consuming(ring))
    handler.consumer = group.add("early", handler)
    publish(ring, 10)
    with group:
        group.drain(PATIENCE)
    assert handler.seen == [(max(-1, s - 2), s - 1, s - 1, 16 - (10 - s)) for s in range(10)]
    assert [f"sequence {s} " in said for s, said in enumerate(handler.refused)] == [True] * 10


def test_21_without_early_release_the_batch_is_released_as_a_whole(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("late")
    handler = variant.at_consumers(Late)
    consumer = handler.consumer = group.add("late", handler)
    publish(ring, 10)
    with group:
        group.drain(PATIENCE)
        assert consumer.sequence == 9
    assert handler.seen == [-1] * 10


def test_21_a_dependent_goes_on_with_what_was_released(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("early")
    lead = variant.at_consumers(Leader)
    follow = variant.at_consumers(Follower, lead)
    lead.consumer = group.add("leader", lead)
    group.add("follower", follow).depends_on("leader")
    publish(ring, 10)
    with group:
        group.drain(PATIENCE)
    assert follow.seen == list(range(10))


# -- 22 ---------------------------------------------------------------------------------------------------------------


def test_22_a_policy_gets_the_error_the_sequence_and_the_event(variant: Variant) -> None:
    ring = variant.ring(16)
    policy = variant.at_consumers(Told)
    group = ring.consumer_group("told", on_error=policy)
    handler = variant.at_consumers(Failing, 2, 5)
    group.add("fails", handler)
    with group:
        publish(ring, 8, first=100)
    assert policy.told == [(2, 102, "fails"), (5, 105, "fails")]
    assert policy.has_those_of(handler)
    assert handler.seen == list(range(8))


def test_22_skip_goes_on_at_the_next_sequence(variant: Variant) -> None:
    ring = variant.ring(4)
    group = ring.consumer_group("skips", on_error="skip")
    handler = variant.at_consumers(Failing, *range(0, 20, 3))
    group.add("fails", handler)
    with group:
        publish(ring, 20)
    assert handler.seen == list(range(20))
    assert len(handler.raised) == 7


def test_22_halt_stops_at_the_sequence_that_failed(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("halts")
    handler = variant.at_consumers(Failing, 3)
    consumer = group.add("fails", handler)
    publish(ring, 8)
    with pytest.raises(ringbus.HandlerError) as caught, group:
        group.drain(PATIENCE)
    assert isinstance(caught.value.__cause__, MadeUpError)
    assert caught.value.__cause__.args == (3,)
    assert (caught.value.consumer, caught.value.sequence) == ("fails", 3)
    assert handler.seen == [0, 1, 2, 3]
    assert consumer.sequence == 2


@pytest.mark.parametrize(("of_group", "of_consumer"), [("halt", "skip"), ("skip", "halt")])
def test_22_the_policy_of_a_consumer_overrides_the_groups(variant: Variant, of_group: Any, of_consumer: Any) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("both", on_error=of_group)
    handler = variant.at_consumers(Failing, 1)
    group.add("fails", handler, on_error=of_consumer)
    publish(ring, 4)
    expected = pytest.raises(ringbus.HandlerError) if of_consumer == "halt" else contextlib.nullcontext()
    with expected, group:
        group.drain(PATIENCE)
    assert handler.seen == ([0, 1] if of_consumer == "halt" else [0, 1, 2, 3])


# -- 23 ---------------------------------------------------------------------------------------------------------------

HALF_A_SECOND = 0.5


def test_23_a_wait_of_half_a_second_takes_no_less(variant: Variant) -> None:
    ring, full = variant.ring(8), variant.ring(8)
    took: dict[str, float] = {}

    def timed(what: str, wait: Callable[[], object]) -> None:
        begin = time.monotonic()
        wait()
        took[what] = time.monotonic() - begin

    def publish_too_much() -> None:
        with pytest.raises(ringbus.WaitTimeout, match="full"):
            full.producer(timeout=HALF_A_SECOND).publish(value=9)

    def drain() -> None:
        with pytest.raises(ringbus.WaitTimeout, match="gate"):
            group.drain(HALF_A_SECOND)

    group = ring.consumer_group("held")
    gate = variant.at_consumers(Gate)
    group.add("gate", gate)
    with (
        group,
        opened_at_end(gate),
        ring.poller("reader") as poller,
        ring.poller("other") as other,
        full.poller("full"),
    ):
        publish(full, 8)
        publish(ring, 6)
        assert values(poller.take(6)) == values(other.take(6)) == list(range(6))
        waits: dict[str, Callable[[], object]] = {
            "6 by take": lambda: other.take(timeout=HALF_A_SECOND),
            "6 with the cursor at 5": lambda: poller.next(HALF_A_SECOND),
            "drain": drain,
            "publish": publish_too_much,
        }
        with contextlib.ExitStack() as threads:
            for what, wait in waits.items():
                threads.enter_context(running(functools.partial(timed, what, wait)))
        publish(ring, 2, first=6)
        assert values(poller.take(timeout=HALF_A_SECOND)) == [6, 7]
    assert set(took) == set(waits)
    assert min(took.values()) >= HALF_A_SECOND


# -- 24 ---------------------------------------------------------------------------------------------------------------


def test_24_halt_ends_the_wait_of_every_consumer_of_a_group(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("waiting")
    first = variant.at_consumers(Seen)
    group.add("head", first)
    group.add("tail", nothing).depends_on("head")
    group.start()
    publish(ring, 1)
    first.wait()
    group.halt()
    assert group.join(PATIENCE)
    assert group.state == "stopped"


def test_24_closing_a_poller_ends_its_wait(variant: Variant) -> None:
    ring = variant.ring(8)
    poller = ring.poller("waiting")
    began = threading.Event()

    def wait() -> None:
        publish(ring, 1)
        assert values(poller.take(1)) == [0]
        began.set()
        with pytest.raises(ringbus.ClosedError, match="waiting"):
            poller.next()

    with running(wait):
        assert began.wait(PATIENCE)
        poller.close()


def test_24_closing_the_ring_ends_the_waits_of_pollers_and_producers(variant: Variant) -> None:
    ring = variant.ring(1)
    idle, busy = ring.poller("idle"), ring.poller("busy")
    publish(ring, 1)
    both = threading.Barrier(3)

    def wait_for_event() -> None:
        assert values(busy.take()) == [0]
        both.wait(PATIENCE)
        assert busy.next() is None

    def wait_for_slot() -> None:
        both.wait(PATIENCE)
        with pytest.raises(ringbus.ClosedError):
            ring.publish(value=1)

    with running(wait_for_event), running(wait_for_slot):
        both.wait(PATIENCE)
        ring.close()
    assert idle.sequence == -1


# -- 25 ---------------------------------------------------------------------------------------------------------------


def mismatches(variant: Variant, publishers: int, each: int) -> tuple[list[int], list[int]]:
    """Have `publishers` threads publish `each` events to as many consumers; the events and faults each counted."""
    ring = variant.ring(65_536, Wide, WideBox)
    group = ring.consumer_group("all")
    checks = [variant.at_consumers(Check) for _ in range(publishers)]
    for number, check in enumerate(checks):
        group.add(f"check {number}", check)
    together = variant.at_producers(threading.Barrier, publishers)
    produce = functools.partial(variant.at_producers, produce_wide, producing(ring), together, each)
    with group, contextlib.ExitStack() as threads:
        for _ in range(publishers):
            threads.enter_context(running(produce))
    return [check.count for check in checks], [check.faults for check in checks]


@pytest.mark.timeout(120)
def test_25_many_publishers_and_consumers_never_mismatch(variant: Variant) -> None:
    publishers = 2 if variant.many else 1
    full = (variant.structured, variant.many, variant.wait) == (True, True, "blocking")
    each = (200_000 if variant.together else 20_000) if full else 2_000
    assert mismatches(variant, publishers, each) == ([publishers * each] * publishers, [0] * publishers)


@pytest.mark.slow
@pytest.mark.timeout(240)
@only("what differs at length is the sequencer and the slot", lambda variant: variant.wait == "blocking")
def test_25_the_full_count_never_mismatches(variant: Variant) -> None:
    publishers = 2 if variant.many else 1
    assert mismatches(variant, publishers, 200_000) == ([publishers * 200_000] * publishers, [0] * publishers)


def test_25_the_checks_of_this_test_see_a_mismatch() -> None:
    event = Wide(sequence=1, a=14, b=-6, s="wibble-1")
    assert (event.a, event.b, event.s) == (1 + 13, 1 - 7, "wibble-1")
    assert Number(value=1) != Number(value=2)
