"""Compares two records, ratio by ratio: what got worse against the same peers, beyond the noise of both runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from suite.bars import COUNTED, paired_ratio
from suite.record import Record, Row

MARGIN = 0.15
"""A change smaller than this is noise on any machine."""


@dataclass(frozen=True, slots=True)
class Change:
    """One of our sides against one peer, then and now.

    Attributes:
        scenario: where.
        what: the two sides, and the percentile.
        before: our time in units of the peer's, in the old record.
        after: the same in the new one.
        margin: what counts as noise here.
    """

    scenario: str
    what: str
    before: float
    after: float
    margin: float

    @property
    def is_worse(self) -> bool:
        """Whether we need more of the peer's time than before, beyond the noise."""
        return self.after > self.before * (1 + self.margin)

    @property
    def is_better(self) -> bool:
        """Whether we need less."""
        return self.after < self.before / (1 + self.margin)

    def __str__(self) -> str:
        return f"{self.scenario}: {self.what}: {self.before:.3f} x its time before, {self.after:.3f} x now"


def compare(old: Record, new: Record) -> list[Change]:
    """Every ratio that both records have."""
    return [change for entry in new.scenarios() for change in _scenario(old, new, entry["id"])]


def dirtier(old: Record, new: Record) -> list[str]:
    """What a hot path leaves behind now and did not before: counts, which have no noise."""
    paths: dict[str, dict[str, Any]] = new.data.get("garbage") or {}
    before: dict[str, dict[str, Any]] = old.data.get("garbage") or {}
    return [
        f"no garbage: {path}: {facts[name]} {words}, and none before"
        for path, facts in paths.items()
        for name, words in COUNTED.items()
        if facts.get(name) and before.get(path, {}).get(name) == 0
    ]


def vanished(old: Record, new: Record) -> list[str]:
    """Our sides that had figures and have none now."""
    lost: list[str] = []
    for entry in old.scenarios():
        now = {row.label for row in new.rows(entry["id"]) if row.is_ok}
        if now:
            lost += [f"{entry['id']}: {row.label}" for row in _ours(old, entry["id"]) if row.label not in now]
    return lost


def _ours(record: Record, scenario: str) -> list[Row]:
    return [row for row in record.rows(scenario) if row.is_ours and row.is_ok]


def _scenario(old: Record, new: Record, scenario: str) -> Iterator[Change]:
    before = {row.label: row for row in old.rows(scenario) if row.is_ok}
    for ours in _ours(new, scenario):
        for peer in new.rows(scenario):
            if peer.is_ok and not peer.is_ours and {ours.label, peer.label} <= before.keys():
                yield from _pair(scenario, (before[ours.label], before[peer.label]), (ours, peer))


def _pair(scenario: str, then: tuple[Row, Row], now: tuple[Row, Row]) -> Iterator[Change]:
    percentiles: tuple[str | None, ...] = (None,) if now[0].latency is None else ("p50", "p99")
    for percentile in percentiles:
        spread = max(_spread(row, percentile) for row in (*then, *now))
        what = f"{now[0].label} against {now[1].label}{f', {percentile.upper()}' if percentile else ''}"
        yield Change(
            scenario, what, paired_ratio(*then, percentile), paired_ratio(*now, percentile), max(MARGIN, spread)
        )


def _spread(row: Row, percentile: str | None) -> float:
    """How far the processes of one side lie apart, as a share of their median."""
    values = row.values(percentile)
    return (max(values) - min(values)) / row.figure(percentile)
