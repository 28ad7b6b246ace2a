"""The runner: a fresh process for each measure, the sides of a scenario in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from suite.contestants import Contestant
from suite.histogram import Histogram
from suite.measure import Measure, Outcome
from suite.scenarios import Scenario

Say = Callable[[str], None]

_HOPELESS = 0.9
"""Who sends less than this share of the events in time has not kept up."""
_TRIAL, _TRIAL_WARMUP = 6.0, 2.0
"""Seconds of the trial of a long run."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of everything.

    Attributes:
        runs: processes of each side.
        target: seconds that a timed pass should take.
        pilot: the most events of the run that only says how many the others shall have.
        seconds: the longest that events are sent at a rate; None as the scenario says.
        warmup: the longest before that; None as the scenario says.
        only_pilot: whether the first short run is all there is.
    """

    runs: int = 5
    target: float = 0.3
    pilot: int = 1_000_000
    seconds: float | None = None
    warmup: float | None = None
    only_pilot: bool = False

    @classmethod
    def quick(cls) -> Effort:
        """For a look: one process a side."""
        return cls(runs=1, pilot=200_000, seconds=3.0, warmup=0.5, only_pilot=True)


@dataclass(slots=True)
class Side:
    """A contestant in a scenario, and its outcomes so far."""

    contestant: Contestant
    wait: str
    events: int
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def trouble(self) -> Outcome | None:
        """The first outcome that is no figure."""
        return next((outcome for outcome in self.outcomes if outcome.status != "ok"), None)

    def row(self) -> dict[str, Any]:
        """What the record keeps of it."""
        facts: dict[str, Any] = {
            "language": self.contestant.language,
            "contestant": self.contestant.name,
            "wait": self.wait,
        }
        trouble = self.trouble
        if trouble is not None:
            return {**facts, "status": trouble.status, "word": trouble.word}
        return {**facts, "status": "ok", **_figures(self.outcomes)}


def measure(scenario: Scenario, sides: Sequence[Contestant], effort: Effort, say: Say) -> dict[str, Any]:
    """Measure one scenario. What the record keeps of it."""
    taking_part, rows = _taking_part(scenario, sides)
    for side in taking_part:
        _pilot(scenario, side, effort)
        say(f"    {side.contestant.language} {side.contestant.name}: {_pilot_word(side)}")
    runs = min(scenario.runs or effort.runs, effort.runs)
    for turn in range(runs):
        first = turn % max(len(taking_part), 1)
        for side in taking_part[first:] + taking_part[:first]:
            if side.trouble is None and len(side.outcomes) < runs:
                side.outcomes.append(_run(scenario, side))
    rows += [side.row() for side in taking_part]
    return {"id": scenario.id, "title": scenario.title, "note": scenario.note, "unit": scenario.unit, "rows": rows}


def limited(scenario: Scenario, effort: Effort) -> Scenario:
    """The scenario with the times of a quick run."""
    if scenario.rate is None:
        return scenario
    seconds = scenario.seconds if effort.seconds is None else min(scenario.seconds, effort.seconds)
    warmup = scenario.warmup if effort.warmup is None else min(scenario.warmup, effort.warmup)
    return replace(scenario, seconds=seconds, warmup=warmup)


def _taking_part(scenario: Scenario, sides: Sequence[Contestant]) -> tuple[list[Side], list[dict[str, Any]]]:
    """Those that can wait as the scenario has it, and rows for the others."""
    found: list[Side] = []
    rows: list[dict[str, Any]] = []
    for contestant in sides:
        if scenario.batch > 1 and not contestant.batches:
            continue
        wait = contestant.wait_in(scenario)
        if wait is not None:
            found.append(Side(contestant, wait, scenario.pilot))
            continue
        word = f"it does not wait by {' or '.join(scenario.waits)}"
        facts = {"language": contestant.language, "contestant": contestant.name, "wait": ""}
        rows.append({**facts, "status": "skipped", "word": word})
    return found, rows


def _pilot(scenario: Scenario, side: Side, effort: Effort) -> None:
    """One short run that says how many events the others shall have; a wrong answer ends the side here."""
    if scenario.rate is not None:
        _trial(scenario, side)
        return
    unit = scenario.producers * max(scenario.batch, 1)
    least = min(scenario.pilot, effort.pilot)
    side.events = _multiple(least, unit)
    outcome = _run(scenario, side)
    if outcome.status != "ok" or effort.only_pilot:
        side.outcomes.append(outcome)
        return
    wanted = effort.target * 1e9 / max(outcome.ns, 0.1)
    side.events = _multiple(round(min(max(wanted, least), scenario.most)), unit)


def _trial(scenario: Scenario, side: Side) -> None:
    """A few seconds of a run of minutes: who cannot keep up then will not later, and its trial is its figure."""
    if scenario.seconds > _TRIAL:
        short = replace(scenario, seconds=_TRIAL, warmup=_TRIAL_WARMUP)
        side.events = _scheduled(short)
        outcome = _run(short, side)
        if outcome.status != "ok" or outcome.events < _HOPELESS * side.events:
            word = f"{outcome.word}, in {short.seconds:g} s" if outcome.status == "ok" else outcome.word
            side.outcomes.append(replace(outcome, word=word))
    side.events = _scheduled(scenario)


def _scheduled(scenario: Scenario) -> int:
    return round((scenario.rate or 0) * (scenario.seconds + scenario.warmup))


def _pilot_word(side: Side) -> str:
    trouble = side.trouble
    return f"{trouble.status}, {trouble.word}" if trouble else f"{side.events:,} events, {side.wait}"


def _multiple(events: int, unit: int) -> int:
    return max(events // unit, 1) * unit


def _run(scenario: Scenario, side: Side) -> Outcome:
    return Measure(scenario, side.contestant, side.wait, side.events).run()


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    batches = [outcome.mean_batch for outcome in outcomes if outcome.mean_batch is not None]
    figures: dict[str, Any] = {
        "runtime": outcomes[-1].runtime,
        "word": next((outcome.word for outcome in outcomes if outcome.word), ""),
        "events": outcomes[-1].events,
        "ns": [round(outcome.ns, 3) for outcome in outcomes],
        "mean_batch": round(statistics.median(batches), 2) if batches else None,
    }
    if outcomes[0].latency is not None:
        figures["latency"] = _latency(outcomes)
    return figures


def _latency(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The merged histogram's percentiles, and those of each process, or of each window where there is one process."""
    single = [outcome.latency for outcome in outcomes if outcome.latency is not None]
    merged = Histogram()
    for histogram in single:
        merged.add(histogram.buckets())
    parts = outcomes[0].windows if len(single) == 1 and outcomes[0].windows else single
    return {
        "merged": merged.summary(),
        "parts": [part.summary() for part in parts if part.counts],
        "curve": merged.curve(),
    }
