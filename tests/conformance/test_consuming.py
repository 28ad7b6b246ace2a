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
from support.variants import (
    PATIENCE,
    Box,
    Gate,
    Number,
    Variant,
    nothing,
    only,
    opened_at_end,
    publish,
    running,
    values,
)

structured = only("arrays of slots need structured memory", lambda variant: variant.structured)


# -- 20 ---------------------------------------------------------------------------------------------------------------


def test_20_the_publisher_gets_to_the_capacity_and_waits_for_the_handler(variant: Variant) -> None:
    ring = variant.ring(4)
    group = ring.consumer_group("held")
    gate = Gate()
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
    seen: list[tuple[int, ...]] = []

    def handle(event: Any, sequence: int, end_of_batch: bool) -> None:
        assert end_of_batch == (sequence == 9)
        held = consumer.sequence
        consumer.release(sequence - 1)
        seen.append((held, consumer.sequence, ring.minimum_sequence, ring.remaining_capacity))
        with pytest.raises(ringbus.ClaimError, match=f"sequence {sequence} "):
            consumer.release(sequence)

    consumer = group.add("early", handle)
    publish(ring, 10)
    with group:
        group.drain(PATIENCE)
    assert seen == [(max(-1, s - 2), s - 1, s - 1, 16 - (10 - s)) for s in range(10)]


def test_21_without_early_release_the_batch_is_released_as_a_whole(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("late")
    seen: list[int] = []

    def handle(event: object) -> None:
        seen.append(consumer.sequence)

    consumer: ringbus.Consumer = group.add("late", handle)
    publish(ring, 10)
    with group:
        group.drain(PATIENCE)
        assert consumer.sequence == 9
    assert seen == [-1] * 10


def test_21_a_dependent_goes_on_with_what_was_released(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("early")
    followed = threading.Event()
    seen = []

    def lead(event: Any, sequence: int) -> None:
        leader.release(sequence - 1)
        if sequence == 9:
            assert followed.wait(PATIENCE), "what was released was not handed on"

    def follow(event: Any, sequence: int) -> None:
        seen.append(sequence)
        if sequence == 8:
            followed.set()

    leader = group.add("leader", lead)
    group.add("follower", follow).depends_on("leader")
    publish(ring, 10)
    with group:
        group.drain(PATIENCE)
    assert seen == list(range(10))


# -- 22 ---------------------------------------------------------------------------------------------------------------


class MadeUpError(Exception):
    """What a handler fails with."""


class Told:
    """A policy that takes down what it is told, and goes on."""

    def __init__(self) -> None:
        self.told: list[tuple[object, int, int, str]] = []

    def handle(self, error: BaseException, sequence: int, event: Any, consumer: ringbus.Consumer) -> None:
        self.told.append((error, sequence, event.value, consumer.name))


def failing_at(*sequences: int) -> tuple[Any, list[int], list[MadeUpError]]:
    """A handler that fails at some sequences, what it has seen, and what it has raised."""
    seen: list[int] = []
    raised: list[MadeUpError] = []

    def handle(event: Any, sequence: int) -> None:
        seen.append(sequence)
        if sequence in sequences:
            raised.append(MadeUpError(sequence))
            raise raised[-1]

    return handle, seen, raised


def test_22_a_policy_gets_the_error_the_sequence_and_the_event(variant: Variant) -> None:
    ring = variant.ring(16)
    policy = Told()
    group = ring.consumer_group("told", on_error=policy)
    handle, seen, raised = failing_at(2, 5)
    group.add("fails", handle)
    with group:
        publish(ring, 8, first=100)
    assert policy.told == [(raised[0], 2, 102, "fails"), (raised[1], 5, 105, "fails")]
    assert seen == list(range(8))


def test_22_skip_goes_on_at_the_next_sequence(variant: Variant) -> None:
    ring = variant.ring(4)
    group = ring.consumer_group("skips", on_error="skip")
    handle, seen, raised = failing_at(*range(0, 20, 3))
    group.add("fails", handle)
    with group:
        publish(ring, 20)
    assert seen == list(range(20))
    assert len(raised) == 7


def test_22_halt_stops_at_the_sequence_that_failed(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("halts")
    handle, seen, raised = failing_at(3)
    consumer = group.add("fails", handle)
    publish(ring, 8)
    with pytest.raises(ringbus.HandlerError) as caught, group:
        group.drain(PATIENCE)
    assert caught.value.__cause__ is raised[0]
    assert (caught.value.consumer, caught.value.sequence) == ("fails", 3)
    assert seen == [0, 1, 2, 3]
    assert consumer.sequence == 2


@pytest.mark.parametrize(("of_group", "of_consumer"), [("halt", "skip"), ("skip", "halt")])
def test_22_the_policy_of_a_consumer_overrides_the_groups(variant: Variant, of_group: Any, of_consumer: Any) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("both", on_error=of_group)
    handle, seen, _ = failing_at(1)
    group.add("fails", handle, on_error=of_consumer)
    publish(ring, 4)
    expected = pytest.raises(ringbus.HandlerError) if of_consumer == "halt" else contextlib.nullcontext()
    with expected, group:
        group.drain(PATIENCE)
    assert seen == ([0, 1] if of_consumer == "halt" else [0, 1, 2, 3])


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
    gate = Gate()
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
    first = threading.Event()
    group.add("head", lambda event: first.set())
    group.add("tail", nothing).depends_on("head")
    group.start()
    publish(ring, 1)
    assert first.wait(PATIENCE)
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


class Wide(ringbus.Event):
    """The event of the stress test."""

    sequence: int
    a: int
    b: int
    s: str = ringbus.text(24)


class WideBox(Box):
    """The object of the stress test."""

    __slots__ = ("a", "b", "s", "sequence")


def mismatches(variant: Variant, publishers: int, each: int) -> tuple[list[int], list[int]]:
    """Have `publishers` threads publish `each` events to as many consumers; the events and faults each counted."""
    what: dict[str, Any] = {"event": Wide} if variant.structured else {"factory": WideBox}
    ring: ringbus.RingBuffer[Any] = ringbus.RingBuffer(
        **what, capacity=65_536, producers=variant.producers, wait=variant.wait
    )
    group = ring.consumer_group("all")
    counts, faults = [0] * publishers, [0] * publishers
    for number in range(publishers):

        def check(event: Any, sequence: int, number: int = number) -> None:
            fits = event.sequence == sequence and event.a == sequence + 13 and event.b == sequence - 7
            faults[number] += not (fits and event.s == f"wibble-{sequence}" and sequence == counts[number])
            counts[number] += 1

        group.add(f"check {number}", check)
    together = threading.Barrier(publishers)

    def produce() -> None:
        together.wait(PATIENCE)
        for _ in range(each):
            claim: Any = ring.claim()
            with claim as event:
                sequence = claim.first
                event.sequence, event.a, event.b = sequence, sequence + 13, sequence - 7
                event.s = f"wibble-{sequence}"

    with group, contextlib.ExitStack() as threads:
        for _ in range(publishers):
            threads.enter_context(running(produce))
    return counts, faults


@pytest.mark.timeout(120)
def test_25_many_publishers_and_consumers_never_mismatch(variant: Variant) -> None:
    publishers = 2 if variant.many else 1
    full = (variant.structured, variant.many, variant.wait) == (True, True, "blocking")
    each = 200_000 if full else 2_000
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
