"""Publishing alone; what was published is handled between the timed parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import thread_time_ns
from typing import Literal

import handlers
from events import CAPACITY, QUANTITY, SYMBOL, Trade, chunks, expect, prices
from measure import Sample, Side

import ringbus

Ring = ringbus.RingBuffer[Trade]
Kind = Literal["single", "multi"]


def by_fields(producers: Kind) -> Side:
    """`publish(symbol=, price=, quantity=, notional=)`."""
    return _publishing(producers, _bound)


def looked_up(producers: Kind) -> Side:
    """The same with `ring.publish` looked up each time."""
    return _publishing(producers, _looked_up)


def _publishing(producers: Kind, publish_all: Callable[[Ring, Sequence[float]], int]) -> Side:
    def side(events: int) -> Sample:
        ring: Ring = ringbus.RingBuffer(Trade, CAPACITY, producers=producers)
        total, values, ns, handled = handlers.Total(), prices(events), 0, 0
        group = ring.consumer_group("check")
        group.add("check", total.add)
        for part in chunks(values):
            ns += publish_all(ring, part)
            handled += group.run_once()
        group.stop()
        expect(f"publish, {producers}", "what arrived", (handled, total.price), (events, sum(values)))
        return Sample(ns, events)

    return side


def _bound(ring: Ring, values: Sequence[float]) -> int:
    publish, symbol, quantity = ring.publish, SYMBOL, QUANTITY
    begin = thread_time_ns()
    for price in values:
        publish(symbol=symbol, price=price, quantity=quantity, notional=price)
    return thread_time_ns() - begin


def _looked_up(ring: Ring, values: Sequence[float]) -> int:
    symbol, quantity = SYMBOL, QUANTITY
    begin = thread_time_ns()
    for price in values:
        ring.publish(symbol=symbol, price=price, quantity=quantity, notional=price)
    return thread_time_ns() - begin
