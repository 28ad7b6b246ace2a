"""Several event types in one order: tags, slots as large as the largest, and handlers that take some of the types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

import numpy as np
import pytest

import ringbus
from support.events import PATIENCE, PRODUCERS, Halted, Quote, Trade


class Marked(ringbus.Event):
    """A base of two event types."""

    mark: int = 0


class Red(Marked):
    """One of the marked."""

    red: float = 0.5


class Blue(Marked):
    """The other, of the same layout but for a name."""

    blue: float = 0.25


class Bid(ringbus.Event):
    """A type whose layout another one has as well."""

    price: float = 0.0


class Ask(ringbus.Event):
    """The other one of that layout."""

    price: float = 0.0


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Any]:
    """A ring of trades and quotes."""
    return ringbus.RingBuffer(Trade | Quote, 16, producers=request.param)


def trade(number: int) -> Trade:
    """A trade of that number."""
    return Trade(symbol=f"s{number}", price=float(number), number=number)


def publish_mixed(ring: ringbus.RingBuffer[Any], pattern: str) -> list[Any]:
    """Publish a trade for each t and a quote for each q; what was published."""
    events = [trade(place) if kind == "t" else Quote(bid=float(place)) for place, kind in enumerate(pattern)]
    for event in events:
        ring.publish(event)
    return events


# -- publishing -------------------------------------------------------------------------------------------------------


def test_every_way_to_publish_names_the_type(ring: ringbus.RingBuffer[Any]) -> None:
    with ring.poller("reader") as reader:
        ring.publish(trade(0))
        ring.publish(Quote, bid=1.0)
        ring.publish(Trade, symbol="s2", price=2.0, number=2)
        ring.publish(Quote, lambda quote: setattr(quote, "bid", 3.0))
        with ring.claim(Quote) as quote:
            quote.bid = 4.0
        with ring.claim(event=Trade) as event:
            event.number = 5
        with ring.claim(2, Quote) as quotes:
            assert quotes.dtype == Quote.dtype
            quotes["bid"] = [6.0, 7.0]
        ring.publish_batch(np.array([(8.0, 8.5)], Quote.dtype))
        assert ring.try_publish(Quote(bid=9.0))
        assert ring.try_publish(Quote, bid=10.0)
        claim = ring.try_claim(Quote)
        assert claim is not None
        with claim as quote:
            quote.bid = 11.0
        assert reader.take() == [
            trade(0),
            Quote(bid=1.0),
            trade(2),
            Quote(bid=3.0),
            Quote(bid=4.0),
            Trade(symbol="", price=0.0, number=5),
            Quote(bid=6.0),
            Quote(bid=7.0),
            Quote(bid=8.0, ask=8.5),
            Quote(bid=9.0),
            Quote(bid=10.0),
            Quote(bid=11.0),
        ]


@pytest.mark.parametrize(
    "verb",
    [
        lambda ring: ring.publish(bid=1.0),
        lambda ring: ring.publish(lambda event: None),
        lambda ring: ring.publish(Halted()),
        lambda ring: ring.publish(Halted, reason=1),
        lambda ring: ring.publish(Quote, price=1.0),
        lambda ring: ring.publish(),
        lambda ring: ring.claim(),
        lambda ring: ring.claim(3),
        lambda ring: ring.claim(Halted),
        lambda ring: ring.claim(3, Halted),
        lambda ring: ring.try_claim(),
        lambda ring: ring.publish_batch(np.zeros(2, Halted.dtype)),
        lambda ring: ring.publish_batch(np.zeros(2, Trade.dtype), Quote),
    ],
)
def test_a_type_that_is_missing_or_not_on_the_ring_is_refused(
    ring: ringbus.RingBuffer[Any], verb: Callable[[Any], object]
) -> None:
    with pytest.raises(ringbus.SchemaError):
        verb(ring)
    assert (ring.cursor, ring.remaining_capacity) == (-1, 16)


def test_the_error_names_the_types(ring: ringbus.RingBuffer[Any]) -> None:
    with pytest.raises(ringbus.SchemaError, match="Trade, Quote"):
        ring.publish(bid=1.0)
    with pytest.raises(ringbus.SchemaError, match="Trade, Quote"):
        ring.claim()


def test_a_batch_of_a_layout_that_two_types_have_needs_the_type() -> None:
    ring = ringbus.RingBuffer(Bid | Ask, 8)
    array = np.zeros(2, Bid.dtype)
    with pytest.raises(ringbus.SchemaError, match="Bid, Ask"):
        ring.publish_batch(array)
    with ring.poller("reader") as reader:
        ring.publish_batch(array, Ask)
        assert [type(event) for event in reader.take()] == [Ask, Ask]


def test_a_slot_is_as_large_as_the_largest_type(ring: ringbus.RingBuffer[Any]) -> None:
    assert ring.event_types == (Trade, Quote)
    assert Trade.dtype.itemsize <= ring.statistics().slot_bytes <= Trade.dtype.itemsize + 8


def test_a_smaller_event_leaves_nothing_of_a_larger_one(ring: ringbus.RingBuffer[Any]) -> None:
    with ring.poller("reader") as reader:
        for number in range(16):
            ring.publish(trade(number))
        reader.take()
        with ring.claim(Quote) as quote:
            assert quote == Quote(bid=0.0)
        ring.publish(Quote, bid=1.0)
        ring.publish(Trade, symbol="", price=0.0)
        assert reader.take() == [Quote(bid=0.0), Quote(bid=1.0), Trade(symbol="", price=0.0)]


@pytest.mark.parametrize("types", [Union[Trade, Quote], Trade | Quote], ids=["Union", "|"])  # noqa: UP007 (both forms)
def test_a_union_may_be_written_in_both_forms(types: Any) -> None:
    assert ringbus.RingBuffer(types, 8).event_types == (Trade, Quote)


@pytest.mark.parametrize("types", [Trade | int, int, None, int | str, "Trade", Trade(symbol="", price=0.0)], ids=repr)
def test_what_is_no_event_type_is_refused(types: Any) -> None:
    with pytest.raises(ringbus.SchemaError, match="Event"):
        ringbus.RingBuffer(types, 8)


# -- consuming --------------------------------------------------------------------------------------------------------


def takes_all(seen: list[Any]) -> Callable[[Any], None]:
    def handle(event):  # type: ignore[no-untyped-def] # on purpose: no annotation takes all
        seen.append(event)

    return handle


def takes_trades(seen: list[Any]) -> Callable[[Trade], None]:
    def handle(event: Trade) -> None:
        seen.append(event)

    return handle


def takes_quotes(seen: list[Any]) -> Callable[[Quote], None]:
    def handle(event: Quote) -> None:
        seen.append(event)

    return handle


def takes_both(seen: list[Any]) -> Callable[[Trade | Quote], None]:
    def handle(event: Trade | Quote) -> None:
        seen.append(event)

    return handle


class TakesQuotes:
    """A callable object."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def __call__(self, event: Quote) -> None:
        self.seen.append(event)

    def method(self, event: Quote) -> None:
        self.seen.append(event)


