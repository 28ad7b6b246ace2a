"""How long a halt takes where machine code runs: from the call of `halt` until the threads have ended."""

from __future__ import annotations

import importlib.util
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from events import expect
from measure import Table, Verdict

import ringbus

BAR_MS = 10.0
CAPACITY = 1024
LONG = 1 << 16
"""Slots of the ring that gives a long batch: about half a second of work."""

STRATEGIES = ("busy_spin", "yielding", "sleeping", "blocking", "phased_backoff")

Case = Callable[[], AbstractContextManager[Callable[[], object]]]
"""Sets up what runs, gives the call that halts it and waits for its threads, and checks afterwards what they did."""


class Tick(ringbus.Event):
    """A number."""

    number: int = 0


@ringbus.compiled
def count(_event: Any, state: Any) -> None:
    """Count the events."""
    state[0] += 1


@ringbus.compiled
def toil(_event: Any, state: Any) -> None:
    """Take some microseconds."""
    state[0] += 1
    for step in range(8_000):
        state[1] += step ^ state[1]


def fill(event: Any, state: Any) -> None:
    """Number the events."""
    state[0] += 1
    event.number = state[0]


def idle(wait: str, workers: int = 1) -> Case:
    """A handler that has handled some events and waits for more."""

    @contextmanager
    def case() -> Iterator[Callable[[], object]]:
        ring = ringbus.RingBuffer(Tick, CAPACITY)
        group = ring.consumer_group("group")
        consumer = group.add("count", count, state=np.zeros(2, np.int64), wait=wait, workers=workers)
        group.start()
        ring.publish_batch(np.zeros(100, Tick.dtype))
        group.drain()
        yield group.halt
        expect(f"idle, {wait}", "what was handled", sum(int(state[0]) for state in consumer.states), 100)

    return case


@contextmanager
def long_batch() -> Iterator[Callable[[], object]]:
    """A handler in the middle of a ring full of events."""
    ring = ringbus.RingBuffer(Tick, LONG)
    group = ring.consumer_group("group")
    state = group.add("toil", toil, state=np.zeros(2, np.int64)).state
    ring.publish_batch(np.zeros(LONG, Tick.dtype))
    group.start()
    _until(lambda: state[0] > 0)
    yield group.halt
    expect("long batch", "whether it ended early", bool(0 < state[0] < LONG), True)


def full(wait: str) -> Case:
    """A source that waits for free slots."""

    @contextmanager
    def case() -> Iterator[Callable[[], object]]:
        ring = ringbus.RingBuffer(Tick, CAPACITY, wait=wait)
        with ring.poller("reader"):
            source = ring.source(fill, np.zeros(1, np.int64))
            source.start()
            _until(lambda: source.published == CAPACITY)

            def halt() -> None:
                source.halt()
                source.join()

            yield halt
            expect(f"full ring, {wait}", "what was published", source.published, CAPACITY)

    return case


@contextmanager
def harness() -> Iterator[Callable[[], object]]:
    """A thread of Python that waits for an event: what the measuring costs."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()

    def halt() -> None:
        ended.set()
        thread.join()

    yield halt


CASES: dict[str, Case] = {
    "harness: a thread that waits for a threading.Event": harness,
    **{f"idle, {wait}": idle(wait) for wait in STRATEGIES},
    "idle, 16 workers": idle("blocking", workers=16),
    "in the middle of a long batch": long_batch,
    **{f"source, the ring full, {wait}": full(wait) for wait in STRATEGIES},
}


def run(quick: bool) -> Table:
    """Halt each of them many times, in turn."""
    runs = 20 if quick else 200
    table = Table("Halts of compiled handlers and sources", f"from `halt` until the threads ended; {runs} runs of each")
    if importlib.util.find_spec("numba") is None:
        table.note = "left out: Numba is not installed (ringbus[compiled])"
        return table
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for case in CASES.values():
        _halt(case)
    for _ in range(runs):
        for name, case in CASES.items():
            times[name].append(_halt(case))
    table.verdicts.extend(_verdict(name, row) for name, row in times.items())
    return table


def _halt(case: Case) -> float:
    """The ms that one halt took."""
    with case() as halt:
        begin = time.perf_counter_ns()
        halt()
        took = time.perf_counter_ns() - begin
    return took / 1e6


def _verdict(name: str, row: list[float]) -> Verdict:
    slowest = max(row)
    measured = f"median {statistics.median(row):.2f} ms, slowest {slowest:.2f} ms"
    return Verdict(name, measured, f"at most {BAR_MS:g} ms", slowest <= BAR_MS)


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0)
