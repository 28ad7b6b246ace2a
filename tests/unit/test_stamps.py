"""Publish times on events (`stamp=True`), and the latencies that are counted from them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ringbus
from support.events import PATIENCE, PRODUCERS, Quote, Trade, is_whole, numbers, publish_trades, trades


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 stamped trades."""
    return trades(8, request.param, stamp=True)


def fill(trade: Trade) -> None:
    """Translate into a trade."""
    trade.symbol = "a"


def by_claim(ring: ringbus.RingBuffer[Trade]) -> None:
    """Publish by a claim of one."""
    with ring.claim() as trade:
        trade.symbol = "a"


def by_claim_of_many(ring: ringbus.RingBuffer[Trade]) -> None:
    """Publish by a claim of three."""
    with ring.claim(3) as events:
        events["symbol"] = b"a"


VERBS: list[Callable[[ringbus.RingBuffer[Trade]], object]] = [
    lambda ring: ring.publish(symbol="a", price=1.0),
    lambda ring: ring.publish(Trade(symbol="a", price=1.0)),
    lambda ring: ring.publish(fill),
    lambda ring: ring.try_publish(symbol="a", price=1.0),
    lambda ring: ring.producer().publish(fill),
    lambda ring: ring.publish_batch(np.array([(b"a", 1.0, 1.0, 1)] * 3, Trade.dtype)),
    by_claim,
    by_claim_of_many,
]


@pytest.mark.parametrize("verb", VERBS, ids=range(len(VERBS)))
def test_every_verb_stamps(ring: ringbus.RingBuffer[Trade], verb: Callable[[Any], object]) -> None:
    with ring.poller("reader") as reader:
        before = time.monotonic_ns()
        verb(ring)
        after = time.monotonic_ns()
        events = reader.take()
    assert events
    assert {event.symbol for event in events} == {"a"}
    assert all(before <= event.published_ns <= after for event in events)


