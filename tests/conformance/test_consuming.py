"""Statements 16 to 25: groups, handlers, and the waits of consumers.

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
    ALL,
    PATIENCE,
    RUNS,
    Box,
    Gate,
    Number,
    Variant,
    only,
    opened_at_end,
    publish,
    running,
    values,
)

EACH = RUNS // len(ALL)
"""Races of one variant."""

structured = only("arrays of slots need structured memory", lambda variant: variant.structured)


def nothing(event: object) -> None:
    """Handle an event."""


# -- 16 ---------------------------------------------------------------------------------------------------------------


class Lived:
    """A handler that counts its life-cycle calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_start(self) -> None:
        self.calls.append("start")

    def on_shutdown(self) -> None:
        self.calls.append("shutdown")

    def __call__(self, event: object) -> None:
        self.calls.append("event")


def race(variant: Variant, moment: str) -> list[list[str]]:
    """Start and halt a group of two in the given order, and give what each handler was called."""
    ring = variant.ring(4)
    group = ring.consumer_group("short", drain_timeout=PATIENCE)
    handlers = [Lived(), Lived()]
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
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("ringbus-short-")]
    return [handler.calls for handler in handlers]


@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_16_halt_always_ends_the_thread_with_each_life_cycle_call_once(variant: Variant, moment: str) -> None:
    for _ in range(EACH):
        assert race(variant, moment) == [["start", "shutdown"], ["start", "shutdown"]]


# -- 17 ---------------------------------------------------------------------------------------------------------------


