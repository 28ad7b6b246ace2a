"""The standard library's queues between threads. `None` ends a stream."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from itertools import repeat
from operator import itemgetter
from time import perf_counter_ns, thread_time_ns
from typing import Any, Protocol

import handlers
import numpy as np
from events import BATCH, CAPACITY, QUANTITY, SYMBOL, Columns, Plain, Trade, chunks, columns, expect, prices
from measure import Sample, Side


class AnyQueue(Protocol):
    """What both kinds have."""

    def put(self, item: Any) -> None:
        """Give an item."""

    def get(self) -> Any:
        """Take the next one, or wait."""


MakeQueue = Callable[[int], AnyQueue]
"""Makes a queue of so many items at the most, where it can be bounded."""


def bounded(size: int) -> AnyQueue:
    """`queue.Queue`."""
    return queue.Queue(size)


def simple(_size: int) -> AnyQueue:
    """`queue.SimpleQueue`, written in C and never full."""
    return queue.SimpleQueue()


def puts(make: MakeQueue) -> Side:
    """Puts alone, of a tuple each; what was put is taken out between the timed parts."""

    def side(events: int) -> Sample:
        items, ns, total, values = make(CAPACITY), 0, 0.0, prices(events)
        for part in chunks(values):
            put, symbol, quantity = items.put, SYMBOL, QUANTITY
            begin = thread_time_ns()
            for price in part:
                put((symbol, price, quantity, price))
            ns += thread_time_ns() - begin
            total += sum(items.get()[1] for _ in part)
        expect(type(items).__name__, "the sum", total, sum(values))
        return Sample(ns, events)

    return side


def ready(make: MakeQueue) -> Side:
    """Takes ready objects out and calls the handler on each."""

    def side(events: int) -> Sample:
        passes, items = max(1, events // CAPACITY), make(CAPACITY)
        objects = [Plain(SYMBOL, price, QUANTITY, price) for price in prices(CAPACITY)]
        ns = 0
        for _ in range(passes):
            for item in objects:
                items.put(item)
            get, read = items.get, handlers.read
            begin = thread_time_ns()
            for _item in repeat(None, CAPACITY):
                read(get())
            ns += thread_time_ns() - begin
        return Sample(ns, passes * CAPACITY)

    return side


def stream(make: MakeQueue) -> Side:
    """One thread puts tuples of four, another one takes them out and sums the price."""

    def side(events: int) -> Sample:
        items, values, sums = make(CAPACITY), prices(events), list[float]()

        def consume() -> None:
            get, total = items.get, 0.0
            while (item := get()) is not None:
                total += item[1]
            sums.append(total)

        consumer = threading.Thread(target=consume)
        consumer.start()
        put, symbol, quantity, notional = items.put, SYMBOL, QUANTITY, 0.0
        begin = perf_counter_ns()
        for price in values:
            put((symbol, price, quantity, notional))
        put(None)
        consumer.join()
        ns = perf_counter_ns() - begin
        expect(type(items).__name__, "the sum", sums, [sum(values)])
        return Sample(ns, events, 1.0)

    return side


def tuples(batch: Columns) -> list[tuple[bytes, float, float, float]]:
    """A batch as a list of tuples, in the quickest way there is."""
    lists = (batch.symbols, batch.prices, batch.quantities, batch.notionals)
    return list(zip(*(column.tolist() for column in lists), strict=True))


def array(batch: Columns) -> Any:
    """A batch as a fresh structured array."""
    rows = np.empty(BATCH, Trade.dtype)
    rows["symbol"] = batch.symbols
    rows["price"] = batch.prices
    rows["quantity"] = batch.quantities
    rows["notional"] = batch.notionals
    return rows


def sum_of_tuples(rows: Any, price: Any = itemgetter(1)) -> float:
    """The sum of the price of a list of tuples."""
    return float(sum(map(price, rows)))


def sum_of_array(rows: Any) -> float:
    """The sum of the price of a structured array."""
    return float(rows["price"].sum())


def batches(make: MakeQueue, build: Callable[[Columns], Any], add: Callable[[Any], float]) -> Side:
    """One thread builds batches and puts them, another one takes them out and sums the price."""

    def side(events: int) -> Sample:
        items, values, sums = make(CAPACITY // BATCH), columns(events), list[float]()

        def consume() -> None:
            get, work, total = items.get, add, 0.0
            while (rows := get()) is not None:
                total += work(rows)
            sums.append(total)

        consumer = threading.Thread(target=consume)
        consumer.start()
        put, make_rows = items.put, build
        begin = perf_counter_ns()
        for batch in values:
            put(make_rows(batch))
        put(None)
        consumer.join()
        ns = perf_counter_ns() - begin
        count = len(values) * BATCH
        expect(type(items).__name__, "the sum", sums, [sum(prices(count))])
        return Sample(ns, count, float(BATCH))

    return side


def diamond(make: MakeQueue) -> Side:
    """Three threads in a chain, a queue before each; an object goes through all of them."""

    def side(events: int) -> Sample:
        work, values = handlers.Diamond(), prices(events)
        first, second, third = make(CAPACITY), make(CAPACITY), make(CAPACITY)
        threads = [
            threading.Thread(target=_stage, args=stage)
            for stage in ((first, work.value, second), (second, work.limit, third), (third, work.report, None))
        ]
        for thread in threads:
            thread.start()
        put, build, symbol, quantity = first.put, Plain, SYMBOL, QUANTITY
        begin = perf_counter_ns()
        for price in values:
            put(build(symbol, price, quantity, 0.0))
        put(None)
        for thread in threads:
            thread.join()
        ns = perf_counter_ns() - begin
        expect(type(first).__name__, "the total", work.total(), handlers.Diamond.wanted(events))
        return Sample(ns, events, 1.0)

    return side


def _stage(source: AnyQueue, handle: Callable[[Any], None], target: AnyQueue | None) -> None:
    get = source.get
    if target is None:
        while (event := get()) is not None:
            handle(event)
        return
    put = target.put
    while (event := get()) is not None:
        handle(event)
        put(event)
    put(None)
