"""The bars: what ringbus has to reach, each computed from a record."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from suite.record import Record, Row

Pick = Callable[[Record, str], Row | None]
"""Finds a side of a scenario in a record."""


def side(language: str, prefix: str) -> Pick:
    """The side of that language whose name begins so."""
    return lambda record, scenario: record.find(scenario, language, prefix)


def best_python(percentile: str | None = None, waits: tuple[str, ...] = ("spin", "yield", "block")) -> Pick:
    """The best side in Python that is not ours, of those that wait so."""

    def pick(record: Record, scenario: str) -> Row | None:
        rows = [row for row in record.rows(scenario) if row.is_ok and row.language == "python"]
        peers = [row for row in rows if not row.is_ours and not row.is_harness and row.facts["wait"] in waits]
        return min(peers, key=lambda row: row.figure(percentile), default=None)

    return pick


COMPILED = side("python", "ringbus compiled")
OURS = side("python", "ringbus python")
RAW = side("cpp", "raw")
JAVA = side("java", "disruptor")
CRATE = side("rust", "disruptor")
CHANNEL = side("go", "channel")
MP_QUEUE = side("python", "multiprocessing.Queue")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        text: what is compared.
        scenario: where.
        ours: our side.
        peer: the other.
        limit: a ratio.
        percentile: of latency; None compares the time of an event.
        faster: True: at least `limit` times as fast. False: at most `limit` times its time.
    """

    text: str
    scenario: str
    ours: Pick
    peer: Pick
    limit: float
    percentile: str | None = None
    faster: bool = True

    def judge(self, record: Record) -> Verdict:
        """What the record says."""
        ours, peer = self.ours(record, self.scenario), self.peer(record, self.scenario)
        if ours is None or peer is None:
            who = "ringbus" if ours is None else "the other side"
            return Verdict(self.text, f"not measured: {who} is not in the record", self._wanted(), None)
        ratio = paired_ratio(ours, peer, self.percentile)
        measured = 1 / ratio if self.faster else ratio
        met = measured >= self.limit if self.faster else measured <= self.limit
        unit = "x as fast" if self.faster else "x its time"
        return Verdict(self.text, f"{measured:.2f} {unit} ({ours.label} against {peer.label})", self._wanted(), met)

    def _wanted(self) -> str:
        return f"at least {self.limit:g} x as fast" if self.faster else f"at most {self.limit:g} x its time"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar and what was measured; `met` is None where it was not."""

    text: str
    measured: str
    wanted: str
    met: bool | None

    @property
    def word(self) -> str:
        """In one word."""
        return {True: "met", False: "MISSED", None: "open"}[self.met]


def paired_ratio(ours: Row, peer: Row, percentile: str | None) -> float:
    """The median of the ratios of the rounds, whose two processes ran near each other in time."""
    mine, theirs = ours.values(percentile), peer.values(percentile)
    if len(mine) == len(theirs):
        return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
    return statistics.median(mine) / statistics.median(theirs)


def _tails(text: str, scenario: str, ours: Pick, peer: Pick, limit: float) -> Iterable[Bar]:
    for percentile, word in (("p99", "P99"), ("p99.9", "P99.9")):
        yield Bar(f"{text}, {word}", scenario, ours, peer, limit, percentile, faster=False)


BARS: tuple[Bar, ...] = (
    Bar("1P1C compiled, single claims, against raw C++", "1p1c", COMPILED, RAW, 0.8),
    Bar("1P1C compiled, single claims, against Java", "1p1c", COMPILED, JAVA, 1.0),
    Bar("1P1C compiled, claims of 64, against raw C++", "1p1c-batch", COMPILED, RAW, 0.9),
    Bar("1P2C compiled against Java", "1p2c", COMPILED, JAVA, 1.5),
    Bar("1P2C compiled against raw C++", "1p2c", COMPILED, RAW, 0.8),
    Bar("2P1C compiled against Java", "2p1c", COMPILED, JAVA, 2.0),
    Bar("2P1C compiled against the Rust crate", "2p1c", COMPILED, CRATE, 1.0),
    Bar("pipeline of 3, compiled, against Java", "pipeline3", COMPILED, JAVA, 1.0),
    Bar("diamond of 3, compiled, against Java", "diamond3", COMPILED, JAVA, 1.0),
    Bar("Python per event between processes against the best peer", "processes-fields", OURS, best_python(), 2.0),
    Bar("NumPy rows between processes against the best peer", "processes-rows", OURS, best_python(), 4.0),
    Bar("NumPy columns between processes against the best peer", "processes-columns", OURS, best_python(), 4.0),
    Bar(
        "ping-pong, spinning: compiled between processes against Java's threads",
        "pingpong-spin",
        COMPILED,
        lambda record, _scenario: record.find("pingpong", "java", "disruptor"),
        0.6,
        "p50",
        faster=False,
    ),
    Bar(
        "ping-pong, spinning: Python against the best peer", "pingpong-spin", OURS, best_python("p50"), 1, "p50", False
    ),
    Bar(
        "ping-pong, blocking: Python against the best peer",
        "pingpong-block",
        OURS,
        best_python("p50", ("block",)),
        1,
        "p50",
        False,
    ),
    *_tails("16+16, compiled on threads, against the Go channel", "16x16-one", COMPILED, CHANNEL, 1.0),
    *_tails("16+16, Python processes, against multiprocessing.Queue", "16x16-one", OURS, MP_QUEUE, 0.1),
)


def verdicts(record: Record) -> list[Verdict]:
    """Every bar, and the counts of what must be 0."""
    return [bar.judge(record) for bar in BARS] + _garbage(record)


def _garbage(record: Record) -> list[Verdict]:
    paths: dict[str, Any] = record.data.get("garbage") or {}
    wanted = ", ".join(f"0 {words}" for words in COUNTED.values())
    if not paths:
        return [Verdict("no garbage", "not measured", wanted, None)]
    return [_no_garbage(path, facts, wanted) for path, facts in paths.items()]


COUNTED = {
    "collections": "collections",
    "kept_blocks": "kept blocks",
    "mallocs": "malloc calls",
    "minor_faults": "minor page faults",
    "major_faults": "major page faults",
}
"""What has to be 0 on a hot path that is warm: by its name in the record, and in words."""


def _no_garbage(path: str, facts: dict[str, Any], wanted: str) -> Verdict:
    """Met where every count is 0; open where all that was counted is, and something was not."""
    counts = {words: facts.get(name) for name, words in COUNTED.items()}
    said = [f"{words} not counted" if count is None else f"{count:,} {words}" for words, count in counts.items()]
    met = None if None in counts.values() else True
    if any(counts.values()):
        met = False
    return Verdict(f"no garbage: {path}", f"{', '.join(said)} in {facts['events']:,} events", wanted, met)


def as_data(found: Iterable[Verdict]) -> list[dict[str, Any]]:
    """For the record."""
    return [asdict(verdict) for verdict in found]
