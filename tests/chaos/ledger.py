"""What each process wrote down, outside of the ring, and what must be true of it.

A producer writes what it is about to publish, and once more what it has published: the second makes it acknowledged.
A consumer writes what it sees before it says that it is done with it. Every record is one `write` to a file opened
with O_APPEND, so a SIGKILL leaves whole records.

The rule: acknowledged is a subset of seen by each surviving consumer; seen without attempted is empty; seen and not
acknowledged is allowed, and counted.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

ATTEMPTED, ACKNOWLEDGED = 1, 2
CLAIM = np.dtype([("kind", "<u4"), ("count", "<u4"), ("first", "<i8"), ("crc", "<u4")])
SEEN = np.dtype([("sequence", "<i8"), ("number", "<i8"), ("producer", "<i4"), ("whole", "<i4")])
_CLAIM = struct.Struct("<IIq")
_SEEN = struct.Struct("<qqii")


class Ledger:
    """A file that only grows."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def claim(self, kind: int, first: int, count: int) -> None:
        """Write down `count` numbers from `first` on."""
        record = _CLAIM.pack(kind, count, first)
        os.write(self._file, record + struct.pack("<I", zlib.crc32(record)))

    def see(self, sequence: int, producer: int, number: int, whole: bool) -> None:
        """Write down one event."""
        os.write(self._file, _SEEN.pack(sequence, number, producer, whole))

    def see_rows(self, first_sequence: int, events: Rows, whole: npt.NDArray[np.bool_]) -> None:
        """Write down a batch."""
        rows = np.empty(len(events), SEEN)
        rows["sequence"] = np.arange(first_sequence, first_sequence + len(events))
        for name in ("number", "producer"):
            rows[name] = events[name]
        rows["whole"] = whole
        os.write(self._file, rows.tobytes())


def read(path: Path, dtype: np.dtype[Any]) -> Rows:
    """Read a ledger; a record that is not whole is an error."""
    return np.frombuffer(path.read_bytes(), dtype)


def read_claims(path: Path) -> tuple[Numbers, Numbers]:
    """The numbers that a producer attempted, and those that were acknowledged to it; each once, sorted."""
    whole = memoryview(path.read_bytes())
    records = np.frombuffer(whole, CLAIM)
    size, checked = CLAIM.itemsize, _CLAIM.size
    for begin, crc in zip(range(0, len(whole), size), records["crc"], strict=True):
        if zlib.crc32(whole[begin : begin + checked]) != crc:
            raise ValueError(f"{path}: a record with a wrong checksum")
    attempted, acknowledged = (_spread(records[records["kind"] == kind]) for kind in (ATTEMPTED, ACKNOWLEDGED))
    return attempted, acknowledged


def _spread(records: Rows) -> Numbers:
    """`count` numbers from `first` on, of all records together."""
    counts = records["count"].astype(np.int64)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.unique(np.repeat(records["first"], counts) + offsets)


