"""Workers: each event to one of several, to whoever is free or by key."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.events import PATIENCE, PRODUCERS, Quote, Trade, publish_trades, trades

Seen = dict[str, list[int]]


class Recorder:
    """A handler that takes down which thread got which numbers."""

    def __init__(self) -> None:
        self.by_worker: Seen = collections.defaultdict(list)

    def __call__(self, trade: Any) -> None:
        self.by_worker[threading.current_thread().name].append(trade.number)

    @property
    def all(self) -> list[int]:
        """All numbers, in order."""
        return sorted(number for numbers in self.by_worker.values() for number in numbers)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 16 trades."""
    return trades(16, request.param)


# -- whoever is free --------------------------------------------------------------------------------------------------


def test_each_event_goes_to_one_of_the_workers(ring: ringbus.RingBuffer[Trade]) -> None:
    seen = Recorder()
    group = ring.consumer_group("group")
    group.add("ship", seen, workers=4)
    with group:
        publish_trades(ring, 1000)
    assert seen.all == list(range(1000))
    for numbers in seen.by_worker.values():
        assert numbers == sorted(numbers)


def test_all_workers_work_at_the_same_time(ring: ringbus.RingBuffer[Trade]) -> None:
    together = threading.Barrier(4)
    group = ring.consumer_group("group")
    group.add("ship", lambda trade: together.wait(PATIENCE), workers=4)
    with group:
        publish_trades(ring, 12)


def test_whoever_is_free_takes_the_next_while_another_is_held_up(ring: ringbus.RingBuffer[Trade]) -> None:
    held, go_on, rest = threading.Event(), threading.Event(), threading.Event()
    seen: list[int] = []

    def handle(trade: Trade) -> None:
        if trade.number == 0:
            held.set()
            assert go_on.wait(PATIENCE)
        seen.append(trade.number)
        if len(seen) == 15:
            rest.set()

    group = ring.consumer_group("group")
    consumer = group.add("ship", handle, workers=2)
    with group:
        publish_trades(ring, 16)
        assert held.wait(PATIENCE)
        assert rest.wait(PATIENCE), "the free worker did not take the rest"
        assert sorted(seen) == list(range(1, 16))
        assert consumer.sequence == -1
        assert not ring.try_publish(symbol="a", price=1.0)
        go_on.set()
    assert sorted(seen) == list(range(16))


@pytest.mark.parametrize("capacity", [1, 2, 4])
def test_there_may_be_more_workers_than_slots(capacity: int) -> None:
    ring = trades(capacity)
    seen = Recorder()
    group = ring.consumer_group("group")
    group.add("ship", seen, workers=7)
    with group:
        publish_trades(ring, 200)
    assert seen.all == list(range(200))


@pytest.mark.parametrize("workers", [2, 32])
def test_workers_that_join_late_take_what_comes_from_then_on(ring: ringbus.RingBuffer[Trade], workers: int) -> None:
    publish_trades(ring, 11)
    seen = Recorder()
    group = ring.consumer_group("group")
    group.add("ship", seen, workers=workers)
    with group:
        publish_trades(ring, 50, first=11)
    assert seen.all == list(range(11, 61))


def test_a_dependent_comes_after_whichever_worker_had_the_event(ring: ringbus.RingBuffer[Trade]) -> None:
    done: set[int] = set()
    early: list[int] = []
    after: list[int] = []

    def follow(trade: Trade) -> None:
        if trade.number not in done:
            early.append(trade.number)
        after.append(trade.number)

    group = ring.consumer_group("group")
    group.add("ship", lambda trade: done.add(trade.number), workers=3)
    group.add("after", follow).depends_on("ship")
    with group:
        publish_trades(ring, 500)
    assert early == []
    assert after == list(range(500))


