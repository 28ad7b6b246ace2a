"""Handling alone: a ring full of events, and the loop that hands them to a Python function."""

from __future__ import annotations

import handlers
import numpy as np
from events import CAPACITY, QUANTITY, SYMBOL, Trade, expect, prices
from measure import Sample, Side, timed

import ringbus
from ours.publishing import Kind


def ready(producers: Kind) -> Side:
    """`group.run_once` on a full ring: the loop of a group's thread, on the caller's."""

    def side(events: int) -> Sample:
        ring: ringbus.RingBuffer[Trade] = ringbus.RingBuffer(Trade, CAPACITY, producers=producers)
        rows, passes = _rows(), max(1, events // CAPACITY)
        _check(ring, rows)
        group = ring.consumer_group("read")
        group.add("read", handlers.read)
        ns = 0
        for _ in range(passes):
            ring.publish_batch(rows)
            ns += timed(group.run_once)
        handled = group.statistics().consumers["read"]
        group.stop()
        expect(f"handler, {producers}", "the count", handled.events, passes * CAPACITY)
        return Sample(ns, handled.events, handled.mean_batch)

    return side


def _rows() -> np.ndarray[tuple[int], np.dtype[np.void]]:
    rows = np.zeros(CAPACITY, Trade.dtype)
    rows["symbol"] = SYMBOL.encode()
    rows["price"] = prices(CAPACITY)
    rows["quantity"] = QUANTITY
    return rows


def _check(ring: ringbus.RingBuffer[Trade], rows: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
    total = handlers.Total()
    group = ring.consumer_group("check")
    group.add("check", total.add)
    ring.publish_batch(rows)
    group.run_once()
    group.stop()
    expect("handler", "the sum", total.price, sum(prices(CAPACITY)))