class Sizes:
    """A handler that takes down how large each batch was said to be, and how many events came."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.events: list[int] = []

    def on_batch_start(self, size: int) -> None:
        assert len(self.events) == sum(self.sizes), "the last batch was larger or smaller than said"
        self.sizes.append(size)

    def __call__(self, event: Any) -> None:
        self.events.append(event.value)


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
    plain, narrow = Sizes(), Sizes()
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
    handler = Sizes()
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
    handler = Sizes()
    group.add("worker", handler, workers=2, key=lambda event: 0)
    publish(ring, 5)
    assert group.run_once() == 5
    assert handler.sizes == [5]


@structured
def test_17_a_batch_handler_is_told_the_length_of_its_array(variant: Variant) -> None:
    ring = variant.ring(16)
    said: list[int] = []
    came: list[int] = []

    class Total:
        def on_batch_start(self, size: int) -> None:
            said.append(size)

        @ringbus.batch
        def __call__(self, events: Any) -> None:
            came.append(len(events))

    group = ring.consumer_group("sizes")
    group.add("total", Total())
    with group:
        for value in range(100):
            publish_or_fail(ring, value)
    assert said == came
    assert min(said) > 0
    assert sum(said) == 50


# -- 18 ---------------------------------------------------------------------------------------------------------------


class Alternate:
    """A handler that takes every second sequence."""

    def __init__(self, own: int) -> None:
        self.own = own
        self.taken: list[int] = []

    def __call__(self, event: Any, sequence: int) -> None:
        assert event.value == sequence
        if sequence % 2 == self.own:
            self.taken.append(sequence)


def test_18_two_consumers_take_alternate_sequences(variant: Variant) -> None:
    ring = variant.ring(2048)
    group = ring.consumer_group("alternate")
    consumers = [Alternate(0), Alternate(1)]
    for consumer in consumers:
        group.add(f"takes {consumer.own}", consumer)
    with group:
        publish(ring, 10_000)
    assert [consumer.taken for consumer in consumers] == [list(range(0, 10_000, 2)), list(range(1, 10_000, 2))]


def test_18_two_workers_take_alternate_sequences_by_key(variant: Variant) -> None:
    ring = variant.ring(2048)
    group = ring.consumer_group("alternate")
    taken: dict[str, list[int]] = {}

    def take(event: Any, sequence: int) -> None:
        taken.setdefault(threading.current_thread().name, []).append(sequence)

    group.add("worker", take, workers=2, key=lambda event: event.value % 2)
    with group:
        publish(ring, 10_000)
    assert sorted(taken.values()) == [list(range(0, 10_000, 2)), list(range(1, 10_000, 2))]


# -- 19 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["left", "right"])
def test_19_in_a_diamond_the_last_sees_nothing_before_both_are_done(variant: Variant, held: str) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("diamond")
    gate, last = Gate(), []
    free = {"left": "right", "right": "left"}[held]
    group.add(held, gate)
    group.add(free, nothing)
    group.add("last", lambda event: last.append(event.value)).depends_on("left", "right")
    with group, opened_at_end(gate):
        publish(ring, 2)
        gate.wait()
        assert ring._ring.wait_done(group[free].runners[0].index, 1, PATIENCE)
        assert (last, group["last"].sequence) == ([], -1)
        gate.open()
        group.drain(PATIENCE)
        assert last == [0, 1]


def test_19_a_chain_hands_on_in_order(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("chain")

    def first(event: Any) -> None:
        event.other = event.value + 1

    def then(event: Any) -> None:
        event.other *= 2

    seen = []
    group.add("last", lambda event: seen.append(event.other))
    group.add("then", then)
    group.add("first", first)
    group["then"].depends_on("first")
    group["last"].depends_on("then")
    with group:
        publish(ring, 100)
    assert seen == [2 * (value + 1) for value in range(100)]


def test_19_a_consumer_may_follow_one_of_another_group(variant: Variant) -> None:
    ring = variant.ring(8)
    ahead, behind = ring.consumer_group("ahead"), ring.consumer_group("behind")
    gate, seen = Gate(), []
    ahead.add("gate", gate)
    behind.add("seen", lambda event: seen.append(event.value), depends_on=("gate",))
    with ahead, behind, opened_at_end(gate):
        publish(ring, 2)
        gate.wait()
        assert seen == []
        gate.open()
        behind.drain(PATIENCE)
        assert seen == [0, 1]


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
    seen = []
    group.add("a", lambda event: seen.append(("a", event.value)))
    group.add("b", nothing).depends_on("a")
    group.add("c", lambda event: seen.append(("c", event.value))).depends_on("b")
    with pytest.raises(ringbus.TopologyError, match="cycle"):
        group["a"].depends_on("c")
    with pytest.raises(ringbus.TopologyError, match="cycle"):
        group["b"].depends_on("b")
    with group:
        publish(ring, 1)
    assert seen == [("a", 0), ("c", 0)]


def test_19_starting_twice_is_an_error(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("once")
    seen = []
    group.add("reader", lambda event: seen.append(event.value))
    with group:
        with pytest.raises(ringbus.TopologyError, match="started before"):
            group.start()
        publish(ring, 3)
    with pytest.raises(ringbus.TopologyError, match="started before"):
        group.start()
    assert seen == [0, 1, 2]


def test_19_adding_to_a_running_group_is_an_error_unless_it_is_dynamic(variant: Variant) -> None:
    ring = variant.ring(8)
    fixed, dynamic = ring.consumer_group("fixed"), ring.consumer_group("dynamic", dynamic=True)
    seen = []
    fixed.add("one", nothing)
    dynamic.add("two", nothing)
    with fixed, dynamic:
        publish(ring, 3)
        with pytest.raises(ringbus.TopologyError, match="dynamic=True"):
            fixed.add("three", nothing)
        dynamic.add("four", lambda event: seen.append(event.value), depends_on=("two",))
        publish(ring, 20, first=3)
    assert seen == list(range(3, 23))


def test_19_what_was_published_before_the_start_is_delivered(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("late")
    seen = []
    group.add("reader", lambda event: seen.append(event.value))
    publish(ring, 5)
    with group:
        publish(ring, 5, first=5)
    assert seen == list(range(10))


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
