"""ringbus between processes, and between threads, with Python handlers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import payloads
from crew import Member, hear_all, tell_all
from options import Answer, Entry, Options, Run
from payloads import COLUMNS, QUANTITY, ROWS, SYMBOL

import ringbus
from suite.histogram import Histogram

WAITS = {"spin": "busy_spin", "yield": "yielding", "block": "blocking"}


class Trade(ringbus.Event):
    """Four fields."""

    symbol: str = ringbus.text(16)
    number: int
    price: float
    quantity: float


class Message(ringbus.Event):
    """64 bytes."""

    data: bytes = ringbus.blob(64)


class Wide(ringbus.Event):
    """A row of 64 bytes."""

    number: int
    values: Any = ringbus.array("f8", 7)


class Block(ringbus.Event):
    """Whole columns."""

    columns: Any = ringbus.array("i8", (COLUMNS, ROWS))


class Ball(ringbus.Event):
    """What bounces: 64 bytes."""

    number: int
    at: int
    rest: bytes = ringbus.blob(40, default=b"")


EVENTS: dict[str, Any] = {"fields": Trade, "dict": Trade, "bytes": Message, "rows": Wide, "columns": Block}


def send_fields(ring: Any, events: int) -> None:
    publish, symbol, quantity = ring.publish, SYMBOL, QUANTITY
    for number in range(events):
        publish(symbol=symbol, number=number, price=float(number), quantity=quantity)


def send_dicts(ring: Any, events: int) -> None:
    publish, symbol, quantity = ring.publish, SYMBOL, QUANTITY
    for number in range(events):
        event = {"symbol": symbol, "number": number, "price": float(number), "quantity": quantity}
        publish(**event)


def send_bytes(ring: Any, events: int) -> None:
    publish, messages = ring.publish, payloads.MESSAGES
    for number in range(events):
        publish(data=messages[number & 255])


def send_rows(ring: Any, events: int) -> None:
    claim = ring.claim
    for numbers in payloads.blocks(events):
        with claim(ROWS, reset=False) as rows:
            payloads.fill_rows(rows, numbers)


def send_columns(ring: Any, events: int) -> None:
    claim = ring.claim
    for numbers in payloads.blocks(events):
        with claim(1, reset=False) as rows:
            payloads.fill_columns(rows["columns"][0], numbers)


SENDERS: dict[str, Callable[[Any, int], None]] = {
    "fields": send_fields,
    "dict": send_dicts,
    "bytes": send_bytes,
    "rows": send_rows,
    "columns": send_columns,
}


class Adder:
    """A handler of each kind, and what it has added up."""

    def __init__(self, kind: str) -> None:
        self.handler: Any
        self.total: Callable[[], int]
        make = {"fields": self._fields, "dict": self._fields, "bytes": self._bytes, "rows": self._rows}
        make.get(kind, self._columns)()

    def _fields(self) -> None:
        numbers, prices = 0, 0.0

        def add(event: Any) -> None:
            nonlocal numbers, prices
            numbers += event.number
            prices += event.price

        self.handler, self.total = add, lambda: numbers + int(prices)

    def _bytes(self) -> None:
        total = 0

        def add(event: Any) -> None:
            nonlocal total
            message = event.data
            total += message[0] + len(message)

        self.handler, self.total = add, lambda: total

    def _rows(self) -> None:
        total = 0

        @ringbus.batch
        def add(rows: Any) -> None:
            nonlocal total
            total += int(rows["number"].sum())

        self.handler, self.total = add, lambda: total

    def _columns(self) -> None:
        total = 0

        @ringbus.batch
        def add(rows: Any) -> None:
            nonlocal total
            total += int(rows["columns"][:, 0].sum())

        self.handler, self.total = add, lambda: total


@contextmanager
def shared(event: Any, options: Options, name: str, readers: list[str], capacity: int = 0) -> Iterator[Any]:
    """A shared ring that keeps its readers' places, and is gone afterwards."""
    ring: Any = ringbus.RingBuffer(
        event,
        capacity or options.capacity,
        name=f"suite-{os.getpid()}-{name}",
        producers="single" if options.producers == 1 else "multi",
        wait=WAITS[options.wait],
        require=readers,
        replace=True,
    )
    try:
        yield ring
    finally:
        ring.unlink()


def _consume(ring: Any, name: str, kind: str, wait: str, line: Any) -> None:
    """Handle every event until told to stop; twice, as the first pass is not counted."""
    for _ in range(2):
        adder = Adder(kind)
        group = ring.consumer_group(name, wait=WAITS[wait])
        group.add(name, adder.handler, durable=True)
        with group:
            line.send("ready")
            line.recv()
        line.send((adder.total(), group.statistics().consumers[name].mean_batch))