def test_workers_may_follow_another_consumer(ring: ringbus.RingBuffer[Trade]) -> None:
    prepared: set[int] = set()
    seen: list[tuple[int, bool]] = []
    group = ring.consumer_group("group")
    group.add("prepare", lambda trade: prepared.add(trade.number))
    group.add("ship", lambda trade: seen.append((trade.number, trade.number in prepared)), workers=3).depends_on(
        "prepare"
    )
    with group:
        publish_trades(ring, 300)
    assert sorted(seen) == [(number, True) for number in range(300)]


@pytest.mark.parametrize("key", [None, "number"], ids=["free", "keyed"])
def test_workers_on_one_thread_and_on_demand(ring: ringbus.RingBuffer[Trade], key: str | None) -> None:
    seen = Recorder()
    group = ring.consumer_group("group", threads=1)
    group.add("ship", seen, workers=3, key=key)
    with group:
        publish_trades(ring, 200)
    assert seen.all == list(range(200))
    assert len(seen.by_worker) == 1
    again = Recorder()
    group = ring.consumer_group("on demand")
    group.add("ship again", again, workers=3, key=key)
    publish_trades(ring, 16)
    handled = 0
    while count := group.run_once():
        handled += count
    assert handled == 16
    assert again.all == list(range(16))


# -- by key -----------------------------------------------------------------------------------------------------------


KEYS: dict[str, Any] = {
    "an integer field": "number",
    "a text field": "symbol",
    "a float field": "price",
    "a callable": lambda trade: trade.symbol,
}


@pytest.mark.parametrize("key", KEYS)
def test_the_same_key_goes_to_the_same_worker_in_order(ring: ringbus.RingBuffer[Trade], key: str) -> None:
    took: dict[int, set[str]] = collections.defaultdict(set)
    order: dict[int, list[float]] = collections.defaultdict(list)

    def handle(trade: Trade) -> None:
        took[trade.number].add(threading.current_thread().name)
        order[trade.number].append(trade.quantity)

    group = ring.consumer_group("group")
    group.add("ship", handle, workers=4, key=KEYS[key])
    with group:
        for turn in range(400):
            number = turn % 13
            ring.publish(symbol=f"s{number}", price=float(number), quantity=float(turn), number=number)
    assert all(len(threads) == 1 for threads in took.values())
    assert all(turns == sorted(turns) for turns in order.values())
    assert sum(len(turns) for turns in order.values()) == 400
    assert len(set.union(*took.values())) > 1, "all keys went to one worker"