@pytest.mark.parametrize(
    ("handler", "kinds", "wanted"),
    [
        (takes_all, None, "tq"),
        (takes_trades, None, "t"),
        (takes_quotes, None, "q"),
        (takes_both, None, "tq"),
        (TakesQuotes, None, "q"),
        (lambda seen: TakesQuotes(seen).method, None, "q"),
        (takes_all, (Trade,), "t"),
        (takes_all, [Quote], "q"),
        (takes_all, (Quote, Trade), "tq"),
        (takes_trades, (Quote,), "q"),
    ],
)
def test_a_handler_gets_the_types_that_it_names(
    ring: ringbus.RingBuffer[Any], handler: Callable[[list[Any]], Any], kinds: Any, wanted: str
) -> None:
    seen: list[Any] = []
    group = ring.consumer_group("group")
    consumer = group.add("reader", handler(seen), kinds=kinds)
    events = publish_mixed(ring, "ttqtqqqt")
    with group:
        group.drain(PATIENCE)
        assert consumer.statistics().events == len(seen)
    assert seen == [event for event in events if type(event).__name__[0].lower() in wanted]
    assert consumer.sequence == 7


def test_a_base_class_takes_all_that_derive_from_it() -> None:
    ring = ringbus.RingBuffer(Red | Quote | Blue, 8)
    seen: list[Marked] = []
    group = ring.consumer_group("group")

    @group.consumer("marked")
    def marked(event: Marked) -> None:
        seen.append(event)

    events = [Red(mark=1), Quote(bid=1.0), Blue(mark=2)]
    with group:
        for event in events:
            ring.publish(event)
    assert seen == [events[0], events[2]]


@pytest.mark.parametrize("kinds", [(Halted,), (Trade, Halted), (int,), ("Trade",)], ids=str)
def test_a_type_that_is_not_on_the_ring_cannot_be_asked_for(ring: ringbus.RingBuffer[Any], kinds: Any) -> None:
    with pytest.raises(ringbus.ConfigurationError, match="Trade, Quote"):
        ring.consumer_group("group").add("reader", lambda event: None, kinds=kinds)
    with pytest.raises(ringbus.ConfigurationError, match="Trade, Quote"):
        ring.poller("reader", kinds=kinds)
    assert not ring.statistics().consumers


