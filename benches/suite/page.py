"""docs/benchmarks.md: made from a record, and from the words in page.md beside this file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import Template

from suite import bars, machine, plots, scenarios, tables
from suite.contestants import BENCHES
from suite.record import Record, Row

PAGE = BENCHES.parent / "docs" / "benchmarks.md"
PICTURES = BENCHES.parent / "docs" / "benchmarks"

_WORDS = Path(__file__).with_name("page.md")


def write_page(record: Record, source: Path) -> list[Path]:
    """Write the page and its pictures. What was written."""
    for old in PICTURES.glob("*.svg"):
        old.unlink()
    pictures = plots.draw(record, PICTURES)
    PAGE.write_text(render(record, source, {path.stem for path in pictures}), encoding="utf-8")
    return [PAGE, *pictures]


def render(record: Record, source: Path, pictures: set[str]) -> str:
    """The page as text."""
    verdicts = bars.verdicts(record)
    words = {
        "record": source.name,
        "day": record.data["day"],
        "how": _how(record),
        "machine": "\n".join(_machine(record)),
        "bars": "\n".join(_bar_rows(verdicts)),
        "met": str(sum(verdict.met is True for verdict in verdicts)),
        "all": str(len(verdicts)),
        "losses": "\n".join(losses(record)),
        "curves": "\n\n".join(f"![{name}](benchmarks/{name}.svg)" for name in plots.CURVES if name in pictures),
        "tables": "\n\n".join(_tables(record, pictures)),
    }
    return Template(_WORDS.read_text(encoding="utf-8")).substitute(words)


def _how(record: Record) -> str:
    kind = "a quick run, whose figures are only rough" if record.data["quick"] else "a whole run"
    runs = record.data["runs"]
    return f"{kind}, {runs} process{'es' if runs > 1 else ''} a side, {record.data['minutes']} minutes"


def _machine(record: Record) -> Iterator[str]:
    found = record.data["machine"]
    yield f"- {machine.in_words(found)}; load {found['load_before']} before, {found['load_after']} after"
    for word in record.data["missing"]:
        yield f"- {word}"
    runtimes = {
        f"{row.label}: {row.facts['runtime']}"
        for entry in record.scenarios()
        for row in record.rows(entry["id"])
        if row.is_ok and row.language != "python" and not row.is_harness
    }
    for runtime in sorted(runtimes):
        yield f"- {runtime}"


def _bar_rows(verdicts: list[bars.Verdict]) -> Iterator[str]:
    yield "| | bar | wanted | measured |"
    yield "| :-- | :-- | :-- | :-- |"
    for verdict in verdicts:
        word = "**missed**" if verdict.met is False else verdict.word
        yield f"| {word} | {verdict.text} | {verdict.wanted} | {verdict.measured} |"


def losses(record: Record) -> list[str]:
    """Where a peer is ahead of every one of ours. The raw rings are the limit, not peers."""
    lines: list[str] = []
    for entry in record.scenarios():
        if not plots.has_table(entry["id"]):
            continue
        rows = [row for row in record.rows(entry["id"]) if row.is_ok and not row.is_harness]
        ours = min((row for row in rows if row.is_ours), key=tables.sort_key, default=None)
        peers = [row for row in rows if not row.is_ours and not row.is_limit]
        ahead = [row for row in peers if ours and tables.sort_key(row) < tables.sort_key(ours)]
        if ours is not None and ahead:
            lines.append(f"- {entry['title']}: {_ahead(ours, ahead)}")
    return lines or ["Nowhere in this record."]


def _ahead(ours: Row, ahead: list[Row]) -> str:
    what = "P99 of latency" if ours.latency else "time of an event"
    shares = [(tables.sort_key(row) / tables.sort_key(ours), row.label) for row in ahead]
    names = ", ".join(f"{label} {share:.2f}" for share, label in sorted(shares))
    return f"{names} of the {what} of {ours.label}"


def _tables(record: Record, pictures: set[str]) -> Iterator[str]:
    known = {scenario.id: scenario for scenario in scenarios.every()}
    for entry in record.scenarios():
        scenario = known.get(entry["id"])
        if scenario is None or not scenario.in_table:
            continue
        yield f"### {entry['title']}"
        yield f"{_sentence(entry['note'])} {_cores(record, scenario)}".strip()
        yield tables.markdown(record, entry["id"])
        if entry["id"] in pictures:
            yield f"![{entry['title']}](benchmarks/{entry['id']}.svg)"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _cores(record: Record, scenario: scenarios.Scenario) -> str:
    """Where there is no core for each: a reader has to know."""
    cores = int(record.data["machine"]["cores"])
    if scenario.takes_part <= cores:
        return ""
    return f"{scenario.takes_part} threads or processes on {cores} cores: all sides yield or block."
