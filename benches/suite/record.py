"""The record of a run: a file of JSON that says everything, and what is asked of it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.contestants import BENCHES, OURS

FOLDER = BENCHES / "record"
NEW = FOLDER / "new.json"
"""What `make bench` writes; not committed under this name."""

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One side of one scenario, as recorded."""

    scenario: str
    facts: dict[str, Any]

    @property
    def language(self) -> str:
        """Of its program."""
        return str(self.facts["language"])

    @property
    def name(self) -> str:
        """The contestant."""
        return str(self.facts["contestant"])

    @property
    def label(self) -> str:
        """The contestant, and its language where the name does not say it."""
        if self.name.startswith(OURS):
            return self.name
        return f"{self.name} ({LANGUAGES.get(self.language, self.language)})"

    @property
    def is_ours(self) -> bool:
        """Whether it is ringbus."""
        return self.name.startswith(OURS)

    @property
    def is_ok(self) -> bool:
        """Whether there are figures."""
        return bool(self.facts["status"] == "ok")

    @property
    def is_harness(self) -> bool:
        """Whether it moves nothing."""
        return self.name == "harness"

    @property
    def is_limit(self) -> bool:
        """Whether it is a raw ring: what there is to reach."""
        return self.name.startswith("raw")

    @property
    def ns(self) -> float:
        """The median time of an event."""
        return float(statistics.median(self.facts["ns"]))

    def values(self, percentile: str | None = None) -> list[float]:
        """What its processes came to, one each: ns an event, or a percentile of latency in ns."""
        if percentile is None:
            return [float(value) for value in self.facts["ns"]]
        return [float(part[percentile]) for part in self.facts["latency"]["parts"]]

    def figure(self, percentile: str | None = None) -> float:
        """The median of `values`."""
        return statistics.median(self.values(percentile))

    @property
    def latency(self) -> dict[str, Any] | None:
        """Percentiles and curve, where the scenario has them."""
        found: dict[str, Any] | None = self.facts.get("latency")
        return found


LANGUAGES = {"cpp": "C++", "java": "Java", "rust": "Rust", "go": "Go", "python": "Python"}


class RecordError(Exception):
    """There is no record where one is wanted."""


@dataclass(frozen=True, slots=True)
class Record:
    """A whole run."""

    data: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a file.

        Raises:
            RecordError: it is not there, it is no record, or it has another format.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error.strerror}; `make bench` writes {NEW.name}") from error
        except ValueError as error:
            raise RecordError(f"{path} is no record: {error}; measure again with `make bench`") from error
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            raise RecordError(f"{path} has format {found!r}, this program reads {FORMAT}; measure again")
        return cls(data)

    @property
    def picked(self) -> list[str]:
        """The scenarios and sides that the run was limited to; none in a whole run."""
        return list(self.data.get("picked", ()))

    def __str__(self) -> str:
        kind = "quick" if self.data["quick"] else "whole"
        limited = f", only {', '.join(self.picked)}" if self.picked else ""
        return f"{self.data['day']}, ringbus {self.data['machine']['ringbus']}, {kind}{limited}"

    def save(self, path: Path) -> None:
        """Write a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{_compact(self.data)}\n", encoding="utf-8")

    def scenarios(self) -> Iterator[dict[str, Any]]:
        """The scenarios, in the order of the run."""
        yield from self.data["scenarios"]

    def rows(self, scenario: str) -> list[Row]:
        """The sides of a scenario; none when it was not run."""
        found = [entry for entry in self.scenarios() if entry["id"] == scenario]
        return [Row(scenario, facts) for entry in found for facts in entry["rows"]]

    def find(self, scenario: str, language: str, prefix: str) -> Row | None:
        """The first side with figures whose name begins with `prefix`."""
        rows = self.rows(scenario)
        return next((r for r in rows if r.is_ok and r.language == language and r.name.startswith(prefix)), None)

    def wrong(self) -> list[Row]:
        """Sides that delivered something else than was sent."""
        rows = [row for entry in self.scenarios() for row in self.rows(entry["id"])]
        return [row for row in rows if row.facts["status"] == "WRONG"]


def newest() -> Path | None:
    """The last record that was kept: the greatest name, which begins with its day."""
    kept = sorted(path for path in FOLDER.glob("*.json") if path != NEW)
    return kept[-1] if kept else None


def _compact(data: Any) -> str:
    """JSON with a line for each row of a scenario: small, and a change shows where it is."""
    scenarios = data["scenarios"]
    head = json.dumps({**data, "scenarios": []}, indent=1, ensure_ascii=False)
    return head.replace('"scenarios": []', f'"scenarios": [{",".join(map(_scenario_text, scenarios))}\n ]')


def _scenario_text(scenario: dict[str, Any]) -> str:
    facts = json.dumps({**scenario, "rows": []}, ensure_ascii=False)
    rows = ",".join(f"\n   {json.dumps(row, ensure_ascii=False)}" for row in scenario["rows"])
    return "\n  " + facts.replace('"rows": []', f'"rows": [{rows}]')
