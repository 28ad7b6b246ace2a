"""Events at a given rate: each has the time it is due, and counts from then on, however late it is sent.

Event i of producer p is number n = i * producers + p, due at the start + n / rate. A producer sleeps until an event is
due (clock_nanosleep; alone, with a timer slack of 1 ns), sends at once what is overdue, and leaves nothing out. Who is
behind when the time is over stops there and says how many it sent.
"""

from __future__ import annotations

import ctypes
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from options import Answer, Options

from suite.histogram import Histogram

PAYLOAD = bytes(112)
"""What an event of 128 bytes carries beside its number and its time."""

QUARTERS = 4

_PR_SET_TIMERSLACK = 29
_LEAD_NS = 200_000_000
"""From when all are ready to the first event."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The times of a run.

    Attributes:
        start_ns: of the first event, by the monotonic clock.
        options: rate, seconds and warm-up.
    """

    start_ns: int
    options: Options

    @classmethod
    def soon(cls, options: Options) -> Plan:
        """A plan that begins in a moment."""
        return cls(time.monotonic_ns() + _LEAD_NS, options)

    @property
    def events(self) -> int:
        """Of all producers."""
        return round(self.options.rate * (self.options.warmup + self.options.seconds))

    @property
    def stop_ns(self) -> int:
        """When the time is over."""
        return self.start_ns + round((self.options.warmup + self.options.seconds) * 1e9)

    def send(self, producer: int, put: Callable[[int, int], object]) -> int:
        """Call `put(number, due_ns)` for each event of one producer. How many it sent."""
        sharpen_sleep(self.options)
        now, sleep, stop = time.monotonic_ns, time.sleep, self.stop_ns
        producers, start, rate = self.options.producers, self.start_ns, self.options.rate
        sent = 0
        for number in range(producer, self.events, producers):
            due = start + number * 1_000_000_000 // rate
            at = now()
            if at < due:
                sleep((due - at) * 1e-9)
            elif at > stop:
                break
            put(number, due)
            sent += 1
        return sent


def sharpen_sleep(options: Options) -> None:
    """Ask the system for sleeps of this thread that end when they should, not up to 50 us later.

    One of many producers leaves it as it is, as Go has to: else each of their wakes is a timer interrupt of its own.
    """
    if options.producers == 1:
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)


class Notes:
    """What one consumer notes: the number of each event, and how late it is."""

    def __init__(self) -> None:
        self.numbers, self.late = array("q"), array("q")

    def taker(self) -> Callable[[int, int], None]:
        """A function that notes an event."""
        number_of, late_of, now = self.numbers.append, self.late.append, time.monotonic_ns

        def take(number: int, due: int) -> None:
            late_of(now() - due)
            number_of(number)

        return take

    def report(self, options: Options) -> tuple[int, list[list[tuple[int, int]]]]:
        """The sum of the numbers, and the buckets of each quarter of the measured time."""
        numbers = np.frombuffer(self.numbers, np.int64) if self.numbers else np.empty(0, np.int64)
        late = np.frombuffer(self.late, np.int64) if self.late else np.empty(0, np.int64)
        return int(numbers.sum()), quarters(numbers, late, options)


def quarters(numbers: Any, late: Any, options: Options) -> list[list[tuple[int, int]]]:
    """The buckets of each quarter; the warm-up's events are left out."""
    first = round(options.rate * options.warmup)
    quarter = (numbers - first) * QUARTERS // max(round(options.rate * options.seconds), 1)
    return [Histogram.of(late[(numbers >= first) & (quarter == part)]).buckets() for part in range(QUARTERS)]


def answer(options: Options, sent: list[int], reports: list[Any], mean_batch: float | None = None) -> Answer:
    """What all consumers' reports come to."""
    windows = [Histogram() for _ in range(QUARTERS)]
    for _, parts in reports:
        for window, part in zip(windows, parts, strict=True):
            window.add(part)
    whole = Histogram()
    for window in windows:
        whole.add(window.buckets())
    checksum = sum(report[0] for report in reports)
    return Answer(options.seconds, checksum, mean_batch, whole, sent, windows)
