"""Nothing leaks: memory over thousands of rings, rings and groups that are dropped, cycles, kept events, descriptors.

A weak reference that dies, and memory that does not grow, are what is looked at. Growth is bounded well under what one
ring of each round would take if it were kept.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import numpy as np
import pytest

import ringbus
from ringbus import KeptViewError, RingBuffer
from support.memory import MIB, descriptors, growth


class Tick(ringbus.Event):
    value: int


class Order:
    """What object rings hold."""

    def __init__(self):
        self.value = 0
        self.refers_to = None


@pytest.fixture(params=["single", "multi"])
def producers(request):
    return request.param


@pytest.fixture
def ring(producers):
    return RingBuffer(Tick, capacity=16, producers=producers)


# -- memory ---------------------------------------------------------------------------------------------------


def bare_ring():
    RingBuffer(Tick, capacity=1024).publish(value=1)


def ring_with_a_poller():
    ring = RingBuffer(Tick, capacity=1024)
    poller = ring.poller("p")
    ring.publish(value=1)
    assert len(poller.take()) == 1


def ring_with_a_group():
    ring = RingBuffer(Tick, capacity=1024, stamp=True)
    group = ring.consumer_group("g")
    group.add("a", lambda tick: ring.capacity)
    group.add("b", lambda tick: group.state).depends_on("a")
    ring.publish(value=1)
    assert group.run_once() == 2


def ring_with_a_claim():
    ring = RingBuffer(Tick, capacity=1024, producers="single")
    with ring.claim(100) as ticks:
        ticks["value"] = 7
    assert ring.try_claim() is not None


def ring_of_objects():
    ring = RingBuffer(factory=Order, capacity=64, clear=lambda order: None)
    poller = ring.poller("p")
    ring.publish(value=1)
    poller.take()


def ring_that_is_closed():
    with RingBuffer(Tick, capacity=1024) as ring, ring.poller("p"):
        ring.publish(value=1)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("times", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "make",
    [bare_ring, ring_with_a_poller, ring_with_a_group, ring_with_a_claim, ring_of_objects, ring_that_is_closed],
)
def test_rings_made_and_dropped_leave_no_memory_behind(make, times):
    assert growth(make, times) < 6 * MIB


def test_ten_thousand_rings_leave_no_memory_behind():
    assert growth(bare_ring, 10_000) < 6 * MIB


def test_groups_started_and_stopped_leave_no_memory_and_no_thread_behind(producers):
    threads = threading.active_count()

    def run():
        ring = RingBuffer(Tick, capacity=1024, producers=producers)
        group = ring.consumer_group("g")
        group.add("h", lambda tick: None)
        with group:
            ring.publish(value=1)

    assert growth(run, 500) < 6 * MIB
    assert threading.active_count() <= threads


def test_pollers_that_come_and_go_leave_no_memory_behind(ring):
    def come_and_go():
        ring.poller("p").close()

    def come_and_be_dropped():
        ring.poller("p")

    assert growth(come_and_go, 50_000) < MIB
    assert growth(come_and_be_dropped, 50_000) < MIB


def test_consumers_that_come_and_go_leave_no_memory_behind(ring):
    group = ring.consumer_group("g", dynamic=True)
    group.add("stays", lambda tick: None)

    def come_and_go():
        group.add("comes", lambda tick: None)
        group.remove("comes")

    with group:
        assert growth(come_and_go, 1_000) < 2 * MIB


def test_failed_publishes_leave_no_memory_behind(ring):
    def fail():
        with pytest.raises(ringbus.FieldError):
            ring.publish(value="seven")
        with pytest.raises(RuntimeError), ring.claim():
            raise RuntimeError

    assert growth(fail, 5_000) < 2 * MIB


# -- what is dropped is collected -----------------------------------------------------------------------------


def test_a_ring_that_is_dropped_is_freed_at_once(producers):
    ring = RingBuffer(Tick, capacity=16, producers=producers)
    gone = weakref.ref(ring)
    ring.publish(value=1)
    del ring
    assert gone() is None


def test_a_ring_with_consumers_is_collected_without_a_stop(ring):
    group = ring.consumer_group("g")
    group.add("h", lambda tick: None)
    poller = ring.poller("p")
    ring.publish(value=1)
    gone = [weakref.ref(thing) for thing in (group, poller, group["h"])]
    del group, poller
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3
    assert not ring.statistics().consumers
    assert ring.remaining_capacity == 16


@pytest.mark.parametrize("threads", [None, 1], ids=["thread each", "one thread"])
def test_a_running_group_that_nobody_refers_to_halts_and_is_collected(ring, threads):
    group = ring.consumer_group("g", threads=threads)
    seen = threading.Event()
    group.add("a", lambda tick: None)
    group.add("b", lambda tick: seen.set()).depends_on("a")
    group.start()
    ring.publish(value=1)
    assert seen.wait(10)
    running, gone = list(group._crew.threads), weakref.ref(group)
    del group
    gc.collect()
    for thread in running:
        thread.join(10)
    assert not any(thread.is_alive() for thread in running)
    assert gone() is None
    gc.collect()
    assert not ring.statistics().consumers
    for value in range(40):
        ring.publish(value=value)


def test_consumers_are_let_go_whatever_the_order_in_which_they_are_dropped(ring):
    """One on which others depend leaves after them."""
    groups = [ring.consumer_group(name) for name in "abc"]
    groups[0].add("a", lambda tick: None)
    groups[1].add("b", lambda tick: None, depends_on=("a",))
    groups[2].add("c", lambda tick: None, depends_on=("a", "b"))
    while groups:
        del groups[0]
        gc.collect()
    assert not ring.statistics().consumers


def test_a_group_lives_as_long_as_a_consumer_that_depends_on_it(ring):
    first, second = ring.consumer_group("first"), ring.consumer_group("second")
    first.add("a", lambda tick: None)
    seen = []
    second.add("b", lambda tick: seen.append(tick.value)).depends_on("a")
    first.start()
    gone = weakref.ref(first)
    del first
    gc.collect()
    with second:
        ring.publish(value=7)
    assert seen == [7]
    del second
    gc.collect()
    assert gone() is None


def test_a_ring_with_a_running_group_that_nobody_refers_to_is_collected(producers):
    ring = RingBuffer(Tick, capacity=16, producers=producers)
    gone = weakref.ref(ring)
    group = ring.consumer_group("g")
    group.add("h", lambda tick: None)
    group.start()
    ring.publish(value=1)
    running = list(group._crew.threads)
    del ring, group
    gc.collect()
    for thread in running:
        thread.join(10)
    assert not any(thread.is_alive() for thread in running)
    assert gone() is None


def test_a_consumer_that_joined_a_running_group_ends_with_it(ring):
    group = ring.consumer_group("g", dynamic=True)
    group.add("first", lambda tick: None)
    group.start()
    group.add("late", lambda tick: None)
    running = list(group._crew.threads)
    del group
    gc.collect()
    for thread in running:
        thread.join(10)
    assert not any(thread.is_alive() for thread in running)


def test_a_stopped_group_and_its_ring_are_collected(producers):
    def run():
        ring = RingBuffer(Tick, capacity=16, producers=producers)
        group = ring.consumer_group("g")
        group.add("h", lambda tick: (ring.cursor, group.state))
        with group:
            ring.publish(value=1)
        return weakref.ref(ring), weakref.ref(group)

    gone = run()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


# -- cycles ---------------------------------------------------------------------------------------------------


def made_in_a_function(build):
    """A weak reference to the ring that `build` makes, once everything of it is dropped and collected."""
    reference = weakref.ref(build())
    gc.collect()
    return reference


def through_a_handler():
    ring = RingBuffer(Tick, capacity=16)
    group = ring.consumer_group("g")
    group.add("h", lambda tick: (ring, group))
    ring.held = group
    return ring


def through_a_key():
    ring = RingBuffer(Tick, capacity=16)
    group = ring.consumer_group("g")
    group.add("h", lambda tick: None, workers=2, key=lambda tick: (ring, group))
    ring.held = group
    return ring


def through_a_policy():
    ring = RingBuffer(Tick, capacity=16)

    class Policy:
        def handle(self, error, sequence, event, consumer):
            assert ring.capacity

    policy = Policy()
    group = ring.consumer_group("g", on_error=policy)
    group.add("h", lambda tick: None)
    policy.group = group
    ring.held = group
    return ring


def through_a_life_cycle_method():
    ring = RingBuffer(Tick, capacity=16)

    class Handler:
        def __call__(self, tick):
            pass

        def on_start(self):
            assert ring.capacity

    handler = Handler()
    group = ring.consumer_group("g")
    group.add("h", handler)
    handler.group = group
    ring.held = group
    return ring


def through_an_object_of_its_slots():
    ring = RingBuffer(factory=Order, capacity=16)
    with ring.claim() as order:
        order.refers_to = ring
    return ring


def through_its_clear():
    def clear(order):
        assert ring.capacity

    ring = RingBuffer(factory=Order, capacity=16, clear=clear)
    return ring


def through_its_event_class():
    class Own(ringbus.Event):
        value: int

        def send(self):
            ring.publish(self)

    ring = RingBuffer(Own, capacity=16)
    Own(value=1).send()
    return ring


def through_a_poller():
    ring = RingBuffer(Tick, capacity=16)
    poller = ring.poller("p")
    poller.ring = ring
    ring.poller_of_mine = poller
    return ring


def through_a_subscription():
    ring = RingBuffer(Tick, capacity=16)
    subscription = ring.subscribe("s")
    subscription.ring = ring
    ring.held = subscription
    return ring


def through_an_async_handler():
    ring = RingBuffer(Tick, capacity=16)
    group = ring.consumer_group("g")

    async def handler(tick):
        assert ring.capacity
        assert group

    group.add("h", handler)
    ring.held = group
    return ring


@pytest.mark.parametrize(
    "build",
    [
        through_a_handler,
        through_a_key,
        through_a_policy,
        through_a_life_cycle_method,
        through_an_object_of_its_slots,
        through_its_clear,
        through_its_event_class,
        through_a_poller,
        through_a_subscription,
        through_an_async_handler,
    ],
)
def test_a_cycle_through_the_ring_is_collected(build):
    assert made_in_a_function(build)() is None


def test_an_event_class_of_a_dropped_ring_is_collected():
    def make():
        class Own(ringbus.Event):
            value: int

        ring = RingBuffer(Own, capacity=16)
        poller = ring.poller("p")
        ring.publish(value=1)
        assert poller.take()[0].value == 1
        return weakref.ref(Own)

    gone = make()
    gc.collect()
    assert gone() is None


# -- what is kept outlives the ring ---------------------------------------------------------------------------


def test_kept_events_outlive_the_ring_and_do_not_keep_it(producers):
    kept = []
    ring = RingBuffer(Tick, capacity=16, producers=producers)
    gone = weakref.ref(ring)
    group = ring.consumer_group("g")
    group.add("h", kept.append)
    poller = ring.poller("p")
    with group:
        for value in range(10):
            ring.publish(value=value)
    kept += poller.take()
    with ring.claim() as claimed:
        claimed.value = 99
    kept.append(claimed)
    del ring, group, poller, claimed
    gc.collect()
    assert gone() is None
    assert [tick.value for tick in kept] == [*range(10), *range(10), 99]


def test_an_array_of_a_claim_is_empty_afterwards_and_does_not_keep_the_ring(producers):
    ring = RingBuffer(Tick, capacity=16, producers=producers)
    gone = weakref.ref(ring)
    with ring.claim(8) as ticks:
        ticks["value"] = 1
    assert len(ticks) == 0
    del ring
    gc.collect()
    assert gone() is None


def test_a_kept_view_of_a_batch_stays_readable_after_the_ring_is_gone(producers):
    """It halts its group, but its memory is not freed under it."""
    views = []
    ring = RingBuffer(Tick, capacity=16, producers=producers)
    gone = weakref.ref(ring)

    @ringbus.batch
    def keeps(ticks):
        views.append(ticks["value"][1:3])

    group = ring.consumer_group("g")
    group.add("h", keeps)
    ring.publish_batch(np.array([(1,), (2,), (3,), (4,)], Tick.dtype))
    with pytest.raises(KeptViewError, match=r"copy\(\)"), group:
        pass
    del ring, group, keeps
    gc.collect()
    assert gone() is None
    assert views[0].tolist() == [2, 3]


def test_kept_views_that_are_dropped_free_the_memory():
    def keep_and_drop():
        views = []
        ring = RingBuffer(Tick, capacity=4096)

        @ringbus.batch
        def keeps(ticks):
            views.append(ticks)

        group = ring.consumer_group("g")
        group.add("h", keeps)
        ring.publish_batch(np.ones(4096, Tick.dtype))
        with pytest.raises(KeptViewError):
            group.run_once()
        assert views[0]["value"].sum() == 4096

    assert growth(keep_and_drop, 500) < 6 * MIB


# -- descriptors ----------------------------------------------------------------------------------------------


def test_rings_and_pollers_need_no_descriptor():
    before = descriptors()
    ring = RingBuffer(Tick, capacity=16)
    poller = ring.poller("p")
    group = ring.consumer_group("g")
    group.add("h", lambda tick: None)
    with group:
        ring.publish(value=1)
        assert descriptors() == before
    assert poller.take()[0].value == 1


@pytest.mark.parametrize("end", ["close", "drop"])
def test_subscriptions_give_their_descriptor_back(ring, end):
    before = descriptors()
    for _ in range(100):
        subscription = ring.subscribe("s")
        assert len(descriptors()) == len(before) + 1
        if end == "close":
            subscription.close()
        del subscription
    assert descriptors() == before


def test_async_handlers_give_their_descriptor_back(ring):
    before = descriptors()
    seen = []

    async def handler(tick):
        seen.append(tick.value)

    async def main():
        for number in range(20):
            group = ring.consumer_group("g")
            group.add("h", handler)
            async with group:
                ring.publish(value=number)

    asyncio.run(main())
    assert seen == list(range(20))
    assert descriptors() == before


def test_a_group_with_async_handlers_that_never_started_gives_its_descriptor_back(ring):
    before = descriptors()

    async def handler(tick):
        pass

    group = ring.consumer_group("g")
    group.add("h", handler)
    del group
    gc.collect()
    assert descriptors() == before
