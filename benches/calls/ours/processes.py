"""Rings between processes: producers and consumers in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from time import perf_counter_ns
from typing import Any

import numpy as np
from events import CAPACITY, QUANTITY, SYMBOL, Trade, expect, prices
from measure import Sample, Side

import ringbus
from ours.publishing import Kind

ROWS = 1024
"""Events of a claim between processes."""

_CONTEXT = multiprocessing.get_context("spawn")


class Wide(ringbus.Event):
    """An event of 64 bytes."""

    number: int
    values: Any = ringbus.array("f8", 7)


class Sent(ringbus.Event):
    """An event that says when it was due."""

    due_ns: int


@contextmanager
def shared(event: Any, name: str, producers: Kind, readers: list[str]) -> Iterator[Any]:
    """A shared ring that keeps the places of its readers, and is gone afterwards."""
    label = f"bench-{os.getpid()}-{name}"
    ring = ringbus.RingBuffer(event, CAPACITY, name=label, producers=producers, require=readers, replace=True)
    try:
        yield ring
    finally:
        ring.unlink()


def consume(ring: Any, name: str, says: Connection) -> None:
    """Sum the price of every event with a Python handler, until told to stop."""
    count, total = 0, 0.0

    def add(trade: Any) -> None:
        nonlocal count, total
        count += 1
        total += trade.price

    group = ring.consumer_group(name)
    group.add(name, add)
    with group:
        says.send("ready")
        says.recv()
    batch = group.statistics().consumers[name].mean_batch
    says.send((count, total, batch))


def consume_rows(ring: Any, name: str, says: Connection) -> None:
    """Sum a column of every batch."""
    total = 0.0

    @ringbus.batch
    def add(rows: Any) -> None:
        nonlocal total
        total += float(rows["number"].sum())

    group = ring.consumer_group(name)
    group.add(name, add)
    with group:
        says.send("ready")
        says.recv()
    counted = group.statistics().consumers[name]
    says.send((counted.events, total, counted.mean_batch))


def produce(ring: Any, events: int, says: Connection) -> None:
    """Publish by fields when told to."""
    publish, values = ring.publish, prices(events)
    says.send("ready")
    says.recv()
    for price in values:
        publish(symbol=SYMBOL, price=price, quantity=QUANTITY, notional=0.0)
    says.send("done")
    says.recv()


def started(target: Any, *arguments: Any) -> tuple[Any, Connection]:
    """A process that is ready, and the line to it."""
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=target, args=(*arguments, there))
    process.start()
    there.close()
    expect(target.__name__, "what it says first", here.recv(), "ready")
    return process, here


def finished(process: Any, line: Connection) -> Any:
    """What a process says last."""
    line.send("stop")
    result = line.recv()
    process.join()
    return result


def _all_done(ring: Any, target: int) -> None:
    while ring.minimum_sequence < target:
        time.sleep(0.0002)


def stream(producers: Kind, readers: int) -> Side:
    """One process publishes by fields; each reader sees all, with a Python handler."""

    def side(events: int) -> Sample:
        names, values = [f"reader-{number}" for number in range(readers)], prices(events)
        with shared(Trade, f"stream-{producers}-{readers}", producers, names) as ring:
            lines = [started(consume, ring, name) for name in names]
            publish, symbol, quantity = ring.publish, SYMBOL, QUANTITY
            begin = perf_counter_ns()
            for price in values:
                publish(symbol=symbol, price=price, quantity=quantity, notional=0.0)
            _all_done(ring, events - 1)
            ns = perf_counter_ns() - begin
            results = [finished(*line) for line in lines]
        expect("ring", "what arrived", [result[:2] for result in results], [(events, sum(values))] * readers)
        return Sample(ns, events, results[0][2])

    return side


def from_several(producers: int) -> Side:
    """Several processes publish by fields, one reads."""

    def side(events: int) -> Sample:
        each = events // producers
        with shared(Trade, f"several-{producers}", "multi", ["reader"]) as ring:
            reader = started(consume, ring, "reader")
            lines = [started(produce, ring, each) for _ in range(producers)]
            begin = perf_counter_ns()
            for _, line in lines:
                line.send("go")
            for _, line in lines:
                line.recv()
            _all_done(ring, each * producers - 1)
            ns = perf_counter_ns() - begin
            for process, line in lines:
                line.send("end")
                process.join()
            count, total, batch = finished(*reader)
        expect("ring", "what arrived", (count, total), (each * producers, sum(prices(each)) * producers))
        return Sample(ns, each * producers, batch)

    return side


def rows(producers: Kind) -> Side:
    """`claim(1024)` filled in place, and a batch handler that sums a column, 64 bytes an event."""

    def side(events: int) -> Sample:
        claims = max(1, events // ROWS)
        numbers = np.arange(ROWS)
        with shared(Wide, f"rows-{producers}", producers, ["reader"]) as ring:
            reader = started(consume_rows, ring, "reader")
            begin = perf_counter_ns()
            for _ in range(claims):
                with ring.claim(ROWS, reset=False) as block:
                    block["number"] = numbers
                    block["values"] = 1.5
            _all_done(ring, claims * ROWS - 1)
            ns = perf_counter_ns() - begin
            count, total, batch = finished(*reader)
        expect("ring", "what arrived", (count, total), (claims * ROWS, float(claims * numbers.sum())))
        return Sample(ns, claims * ROWS, batch)

    return side


def take_times(ring: Any, says: Connection) -> None:
    """Note how late each event is."""
    late: list[int] = []
    append, now = late.append, time.monotonic_ns
    group = ring.consumer_group("late")
    group.add("reader", lambda event: append(now() - event.due_ns))
    with group:
        says.send("ready")
        says.recv()
    says.send((len(late), float(np.percentile(late, 99))))


def paced(rate: int) -> Side:
    """The P99 of one-way latency from the time an event was due, `blocking`, at `rate` a second."""

    def side(events: int) -> Sample:
        with shared(Sent, "paced", "single", ["reader"]) as ring:
            reader = started(take_times, ring)
            publish = ring.publish
            pace(events, rate, lambda due: publish(due_ns=due))
            _all_done(ring, events - 1)
            count, p99 = finished(*reader)
        expect("ring", "what arrived", count, events)
        return Sample(int(p99), 1)

    return side


def pace(events: int, rate: int, send: Any) -> None:
    """Call `send(due)` for each event when it is due, and never wait for a late one to be made up."""
    step, now = 1_000_000_000 // rate, time.monotonic_ns
    due = now() + 1_000_000
    for _ in range(events):
        while now() < due:
            pass
        send(due)
        due += step
