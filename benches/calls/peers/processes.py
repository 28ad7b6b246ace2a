"""`multiprocessing.Queue` and `Pipe`: an item each, pickled. `None` ends a stream."""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from time import perf_counter_ns
from typing import Any

import numpy as np
from events import CAPACITY, QUANTITY, SYMBOL, expect, prices
from measure import Sample, Side
from ours.processes import ROWS, Wide, pace, started

_CONTEXT = multiprocessing.get_context("spawn")


def consume(items: Any, says: Connection) -> None:
    """Sum the price of every tuple."""
    says.send("ready")
    get, count, total = items.get, 0, 0.0
    while (item := get()) is not None:
        count += 1
        total += item[1]
    says.send((count, total))


def consume_rows(items: Any, says: Connection) -> None:
    """Sum a column of every array."""
    says.send("ready")
    count, total = 0, 0.0
    while (rows := items.get()) is not None:
        count += len(rows)
        total += float(rows["number"].sum())
    says.send((count, total))


def produce(items: Any, events: int, says: Connection) -> None:
    """Put tuples when told to."""
    put, values = items.put, prices(events)
    says.send("ready")
    says.recv()
    for price in values:
        put((SYMBOL, price, QUANTITY, 0.0))
    items.close()
    items.join_thread()
    says.send("done")


def stream(readers: int) -> Side:
    """One process puts each tuple into a queue for each reader."""

    def side(events: int) -> Sample:
        queues = [_CONTEXT.Queue(CAPACITY) for _ in range(readers)]
        lines = [started(consume, items) for items in queues]
        puts, values = [items.put for items in queues], prices(events)
        begin = perf_counter_ns()
        for price in values:
            item = (SYMBOL, price, QUANTITY, 0.0)
            for put in puts:
                put(item)
        for put in puts:
            put(None)
        results = [line.recv() for _, line in lines]
        ns = perf_counter_ns() - begin
        for process, _ in lines:
            process.join()
        expect("multiprocessing.Queue", "what arrived", results, [(events, sum(values))] * readers)
        return Sample(ns, events, 1.0)

    return side


def from_several(producers: int) -> Side:
    """Several processes put, one takes."""

    def side(events: int) -> Sample:
        each, items = events // producers, _CONTEXT.Queue(CAPACITY)
        reader, answer = started(consume, items)
        lines = [started(produce, items, each) for _ in range(producers)]
        begin = perf_counter_ns()
        for _, line in lines:
            line.send("go")
        for _, line in lines:
            line.recv()
        items.put(None)
        result = answer.recv()
        ns = perf_counter_ns() - begin
        for process, _ in [*lines, (reader, answer)]:
            process.join()
        wanted = (each * producers, sum(prices(each)) * producers)
        expect("multiprocessing.Queue", "what arrived", result, wanted)
        return Sample(ns, each * producers, 1.0)

    return side


def rows() -> Side:
    """A fresh structured array of 1,024 an item."""

    def side(events: int) -> Sample:
        blocks, items = max(1, events // ROWS), _CONTEXT.Queue(CAPACITY // ROWS)
        reader, answer = started(consume_rows, items)
        numbers = np.arange(ROWS)
        begin = perf_counter_ns()
        for _ in range(blocks):
            block = np.empty(ROWS, Wide.dtype)
            block["number"] = numbers
            block["values"] = 1.5
            items.put(block)
        items.put(None)
        result = answer.recv()
        ns = perf_counter_ns() - begin
        reader.join()
        expect("multiprocessing.Queue", "what arrived", result, (blocks * ROWS, float(blocks * numbers.sum())))
        return Sample(ns, blocks * ROWS, float(ROWS))

    return side


def take_times(items: Any, says: Connection) -> None:
    """Note how late each item of a queue is."""
    says.send("ready")
    late, get, now = list[int](), items.get, time.monotonic_ns
    while (due := get()) is not None:
        late.append(now() - due)
    says.send((len(late), float(np.percentile(late, 99))))


def take_times_of_pipe(line: Connection, says: Connection) -> None:
    """Note how late each item of a pipe is."""
    says.send("ready")
    late, receive, now = list[int](), line.recv, time.monotonic_ns
    while (due := receive()) is not None:
        late.append(now() - due)
    says.send((len(late), float(np.percentile(late, 99))))


def paced_queue(rate: int) -> Side:
    """The P99 of one-way latency through `multiprocessing.Queue`."""

    def side(events: int) -> Sample:
        items = _CONTEXT.Queue()
        reader, answer = started(take_times, items)
        pace(events, rate, items.put)
        items.put(None)
        count, p99 = answer.recv()
        reader.join()
        expect("multiprocessing.Queue", "what arrived", count, events)
        return Sample(int(p99), 1)

    return side


def paced_pipe(rate: int) -> Side:
    """The P99 of one-way latency through `multiprocessing.Pipe`."""

    def side(events: int) -> Sample:
        receiver, sender = _CONTEXT.Pipe(duplex=False)
        reader, answer = started(take_times_of_pipe, receiver)
        pace(events, rate, sender.send)
        sender.send(None)
        count, p99 = answer.recv()
        reader.join()
        expect("multiprocessing.Pipe", "what arrived", count, events)
        return Sample(int(p99), 1)

    return side