def test_a_batch_handler_gets_the_runs_of_its_keys(ring: ringbus.RingBuffer[Trade]) -> None:
    took: dict[int, set[str]] = collections.defaultdict(set)
    seen: list[int] = []

    @ringbus.batch
    def handle(events: Any) -> None:
        for number, turn in zip(events["number"].tolist(), events["quantity"].tolist(), strict=True):
            took[number].add(threading.current_thread().name)
            seen.append(int(turn))

    group = ring.consumer_group("group")
    group.add("ship", handle, workers=3, key="number")
    with group:
        for turn in range(300):
            ring.publish(symbol="a", price=1.0, quantity=float(turn), number=turn // 4 % 5)
    assert sorted(seen) == list(range(300))
    assert all(len(threads) == 1 for threads in took.values())


def test_objects_are_shared_by_an_attribute_or_a_callable() -> None:
    class Order:
        number = 0

    ring = ringbus.RingBuffer(factory=Order, capacity=16)
    by_name, by_call, free = Recorder(), Recorder(), Recorder()
    group = ring.consumer_group("group")
    group.add("name", by_name, workers=3, key="number")
    group.add("call", by_call, workers=3, key=lambda order: order.number % 3)
    group.add("free", free, workers=3)
    with group:
        for number in range(200):
            ring.publish(number=number)
    for seen in (by_name, by_call, free):
        assert seen.all == list(range(200))


def test_a_key_that_no_event_has_is_refused(ring: ringbus.RingBuffer[Trade]) -> None:
    with pytest.raises(ringbus.ConfigurationError, match=r"numbr.*number"):
        ring.consumer_group("group").add("ship", lambda trade: None, workers=2, key="numbr")
    union = ringbus.RingBuffer(Trade | Quote, 8)
    with pytest.raises(ringbus.ConfigurationError, match=r"number.*Quote"):
        union.consumer_group("group").add("ship", lambda event: None, workers=2, key="number")
    assert not ring.statistics().consumers


def test_a_key_of_the_types_that_are_taken_is_enough() -> None:
    ring = ringbus.RingBuffer(Trade | Quote, 8)
    seen: list[int] = []

    def handle(trade: Trade) -> None:
        seen.append(trade.number)

    group = ring.consumer_group("group")
    group.add("ship", handle, workers=2, key="number")
    with group:
        for number in range(100):
            ring.publish(Trade, symbol="a", price=1.0, number=number)
            ring.publish(Quote, bid=1.0)
    assert sorted(seen) == list(range(100))


# -- options, failures, counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"workers": -1},
        {"workers": 33},
        {"workers": True},
        {"workers": 2.0},
        {"key": "number"},
        {"workers": 2, "key": 5},
        {"workers": 2, "gating": False},
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(ring: ringbus.RingBuffer[Trade], options: dict[str, Any]) -> None:
    with pytest.raises(ringbus.ConfigurationError):
        ring.consumer_group("group").add("ship", lambda trade: None, **options)
    assert not ring.statistics().consumers


def test_batch_and_async_handlers_do_not_share_freely(ring: ringbus.RingBuffer[Trade]) -> None:
    async def asynchronous(trade: Trade) -> None:
        """Handle an event."""

    group = ring.consumer_group("group")
    with pytest.raises(ringbus.ConfigurationError, match="key"):
        group.add("batch", ringbus.batch(lambda events: None), workers=2)
    with pytest.raises(ringbus.ConfigurationError, match="async"):
        group.add("async", asynchronous, workers=2)
    assert not ring.statistics().consumers


@pytest.mark.parametrize("key", [None, "number"], ids=["free", "keyed"])
def test_a_failure_that_is_skipped_costs_one_event(ring: ringbus.RingBuffer[Trade], key: str | None) -> None:
    seen = Recorder()

    def handle(trade: Trade) -> None:
        seen(trade)
        if trade.number % 7 == 0:
            raise ValueError(trade.number)

    group = ring.consumer_group("group", on_error="skip")
    group.add("ship", handle, workers=3, key=key)
    with group:
        publish_trades(ring, 200)
    assert seen.all == list(range(200))


@pytest.mark.parametrize("key", [None, "number"], ids=["free", "keyed"])
def test_a_failure_that_halts_ends_all_workers_and_tells_the_producer(
    ring: ringbus.RingBuffer[Trade], key: str | None
) -> None:
    def handle(trade: Trade) -> None:
        if trade.number == 20:
            raise ValueError(trade.number)

    group = ring.consumer_group("group")
    group.add("ship", handle, workers=3, key=key)
    group.start()
    with pytest.raises(ringbus.HandlerError, match="'ship' failed at sequence 20"):
        publish_trades(ring, 10_000)
    with pytest.raises(ringbus.HandlerError):
        group.stop()
    assert group.join(PATIENCE)


def failing_key(trade: Trade) -> object:
    """Every seventh number has no key, and every ninth one that has no hash."""
    if trade.number % 7 == 6:
        raise ValueError(trade.number)
    return [] if trade.number % 9 == 8 else trade.number


BAD_KEYS = [number for number in range(200) if number % 7 == 6 or number % 9 == 8]


class Told:
    """A policy that takes down what it is told, and goes on."""

    def __init__(self) -> None:
        self.told: list[tuple[type[BaseException], int, int, str]] = []

    def handle(self, error: BaseException, sequence: int, event: Any, consumer: ringbus.Consumer) -> None:
        self.told.append((type(error), sequence, event.number, consumer.name))


def taking(seen: Recorder, form: str) -> Callable[..., object]:
    """A handler of events, or of batches, that takes down the numbers."""
    if form == "event":
        return seen

    @ringbus.batch
    def handle(events: Any) -> None:
        seen.by_worker[threading.current_thread().name].extend(events["number"].tolist())

    return handle


@pytest.mark.parametrize("threads", [None, 1], ids=["threads", "one-thread"])
@pytest.mark.parametrize("form", ["event", "batch"])
def test_an_event_whose_key_fails_goes_to_the_policy_and_to_no_worker(
    ring: ringbus.RingBuffer[Trade], form: str, threads: Any
) -> None:
    seen, policy = Recorder(), Told()
    group = ring.consumer_group("group", threads=threads)
    group.add("ship", taking(seen, form), workers=3, key=failing_key, on_error=policy)
    with group:
        publish_trades(ring, 200)
    assert sorted(seen.all) == [number for number in range(200) if number not in BAD_KEYS]
    kinds = [ValueError if number % 7 == 6 else TypeError for number in BAD_KEYS]
    assert policy.told == [(kind, number, number, "ship") for kind, number in zip(kinds, BAD_KEYS, strict=True)]


@pytest.mark.parametrize("form", ["event", "batch"])
def test_a_key_that_fails_halts_under_the_default_policy(ring: ringbus.RingBuffer[Trade], form: str) -> None:
    seen = Recorder()
    group = ring.consumer_group("group")
    group.add("ship", taking(seen, form), workers=2, key=failing_key)
    with pytest.raises(ringbus.HandlerError, match="'ship' failed at sequence 6 ") as caught, group:
        publish_trades(ring, 7)
    assert isinstance(caught.value.__cause__, ValueError)
    assert set(seen.all) <= set(range(6))


def test_a_key_of_objects_that_fails_goes_to_the_policy_too() -> None:
    class Order:
        number = 0

    ring = ringbus.RingBuffer(factory=Order, capacity=8)
    seen, policy = Recorder(), Told()
    group = ring.consumer_group("group", on_error=policy)
    group.add("ship", seen, workers=2, key="missing")
    with group:
        ring.publish(number=5)
    assert (seen.all, policy.told) == ([], [(AttributeError, 0, 5, "ship")])


def test_the_counts_of_workers_add_up(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("ship", lambda trade: None, workers=3, key="number")
    with group:
        publish_trades(ring, 100)
        group.drain(PATIENCE)
        running = consumer.statistics()
        rows = ring.statistics().consumers
        assert sorted(rows) == ["ship/0", "ship/1", "ship/2"]
        assert sum(row.events for row in rows.values()) == 100
    for counted in (running, consumer.statistics(), group.statistics().consumers["ship"]):
        assert (counted.name, counted.events, counted.sequence, counted.lag) == ("ship", 100, 99, 0)


def test_workers_cannot_release_early(ring: ringbus.RingBuffer[Trade]) -> None:
    raised: list[type[Exception]] = []

    def handle(trade: Trade, sequence: int) -> None:
        with pytest.raises(ringbus.TopologyError) as caught:
            consumer.release(sequence - 1)
        raised.append(type(caught.value))

    group = ring.consumer_group("group")
    consumer = group.add("ship", handle, workers=2)
    with group:
        publish_trades(ring, 4)
    assert len(raised) == 4


def test_the_name_of_workers_is_taken_as_a_whole(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    group.add("ship", lambda trade: None, workers=2)
    with pytest.raises(ringbus.TopologyError, match="ship"):
        group.add("ship", lambda trade: None)
    with pytest.raises(ringbus.TopologyError, match="ship"):
        ring.poller("ship")
    assert sorted(ring.statistics().consumers) == ["ship/0", "ship/1"]


def test_workers_that_cannot_all_join_leave_nobody_behind(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("ship/1"):
        group = ring.consumer_group("group")
        with pytest.raises(ringbus.TopologyError, match="ship/1"):
            group.add("ship", lambda trade: None, workers=2)
        assert list(ring.statistics().consumers) == ["ship/1"]
        group.add("ship", lambda trade: None)