def test_end_of_batch_and_size_are_those_of_the_types_taken(ring: ringbus.RingBuffer[Any]) -> None:
    seen: list[tuple[int, bool]] = []
    sizes: list[int] = []

    class Handler:
        def on_batch_start(self, size: int) -> None:
            sizes.append(size)

        def __call__(self, event: Trade, sequence: int, end_of_batch: bool) -> None:
            seen.append((sequence, end_of_batch))

    group = ring.consumer_group("group")
    group.add("trades", Handler())
    publish_mixed(ring, "qtqttqq")
    assert group.run_once() == 3
    publish_mixed(ring, "qqq")
    assert group.run_once() == 0
    assert (seen, sizes) == ([(1, False), (3, False), (4, True)], [3])


@pytest.mark.parametrize("gating", [True, False], ids=["gating", "lapped"])
@pytest.mark.parametrize("stamp", [False, True], ids=["plain", "stamped"])
def test_a_batch_handler_gets_runs_of_one_type(gating: bool, stamp: bool) -> None:
    ring = ringbus.RingBuffer(Trade | Quote, 16, stamp=stamp)
    runs: list[tuple[str, int, list[float]]] = []

    @ringbus.batch
    def handle(events: Any, first: int) -> None:
        kind, field = ("t", "price") if events.dtype == Trade.dtype else ("q", "bid")
        runs.append((kind, first, events[field].tolist()))

    group = ring.consumer_group("group")
    group.add("runs", handle, gating=gating)
    publish_mixed(ring, "ttqqqtq")
    with group:
        group.drain(PATIENCE)
    assert runs == [("t", 0, [0.0, 1.0]), ("q", 2, [2.0, 3.0, 4.0]), ("t", 5, [5.0]), ("q", 6, [6.0])]


@pytest.mark.parametrize("gating", [True, False], ids=["gating", "lapped"])
def test_a_batch_handler_of_one_type_gets_runs_of_it(ring: ringbus.RingBuffer[Any], gating: bool) -> None:
    runs: list[tuple[int, list[float]]] = []

    @ringbus.batch
    def handle(events: Any, first: int) -> None:
        assert events.dtype == Quote.dtype
        runs.append((first, events["bid"].tolist()))

    group = ring.consumer_group("group")
    group.add("quotes", handle, kinds=(Quote,), gating=gating)
    publish_mixed(ring, "ttqqtqt")
    with group:
        group.drain(PATIENCE)
    assert runs == [(2, [2.0, 3.0]), (5, [5.0])]


def test_views_that_are_kept_of_each_type_stay_what_they_were(ring: ringbus.RingBuffer[Any]) -> None:
    kept: list[Any] = []
    group = ring.consumer_group("group")
    group.add("keeps", kept.append)
    with group:
        events = publish_mixed(ring, "tqqt" * 20)
    assert kept == events


@pytest.mark.parametrize("gating", [True, False], ids=["gating", "lapped"])
def test_a_poller_takes_all_types_or_some(ring: ringbus.RingBuffer[Any], gating: bool) -> None:
    both = ring.poller("both", gating=gating)
    quotes = ring.poller("quotes", kinds=(Quote,), gating=gating)
    events = publish_mixed(ring, "ttqtqqt")
    assert both.take() == events
    assert quotes.take() == [event for event in events if isinstance(event, Quote)]
    assert quotes.take(timeout=0) == []
    assert both.sequence == quotes.sequence == 6


def test_a_poller_takes_arrays_of_one_type_at_a_time(ring: ringbus.RingBuffer[Any]) -> None:
    with ring.poller("reader") as reader, ring.poller("quotes", kinds=(Quote,)) as quotes:
        publish_mixed(ring, "ttqqtq")
        lengths = []
        while (array := reader.take_array(timeout=0)) is not None:
            lengths.append((array.dtype == Trade.dtype, len(array)))
        assert lengths == [(True, 2), (False, 2), (True, 1), (False, 1)]
        array = quotes.take_array(timeout=0)
        assert array is not None
        assert array["bid"].tolist() == [2.0, 3.0, 5.0]


def test_workers_share_the_types_by_a_key_of_both(ring: ringbus.RingBuffer[Any]) -> None:
    seen: list[Any] = []
    group = ring.consumer_group("group")
    group.add("worker", seen.append, workers=2, key=lambda event: isinstance(event, Trade))
    with group:
        events = publish_mixed(ring, "tqtqttqq")
    assert sorted(map(repr, seen)) == sorted(map(repr, events))