def test_the_publish_time_is_that_of_the_publish_not_of_the_claim(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as reader:
        with ring.claim():
            inside = time.monotonic_ns()
        assert reader.take()[0].published_ns >= inside


@pytest.mark.parametrize("gating", [True, False], ids=["gating", "lapped"])
def test_a_handler_sees_the_publish_time_and_a_kept_event_keeps_it(
    ring: ringbus.RingBuffer[Trade], gating: bool
) -> None:
    seen: list[int] = []
    kept: list[Trade] = []

    def handle(trade: Trade) -> None:
        seen.append(trade.published_ns)
        kept.append(trade)

    group = ring.consumer_group("group")
    group.add("reader", handle, gating=gating)
    with group:
        for number in range(50):
            publish_trades(ring, 1, first=number)
            group.drain(PATIENCE)
    assert seen == [trade.published_ns for trade in kept] == sorted(seen)
    assert all(is_whole(trade, number) for number, trade in enumerate(kept))
    assert [trade.copy().published_ns for trade in kept] == seen


def test_an_event_of_its_own_has_no_publish_time() -> None:
    assert Trade(symbol="a", price=1.0).published_ns == 0


def test_a_ring_that_does_not_stamp_gives_no_publish_time() -> None:
    ring = trades(8)
    with ring.poller("reader") as reader:
        publish_trades(ring, 1)
        assert reader.take()[0].published_ns == 0
        assert ring.statistics().consumers["reader"].latency is None


def test_an_event_that_is_handed_on_is_stamped_anew(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as reader:
        publish_trades(ring, 1)
        (first,) = reader.take()
        between = time.monotonic_ns()
        ring.publish(first)
        (second,) = reader.take()
    assert first.published_ns <= between <= second.published_ns
    assert first == second


def test_the_layout_that_numpy_sees_is_the_events_own(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[int] = []
    strides: set[int] = set()

    @ringbus.batch
    def handle(events: Any) -> None:
        assert events.dtype == Trade.dtype
        strides.add(events.strides[0])
        seen.extend(events["number"].tolist())

    group = ring.consumer_group("group")
    group.add("reader", handle)
    with group:
        for lap in range(20):
            with ring.claim(5) as events:
                assert events.dtype == Trade.dtype
                events["number"] = range(5 * lap, 5 * lap + 5)
    assert seen == list(range(100))
    assert strides == {ring.statistics().slot_bytes}


def test_types_of_a_union_are_stamped_alike() -> None:
    ring = ringbus.RingBuffer(Trade | Quote, 8, stamp=True)
    with ring.poller("reader") as reader:
        before = time.monotonic_ns()
        ring.publish(Trade(symbol="a", price=1.0))
        ring.publish(Quote, bid=2.0)
        events = reader.take()
    assert events == [Trade(symbol="a", price=1.0), Quote(bid=2.0)]
    assert before <= events[0].published_ns <= events[1].published_ns <= time.monotonic_ns()


# -- latencies --------------------------------------------------------------------------------------------------------


def check(latency: ringbus.LatencyStatistics | None, count: int) -> None:
    """Check that a latency was counted for each event, and that its numbers are in order."""
    assert latency is not None
    assert latency.count == count
    # A histogram keeps three digits.
    slack = 1.002
    ordered = [latency.min_ns, latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.p999_ns, latency.max_ns]
    assert ordered == sorted(ordered)
    assert latency.min_ns / slack <= latency.mean_ns <= latency.max_ns * slack
    assert latency.min_ns > 0


def nothing(event: Any) -> None:
    """Handle an event."""


HANDLERS: dict[str, tuple[Callable[[Any], None], dict[str, Any]]] = {
    "plain": (nothing, {}),
    "batch": (ringbus.batch(lambda events: None), {}),
    "lapped": (nothing, {"gating": False}),
    "lapped batch": (ringbus.batch(lambda events: None), {"gating": False}),
    "narrow": (nothing, {"max_batch": 1}),
}


@pytest.mark.parametrize("kind", HANDLERS)
def test_the_latency_of_every_event_is_counted(kind: str) -> None:
    ring = trades(64, stamp=True)
    handler, options = HANDLERS[kind]
    group = ring.consumer_group("group")
    consumer = group.add("reader", handler, **options)
    with group:
        publish_trades(ring, 50)
        group.drain(PATIENCE)
        check(consumer.statistics().latency, 50)
        check(ring.statistics().consumers["reader"].latency, 50)
    check(group.statistics().consumers["reader"].latency, 50)


@pytest.mark.parametrize("gating", [True, False], ids=["gating", "lapped"])
@pytest.mark.parametrize(
    "take",
    [
        lambda poller: poller.take(timeout=0),
        lambda poller: poller.take_array(timeout=0),
        lambda poller: poller.poll(lambda event: None),
        lambda poller: [poller.next(timeout=0) for _ in range(50)],
    ],
    ids=["take", "take_array", "poll", "next"],
)
def test_the_latency_of_a_poller_is_counted(gating: bool, take: Callable[[Any], object]) -> None:
    ring = trades(64, stamp=True)
    with ring.poller("reader", gating=gating) as reader:
        publish_trades(ring, 50)
        take(reader)
        check(ring.statistics().consumers["reader"].latency, 50)


def test_the_latency_is_from_publish_to_hand_over() -> None:
    ring = trades(8, stamp=True)
    handed: list[tuple[int, int]] = []
    group = ring.consumer_group("group")
    consumer = group.add("reader", lambda trade: handed.append((trade.published_ns, time.monotonic_ns())))
    before = time.monotonic_ns()
    publish_trades(ring, 1)
    between = time.monotonic_ns()
    assert group.run_once() == 1
    latency = consumer.statistics().latency
    ((published, seen),) = handed
    assert before <= published <= between
    assert latency is not None
    assert latency.count == 1
    assert between - published <= latency.max_ns * 1.002
    assert latency.min_ns <= (seen - published) * 1.002


def test_latencies_are_frozen() -> None:
    ring = trades(8, stamp=True)
    consumer = ring.consumer_group("group").add("reader", nothing)
    latency = consumer.statistics().latency
    assert latency is not None
    assert (latency.count, latency.max_ns) == (0, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        latency.count = 1  # type: ignore[misc] # on purpose


def test_a_claim_that_failed_has_no_latency(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("reader", nothing)
    with pytest.raises(ZeroDivisionError), ring.claim():
        1 / 0  # noqa: B018 (raises)
    publish_trades(ring, 2)
    assert group.run_once() == 2
    latency = consumer.statistics().latency
    assert latency is not None
    assert latency.count == 2


def test_stamped_events_survive_many_laps(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as reader:
        for lap in range(40):
            publish_trades(ring, 5, first=5 * lap)
            events = reader.take()
            assert numbers(events) == list(range(5 * lap, 5 * lap + 5))
            assert all(is_whole(event, event.number) for event in events)
