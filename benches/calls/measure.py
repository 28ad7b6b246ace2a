"""How things are compared: both sides in one run, in turn, the median of the rounds."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import thread_time_ns
from typing import Literal

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed pass of one side.

    Attributes:
        ns: the time of all events.
        events: how many.
        mean_batch: events that the consumer took at a time, where it takes several.
    """

    ns: int
    events: int
    mean_batch: float | None = None

    @property
    def ns_per_event(self) -> float:
        """The time of one event."""
        return self.ns / self.events


Side = Callable[[int], Sample]
"""Moves so many events, checks what arrived, and says how long it took."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one side came to over all rounds."""

    name: str
    ns: float
    low: float
    high: float
    mean_batch: float | None

    @property
    def per_second(self) -> float:
        """Events a second."""
        return 1e9 / self.ns


@dataclass(frozen=True, slots=True)
class Bar:
    """What one side has to reach against another.

    Attributes:
        ours: the name of our side.
        peer: the name of the other.
        limit: the ratio.
        kind: "faster": at least `limit` times as fast. "time": at most `limit` times its time.
        aim: a ratio to be reached some day.
    """

    ours: str
    peer: str
    limit: float
    kind: Literal["faster", "time"] = "faster"
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar and what was measured."""

    text: str
    measured: str
    wanted: str
    met: bool


@dataclass(slots=True)
class Table:
    """One scenario's result."""

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)


def timed(call: Callable[[], object]) -> int:
    """The time of one call in ns."""
    begin = thread_time_ns()
    call()
    return thread_time_ns() - begin


def compare(title: str, note: str, sides: Mapping[str, Side], bars: list[Bar], events: int) -> Table:
    """Run every side once without counting, then `ROUNDS` times in turn, each round beginning with another one.

    A ratio is the median of the ratios of the rounds: its two sides stand next to each other in time.
    """
    names = list(sides)
    for name in names:
        sides[name](min(events, 20_000))
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for turn in range(ROUNDS):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            samples[name].append(sides[name](events))
    table = Table(title, note, [_row(name, samples[name]) for name in names])
    table.verdicts.extend(_verdict(bar, samples) for bar in bars)
    return table


def _row(name: str, samples: list[Sample]) -> Row:
    times = [sample.ns_per_event for sample in samples]
    batches = [sample.mean_batch for sample in samples if sample.mean_batch is not None]
    mean_batch = statistics.median(batches) if batches else None
    return Row(name, statistics.median(times), min(times), max(times), mean_batch)


def _verdict(bar: Bar, samples: Mapping[str, list[Sample]]) -> Verdict:
    pairs = zip(samples[bar.ours], samples[bar.peer], strict=True)
    ratios = [ours.ns_per_event / peer.ns_per_event for ours, peer in pairs]
    if bar.kind == "time":
        ratio = statistics.median(ratios)
        wanted, measured, met = f"at most {bar.limit:g} x its time", f"{ratio:.2f} x its time", ratio <= bar.limit
    else:
        ratio = statistics.median(1 / ratio for ratio in ratios)
        wanted, measured, met = f"at least {bar.limit:g} x as fast", f"{ratio:.2f} x as fast", ratio >= bar.limit
    if bar.aim is not None:
        wanted += f", aim {bar.aim:g}"
    return Verdict(f"{bar.ours} against {bar.peer}", measured, wanted, met)