def between_processes(kind: str) -> Run:
    """One process sends; each of `options.consumers` processes gets every event."""

    def run(options: Options) -> Answer:
        names = [f"reader-{number}" for number in range(options.consumers)]
        capacity = max(options.capacity // ROWS, 8) if kind == "columns" else options.capacity
        rows_each = ROWS if kind == "columns" else 1
        with shared(EVENTS[kind], options, kind, names, capacity) as ring:
            members = [Member(_consume, (ring, name, kind, options.wait), process=True) for name in names]
            _one_pass(ring, members, kind, options.warm_up, rows_each)
            seconds, results = _one_pass(ring, members, kind, options.events, rows_each)
        batches = [batch for _, batch in results]
        return Answer(seconds, sum(total for total, _ in results), max(batches))

    return run


def _one_pass(ring: Any, members: list[Member], kind: str, events: int, rows_each: int) -> tuple[float, list[Any]]:
    hear_all(members)
    last = ring.cursor + events // rows_each
    begin = time.perf_counter()
    SENDERS[kind](ring, events)
    while ring.minimum_sequence < last:
        time.sleep(0.0001)
    seconds = time.perf_counter() - begin
    tell_all(members, "stop")
    return seconds, hear_all(members)


def between_threads(options: Options) -> Answer:
    """One thread publishes by fields, the handler runs on a thread of its group."""
    ring: Any = ringbus.RingBuffer(Trade, options.capacity, producers="single", wait=WAITS[options.wait])
    _thread_pass(ring, options.warm_up)
    return _thread_pass(ring, options.events)


def _thread_pass(ring: Any, events: int) -> Answer:
    adder, group = Adder("fields"), ring.consumer_group("reader")
    group.add("reader", adder.handler)
    with group:
        begin = time.perf_counter()
        send_fields(ring, events)
        group.drain()
        seconds = time.perf_counter() - begin
    return Answer(seconds, adder.total(), group.statistics().consumers["reader"].mean_batch)


def ping_pong(options: Options) -> Answer:
    """Two rings; a handler in the other process publishes what it gets."""
    with shared(Ball, options, "there", ["echo"]) as there, shared(Ball, options, "back", ["player"]) as back:
        member = Member(_echo, (there, back, options.wait), process=True)
        member.hear()
        with back.poller("player", wait=WAITS[options.wait]) as player:
            _play(there, player, min(options.events // 4, 2_000))
            begin = time.perf_counter()
            checksum, times = _play(there, player, options.events)
            seconds = time.perf_counter() - begin
        member.tell("stop")
        member.join()
    return Answer(seconds, checksum, latency=Histogram.of(times))


def _echo(there: Any, back: Any, wait: str, line: Any) -> None:
    publish = back.publish

    def answer(event: Any) -> None:
        publish(number=event.number, at=event.at)

    group = there.consumer_group("echo", wait=WAITS[wait])
    group.add("echo", answer)
    with group:
        line.send("ready")
        line.recv()


def _play(there: Any, player: Any, trips: int) -> tuple[int, Any]:
    times, now, numbers = np.empty(trips, np.int64), time.perf_counter_ns, 0
    publish, receive = there.publish, player.next
    for number in range(trips):
        publish(number=number, at=now())
        event = receive()
        times[number] = now() - event.at
        numbers += event.number
    return numbers, times


def harness(kind: str) -> Run:
    """What the loops cost with nothing between: both on one thread, with a call in between."""

    def run(options: Options) -> Answer:
        send, receive = payloads.PAYLOADS[kind, kind not in {"rows", "columns"}]
        box: list[Any] = []
        total, piece = 0, 1 if kind in {"rows", "columns"} else min(256, options.events)
        rows_each = ROWS if piece == 1 else 1

        def put(message: Any) -> None:
            nonlocal total
            box.append(message)
            if len(box) == piece:
                total += receive(box.pop, piece * rows_each)

        begin = time.perf_counter()
        send(put, options.events)
        total += receive(box.pop, len(box) * rows_each)
        return Answer(time.perf_counter() - begin, total, 1.0)

    return run


def entries() -> list[Entry]:
    """What this module has."""
    kinds = payloads.CHECKSUMS
    found = [
        Entry(f"processes-{kind}", name, run, ("block", "yield"), kinds[kind], batches=True)
        for kind in kinds
        for name, run in ((f"ringbus python, {_HOW[kind]}", between_processes(kind)), ("harness", harness(kind)))
    ]
    how = "ringbus python, publish(...)"
    found += [
        Entry("processes-fan4", how, between_processes("fields"), ("block", "yield"), "fields"),
        Entry("threads-fields", how, between_threads, ("block", "yield"), "fields"),
        Entry("threads-fields", "harness", harness("fields"), ("block",), "fields"),
        Entry("pingpong-spin", how, ping_pong, ("spin",), "number"),
        Entry("pingpong-block", how, ping_pong, ("block",), "number"),
    ]
    return found


_HOW = {
    "fields": "publish(...)",
    "dict": "publish(**dict)",
    "bytes": "publish(data=)",
    "rows": "claim(1024)",
    "columns": "claim(1)",
}
