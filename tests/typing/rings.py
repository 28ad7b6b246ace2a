"""What type checkers know of rings: the fields of `publish`, what a claim gives, and what is refused."""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import ringbus


class Trade(ringbus.Event):
    symbol: str = ringbus.text(16)
    price: float
    quantity: float = 1.0

    def compute(self) -> None:
        self.price *= self.quantity


class Quote(ringbus.Event):
    bid: float


class Order:
    number: int = 0


def fill_trade(trade: Trade) -> None:
    trade.price = 1.0


def fill_quote(quote: Quote) -> None:
    quote.bid = 1.0


def a_ring_knows_the_fields_of_its_events() -> None:
    ring = ringbus.RingBuffer(Trade, capacity=1024, producers="single", wait="blocking")
    assert_type(ring.publish(symbol="BTC", price=1.0), None)
    assert_type(ring.try_publish(symbol="BTC", price=1, quantity=2.0), bool)
    ring.publish(symbol="BTC", prise=1.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ring.publish(symbol="BTC")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ring.publish(symbol="BTC", price="1.0")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    ring.publish("BTC", 1.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    ring.try_publish(symbol="BTC", prise=1.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ring.try_publish(symbol="BTC")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def a_ring_takes_its_own_events() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    ring.publish(Trade(symbol="BTC", price=1.0))
    ring.publish(Trade, symbol="BTC", price=1.0)
    ring.publish(Quote(bid=1.0))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    ring.publish(Quote, bid=1.0)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    ring.publish(1.0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def a_translator_fills_an_event() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    ring.publish(fill_trade)
    ring.publish(lambda trade: trade.compute())
    ring.publish(Trade, fill_trade)
    ring.try_publish(fill_trade)
    ring.publish(lambda trade: trade.bid)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    ring.publish(fill_quote)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


def a_producer_has_the_same_verbs() -> None:
    producer = ringbus.RingBuffer(Trade, 1024).producer(timeout=0.5)
    producer.publish(symbol="BTC", price=1.0)
    producer.publish(symbol="BTC")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    with producer.claim() as trade:
        assert_type(trade, Trade)


def a_claim_gives_an_event_or_an_array() -> int:
    ring = ringbus.RingBuffer(Trade, 1024)
    with ring.claim() as trade:
        assert_type(trade, Trade)
        assert_type(trade.price, float)
    with ring.claim(256, reset=False, timeout=None) as trades:
        assert_type(trades, npt.NDArray[np.void])
        trades["price"] = 1.0
    maybe = ring.try_claim(4)
    if maybe is not None:
        with maybe as trades:
            assert_type(trades, npt.NDArray[np.void])
    with ring.claim("4"):  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        return 1


def several_types_are_one_ring() -> None:
    ring = ringbus.RingBuffer(Trade | Quote, 1024)
    ring.publish(Quote, bid=1.0)
    ring.publish(Quote(bid=1.0))
    ring.publish(Quote, fill_quote)
    with ring.claim(Quote) as quote:
        assert_type(quote, Quote)
    with ring.claim(event=Quote) as quote:
        assert_type(quote, Quote)
    with ring.claim(2, Quote) as quotes:
        assert_type(quotes, npt.NDArray[np.void])
    assert_type(ring.publish_batch(np.zeros(3, Quote.dtype)), int)


def several_types_can_be_named() -> None:
    ring: ringbus.RingBuffer[Trade | Quote] = ringbus.RingBuffer(Trade | Quote, 1024)
    other = ringbus.RingBuffer[Trade | Quote](Trade | Quote, 1024)
    ring = other
    with ring.claim() as event:
        assert_type(event, Trade | Quote)
    ring.publish(Quote, lambda quote: quote.bid)


def a_ring_of_objects_has_what_its_factory_makes() -> None:
    ring = ringbus.RingBuffer(factory=Order, capacity=1024, clear=lambda order: order.number)
    with ring.claim() as order:
        assert_type(order, Order)
    ring.publish(lambda order: setattr(order, "number", 1))
    ring.publish(number=1)
    ringbus.RingBuffer(factory=Order, clear=lambda order: order.price)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def one_name_is_a_whole_annotation(ring: ringbus.RingBuffer[Trade], producer: ringbus.Producer[Trade]) -> None:
    ring.publish(symbol="BTC", price=1.0)
    producer.publish(Trade(symbol="BTC", price=1.0))
    assert_type(ring.producer(), ringbus.Producer[Trade, ...])
    with ring.claim() as trade:
        assert_type(trade, Trade)


def a_ring_fits_its_annotation() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    one_name_is_a_whole_annotation(ring, ring.producer())
    quotes = ringbus.RingBuffer(Quote, 1024)
    one_name_is_a_whole_annotation(quotes, ring.producer())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_ring_is_made_of_known_options() -> None:
    ringbus.RingBuffer(Trade, producers="many")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    ringbus.RingBuffer(1024)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    ringbus.RingBuffer(Trade, size=4)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


class TradeRing(ringbus.RingBuffer[Trade]):
    """A class of one's own keeps its name."""


def a_derived_ring_is_itself() -> None:
    assert_type(TradeRing(Trade, 8), TradeRing)


def anything_is_a_ring_of_something(ring: ringbus.RingBuffer[Any]) -> None:
    ring.publish(anything=1)
