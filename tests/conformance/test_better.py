"""Where the reference implementation falls short and this one does not."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
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
    Variant,
    only,
    opened_at_end,
    publish,
    running,
    taken,
)

structured = only("arrays of slots need structured memory", lambda variant: variant.structured)
objects = only("only objects keep others alive", lambda variant: not variant.structured)
blocking = only("the others are told to spin, or sleep for a time", lambda variant: variant.wait == "blocking")


# -- start, publish, stop ---------------------------------------------------------------------------------------------


def recording(seen: list[int]) -> Callable[[Any], None]:
    """A handler that takes down the values."""
    return lambda event: seen.append(event.value)


@pytest.mark.parametrize("threads", [None, 1], ids=["threads", "one-thread"])
def test_better_a_nothing_is_lost_when_a_group_starts_and_stops_at_once(variant: Variant, threads: Any) -> None:
    for _ in range(RUNS // len(ALL)):
        ring = variant.ring(16)
        first: list[int] = []
        last: list[int] = []
        group = ring.consumer_group("short", threads=threads)
        group.add("first", recording(first))
        group.add("last", recording(last)).depends_on("first")
        group.start()
        publish(ring, 10)
        group.stop()
        assert (first, last) == (list(range(10)), list(range(10)))


# -- errors reach the producer ----------------------------------------------------------------------------------------


class MadeUpError(Exception):
    """What handlers and translators fail with."""


def test_better_b_a_blocked_producer_gets_the_error_of_the_handler(variant: Variant) -> None:
    ring = variant.ring(4)
    group = ring.consumer_group("fails")
    full = threading.Event()

    def fail(event: Any) -> None:
        assert full.wait(PATIENCE)
        raise MadeUpError(event.value)

    group.add("fails", fail)

    def produce() -> None:
        publish(ring, 4)
        full.set()
        with pytest.raises(ringbus.HandlerError, match="'fails' failed at sequence 0") as caught:
            publish(ring, 2**62)
        assert isinstance(caught.value.__cause__, MadeUpError)

    with pytest.raises(ringbus.HandlerError, match="'fails'"), group, running(produce):
        pass


def test_better_b_whoever_publishes_next_gets_the_error(variant: Variant) -> None:
    ring = variant.ring(4)
    group = ring.consumer_group("fails")

    def fail(event: Any) -> None:
        raise MadeUpError(event.value)

    group.add("fails", fail)
    group.start()
    publish(ring, 1)
    assert group.join(PATIENCE)
    for verb in (ring.publish, ring.try_publish, ring.producer().publish):
        with pytest.raises(ringbus.HandlerError, match="sequence 0"):
            verb(value=1)
    with pytest.raises(ringbus.HandlerError), ring.claim():
        pytest.fail("a claim was made")
    with pytest.raises(ringbus.HandlerError):
        group.stop()


# -- time-outs and Ctrl-C in a claim ----------------------------------------------------------------------------------


def goes_on_without_a_hole(ring: ringbus.RingBuffer[Any], poller: ringbus.EventPoller[Any], capacity: int) -> None:
    """Check that a full ring of values from 0 on is as if nothing had been asked of it."""
    assert ring.cursor == capacity - 1
    assert ring.remaining_capacity == 0
    assert taken(poller) == list(range(capacity))
    publish(ring, 2, first=capacity)
    assert taken(poller) == [capacity, capacity + 1]
    assert ring.cursor == capacity + 1
    assert ring.statistics().pads == 0


def test_better_c_a_claim_that_times_out_leaves_no_hole(variant: Variant) -> None:
    ring = variant.ring(4)
    with ring.poller("slow") as poller:
        publish(ring, 4)
        for _ in range(3):
            with pytest.raises(ringbus.WaitTimeout), ring.claim(timeout=0.001):
                pytest.fail("a full ring gave a slot")
            with pytest.raises(ringbus.WaitTimeout):
                ring.producer(timeout=0.001).publish(value=9)
        goes_on_without_a_hole(ring, poller, 4)


@structured
def test_better_c_a_claim_of_many_that_times_out_leaves_no_hole(variant: Variant) -> None:
    ring = variant.ring(4)
    with ring.poller("slow") as poller:
        publish(ring, 4)
        with pytest.raises(ringbus.WaitTimeout), ring.claim(3, timeout=0.001):
            pytest.fail("a full ring gave slots")
        goes_on_without_a_hole(ring, poller, 4)


@pytest.mark.parametrize("verb", ["publish", "claim"])
def test_better_c_ctrl_c_in_a_blocked_claim_leaves_no_hole(variant: Variant, verb: str) -> None:
    ring = variant.ring(4)
    main = threading.main_thread().ident
    assert main == threading.get_ident()

    def block() -> None:
        timer.start()
        if verb == "publish":
            ring.publish(value=9)
        else:
            ring.claim().__enter__()
        pytest.fail("a full ring gave a slot")

    with ring.poller("slow") as poller:
        publish(ring, 4)
        timer = threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            block()
        timer.join()
        goes_on_without_a_hole(ring, poller, 4)


# -- errors while filling ---------------------------------------------------------------------------------------------


def test_better_d_an_error_while_a_slot_is_filled_shows_nothing_to_anybody(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("readers")
    seen: list[int] = []
    ends: list[tuple[int, bool]] = []
    group.add("seen", lambda event: seen.append(event.value))
    group.add("ends", lambda event, sequence, end: ends.append((event.value, end)))
    poller = ring.poller("poller")

    def half(event: Any) -> None:
        event.value = 999
        raise MadeUpError

    publish(ring, 1)
    with pytest.raises(MadeUpError), ring.claim() as event:
        half(event)
    with pytest.raises(MadeUpError):
        ring.publish(half)
    publish(ring, 1, first=1)
    with pytest.raises(MadeUpError), ring.claim() as event:
        half(event)
    with group:
        group.drain(PATIENCE)
    assert seen == [0, 1]
    assert ends == [(0, False), (1, True)]
    assert taken(poller) == [0, 1]
    assert poller.sequence == ring.cursor


@structured
def test_better_d_an_error_in_a_claim_of_many_shows_nothing_to_anybody(variant: Variant) -> None:
    ring = variant.ring(8)
    arrays: list[list[int]] = []

    def half(events: Any) -> None:
        events["value"] = 999
        raise MadeUpError

    @ringbus.batch
    def handle(events: Any) -> None:
        arrays.append(events["value"].tolist())

    group = ring.consumer_group("readers")
    group.add("arrays", handle)
    with group:
        for first in range(0, 60, 4):
            with pytest.raises(MadeUpError), ring.claim(3) as events:
                half(events)
            publish(ring, 4, first=first)
    assert [value for array in arrays for value in array] == list(range(60))


# -- stop with a time-out ---------------------------------------------------------------------------------------------


def test_better_e_a_stop_with_a_time_out_halts_and_says_who_lagged(variant: Variant) -> None:
    ring = variant.ring(64)
    group = ring.consumer_group("late")
    seen: list[int] = []
    began, pause = threading.Event(), threading.Event()

    def crawl(event: Any) -> None:
        seen.append(event.value)
        began.set()
        pause.wait(0.05)

    quick = group.add("quick", lambda event: None)
    group.add("crawls", crawl)
    group.start()
    publish(ring, 64)
    assert ring._ring.wait_done(quick.runners[0].index, 63, PATIENCE)
    assert began.wait(PATIENCE)
    with pytest.raises(ringbus.WaitTimeout, match=r"crawls \(\d+ behind\)") as caught:
        group.stop(timeout=0.01)
    assert [who.split()[0] for who in caught.value.laggards] == ["crawls"]
    assert group.state == "stopped"
    assert group.join(0)
    assert 0 < len(seen) < 64
    assert ring.remaining_capacity == 64


# -- size of batches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 64])
def test_better_f_the_size_of_batches_can_be_limited(variant: Variant, limit: int) -> None:
    ring = variant.ring(32)
    sizes: list[int] = []
    released: list[int] = []

    class Sizes:
        def on_batch_start(self, size: int) -> None:
            sizes.append(size)
            released.append(consumer.sequence)

        def __call__(self, event: Any) -> None:
            """Handle an event."""

    group = ring.consumer_group("narrow")
    consumer = group.add("narrow", Sizes(), max_batch=limit)
    publish(ring, 32)
    with group:
        group.drain(PATIENCE)
    assert sizes == [limit] * (32 // limit) + [rest for rest in [32 % limit] if rest]
    assert released == [limit * number - 1 for number in range(len(sizes))]


# -- waits of the blocking strategy -----------------------------------------------------------------------------------


def cpu_seconds(thread: threading.Thread) -> float:
    """What a thread has used of the processor."""
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def work_for(seconds: float) -> None:
    """Keep this thread busy for so much time of the processor: who is busy beside it gets as much, on any machine."""
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        continue


@blocking
def test_better_g_a_blocking_wait_for_another_stage_sleeps(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("stages")
    gate = Gate()
    group.add("gate", gate)
    group.add("waits", lambda event: None).depends_on("gate")
    group.add("idle", lambda event: None)
    with group, opened_at_end(gate), running(lambda: publish(ring, 20)) as producer:
        gate.wait()
        waiting = [thread for thread in group._crew.threads if not thread.name.endswith("gate")] + [producer]
        before = [cpu_seconds(thread) for thread in waiting]
        work_for(0.2)
        used = [cpu_seconds(thread) - began for thread, began in zip(waiting, before, strict=True)]
        gate.open()
    assert max(used) < 0.05, "a thread was busy while it waited"


# -- objects ----------------------------------------------------------------------------------------------------------


class Cargo:
    """Something large that an object refers to."""


@objects
def test_better_h_objects_are_cleared_after_the_last_consumer(variant: Variant) -> None:
    cleared: list[int] = []
    seen: list[int] = []

    def clear(box: Any) -> None:
        assert seen[-1] >= box.value, "an object was cleared before the last consumer had it"
        cleared.append(box.value)
        box.other = None

    ring = variant.ring(8, clear=clear)
    group = ring.consumer_group("chain")
    group.add("first", lambda box: None)
    group.add("last", lambda box: seen.append(box.value)).depends_on("first")
    alive = []
    with group:
        for value in range(50):
            cargo = Cargo()
            alive.append(weakref.ref(cargo))
            ring.publish(value=value, other=cargo)
        del cargo
        group.drain(PATIENCE)
    assert seen == cleared == list(range(50))
    gc.collect()
    assert [reference() for reference in alive] == [None] * 50


@objects
def test_better_h_without_clear_an_object_keeps_what_it_refers_to(variant: Variant) -> None:
    ring = variant.ring(8)
    group = ring.consumer_group("chain")
    group.add("reader", lambda box: None)
    cargo = Cargo()
    alive = weakref.ref(cargo)
    with group:
        ring.publish(value=1, other=cargo)
        del cargo
    gc.collect()
    assert isinstance(alive(), Cargo)
    assert Box().other == 7