@dataclass
class Findings:
    """What was counted, and what is wrong."""

    events: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    pads: int = 0
    redelivered: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fault(self, what: str, count: int, example: str) -> None:
        """Count `count` faults of a kind, if there are any."""
        if count:
            self.wrong[what] += count
            self.examples.append(f"{what}: {example}")

    def write(self, path: Path) -> None:
        """Write them to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Findings:
        """Read what `write` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**found, "wrong": Counter(found["wrong"])})

    def add(self, other: Findings) -> None:
        """Add what another scene found."""
        for name in ("events", "acknowledged", "unacknowledged", "pads", "redelivered"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.wrong += other.wrong
        self.examples += other.examples


def check_all(folder: Path, start: int, pads: int, claims: Iterable[int], parts: Iterable[tuple[str, str]]) -> Findings:
    """Check the ledgers of a scene: of the producers `claims` and of the consumers `parts`, (kind, name) each."""
    findings = Findings()
    reference = read(folder / "seen-survivor-batch-0", SEEN)
    shifted = reference.copy()
    shifted["sequence"] -= start
    written = {number: folder / f"claims-{number}" for number in claims}
    check_reference(findings, shifted, {number: path for number, path in written.items() if path.exists()}, pads)
    for kind, name in parts:
        paths = sorted(folder.glob(f"seen-{name}-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        lives = [read(path, SEEN) for path in paths]
        for life, rows in enumerate(lives):
            check_order(findings, f"{name}, life {life}", rows)
            check_against(findings, f"{name}, life {life}", rows, reference, gaps=kind == "watcher")
        if kind in ("durable", "remote"):
            check_durable(findings, name, lives, reference)
        if kind != "watcher" and lives:
            check_end(findings, name, lives[-1], reference)
        if kind == "survivor":
            other = len(lives) != 1 or len(lives[0]) != len(reference)
            findings.fault("missed by a consumer that gates", int(other), name)
    return findings


def check_order(findings: Findings, name: str, rows: Rows) -> None:
    """Sequences rise, and so do the numbers of each producer: nothing twice, nothing out of order. Each is whole."""
    steps = np.diff(rows["sequence"])
    findings.fault("order or doubles", int((steps <= 0).sum()), f"sequences seen by {name}")
    findings.fault("torn events", int((rows["whole"] == 0).sum()), f"seen by {name}")
    for producer in np.unique(rows["producer"]):
        numbers = rows["number"][rows["producer"] == producer]
        findings.fault("order or doubles", int((np.diff(numbers) <= 0).sum()), f"producer {producer}, seen by {name}")


def check_reference(findings: Findings, rows: Rows, claims: dict[int, Path], pads: int) -> None:
    """The ledger rule for a consumer that saw everything."""
    for producer, path in claims.items():
        attempted, acknowledged = read_claims(path)
        seen = np.unique(rows["number"][rows["producer"] == producer])
        lost, never = np.setdiff1d(acknowledged, seen), np.setdiff1d(seen, attempted)
        findings.fault("acknowledged, lost", len(lost), f"producer {producer}: {lost[:5].tolist()}")
        findings.fault("seen, never attempted", len(never), f"producer {producer}: {never[:5].tolist()}")
        findings.acknowledged += len(acknowledged)
        findings.unacknowledged += len(np.setdiff1d(seen, acknowledged))
    unknown = set(np.unique(rows["producer"]).tolist()) - set(claims)
    findings.fault("seen, never attempted", len(unknown), f"producers {sorted(unknown)[:5]}")
    findings.events += len(rows)
    findings.pads += pads
    if len(rows):
        holes = int(rows["sequence"][-1]) + 1 - len(rows)
        findings.fault("holes that are no Pads", max(0, holes - pads), f"{holes} sequences without event, {pads} Pads")


def check_against(findings: Findings, name: str, rows: Rows, reference: Rows, *, gaps: bool) -> None:
    """Someone else saw the same events at the same sequences; without `gaps`, all from its first to its last."""
    if not len(rows):
        return
    known = _between(reference, rows["sequence"][0], rows["sequence"][-1])
    places = np.searchsorted(known["sequence"], rows["sequence"])
    inside = places < len(known)
    places[~inside] = 0
    same = inside & (known[places] == rows) if len(known) else np.zeros(len(rows), bool)
    findings.fault("other events than the others", int((~same).sum()), f"seen by {name}: {rows[~same][:3].tolist()}")
    if not gaps:
        missing = np.setdiff1d(known["sequence"], rows["sequence"])
        findings.fault("missed by a consumer that gates", len(missing), f"{name}: {missing[:5].tolist()}")


def check_end(findings: Findings, name: str, rows: Rows, reference: Rows) -> None:
    """Who stopped after the producers saw everything to the end."""
    if len(rows) and len(reference):
        rest = _between(reference, int(rows["sequence"][-1]) + 1, int(reference["sequence"][-1]))
        findings.fault("missed by a consumer that gates", len(rest), f"{name}, at the end")


def check_durable(findings: Findings, name: str, lives: Iterable[Rows], reference: Rows) -> None:
    """Each life goes on where the one before was done or earlier: at least once, nothing left out."""
    done: int | None = None
    for rows in lives:
        if not len(rows):
            continue
        first, last = int(rows["sequence"][0]), int(rows["sequence"][-1])
        if done is not None:
            skipped = _between(reference, done + 1, first - 1)
            findings.fault("missed by a durable consumer", len(skipped), f"{name}: {skipped['sequence'][:5].tolist()}")
            findings.redelivered += max(0, done - first + 1)
        done = last if done is None else max(done, last)


def _between(rows: Rows, first: int, last: int) -> Rows:
    begin, end = np.searchsorted(rows["sequence"], [first, last + 1])
    return rows[begin:end]
