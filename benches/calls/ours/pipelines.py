"""A producer's thread and the threads of a group."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, Literal

import handlers
from events import BATCH, CAPACITY, QUANTITY, SYMBOL, Columns, Trade, columns, expect, prices
from measure import Sample, Side

import ringbus
from ours.publishing import Kind


def stream(producers: Kind) -> Side:
    """One thread publishes by fields, the handler on another one sums the price."""

    def side(events: int) -> Sample:
        ring: ringbus.RingBuffer[Trade] = ringbus.RingBuffer(Trade, CAPACITY, producers=producers)
        total, values = handlers.Total(), prices(events)
        group = ring.consumer_group("stream")
        group.add("add", total.add)
        with group:
            ns = _publish_all(ring, group, values)
        counted = group.statistics().consumers["add"]
        expect(f"stream, {producers}", "what arrived", (counted.events, total.price), (events, sum(values)))
        return Sample(ns, events, counted.mean_batch)

    return side


def diamond(threads: Literal[1] | None) -> Side:
    """Two handlers and one behind both, on one thread or on three."""

    def side(events: int) -> Sample:
        ring: ringbus.RingBuffer[Trade] = ringbus.RingBuffer(Trade, CAPACITY, producers="single")
        work, values = handlers.Diamond(), prices(events)
        group = ring.consumer_group("diamond", threads=threads)
        group.add("value", work.value)
        group.add("limit", work.limit)
        group.add("report", work.report).depends_on("value", "limit")
        with group:
            ns = _publish_all(ring, group, values)
        counted = group.statistics().consumers["report"]
        expect("diamond", "the total", (counted.events, *work.total()), (events, *handlers.Diamond.wanted(events)))
        return Sample(ns, events, counted.mean_batch)

    return side


def _publish_all(ring: ringbus.RingBuffer[Trade], group: Any, values: list[float]) -> int:
    """The time until everything is handled."""
    publish, symbol, quantity, notional = ring.publish, SYMBOL, QUANTITY, 0.0
    begin = perf_counter_ns()
    for price in values:
        publish(symbol=symbol, price=price, quantity=quantity, notional=notional)
    group.drain()
    return perf_counter_ns() - begin


def batches(producers: Kind) -> Side:
    """`claim(256)` filled column by column, and a batch handler that sums one."""

    def side(events: int) -> Sample:
        ring: ringbus.RingBuffer[Trade] = ringbus.RingBuffer(Trade, CAPACITY, producers=producers)
        values, total = columns(events), 0.0

        @ringbus.batch
        def add(rows: Any) -> None:
            nonlocal total
            total += float(rows["price"].sum())

        group = ring.consumer_group("batches")
        group.add("add", add)
        with group:
            ns = _claim_all(ring, group, values)
        counted, count = group.statistics().consumers["add"], len(values) * BATCH
        expect("batches", "what arrived", (counted.events, total), (count, sum(prices(count))))
        return Sample(ns, count, counted.mean_batch)

    return side


def _claim_all(ring: ringbus.RingBuffer[Trade], group: Any, values: list[Columns]) -> int:
    claim = ring.claim
    begin = perf_counter_ns()
    for batch in values:
        with claim(BATCH, reset=False) as rows:
            rows["symbol"] = batch.symbols
            rows["price"] = batch.prices
            rows["quantity"] = batch.quantities
            rows["notional"] = batch.notionals
    group.drain()
    return perf_counter_ns() - begin
