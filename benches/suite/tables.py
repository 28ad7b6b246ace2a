"""Tables of a record, as text for the terminal and as Markdown for the page."""

from __future__ import annotations

from collections.abc import Sequence

from suite.record import Record, Row

Cells = tuple[str, ...]

_PERCENTILES = ("p50", "p99", "p99.9", "p100")
_REFERENCE = "another system, measured on another machine"


def text(record: Record, scenario: str) -> str:
    """A table for the terminal."""
    header, rows = cells(record, scenario)
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join([*(_line(line, widths) for line in lines), *(f"  {word}" for word in troubles(record, scenario))])


def markdown(record: Record, scenario: str) -> str:
    """A table for the page."""
    header, rows = cells(record, scenario)
    marks = [":--", ":--", *["--:"] * (len(header) - 2)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (header, tuple(marks), *rows))
    words = "\n".join(f"- {word}" for word in troubles(record, scenario))
    return f"{table}\n\n{words}" if words else table


def cells(record: Record, scenario: str) -> tuple[Cells, list[Cells]]:
    """The header and the rows: the harness first, then the quickest."""
    entry = next(entry for entry in record.scenarios() if entry["id"] == scenario)
    is_latency = entry["unit"] == "latency"
    header, cell = (_LATENCY_HEADER, _latency_cells) if is_latency else (_HEADER, _throughput_cells)
    rows = [*harnesses(record, scenario), *ordered(record, scenario)]
    return header, [cell(row) for row in rows] + references(scenario, is_latency)


def troubles(record: Record, scenario: str) -> list[str]:
    """A word for each side without figures."""
    rows = [row for row in record.rows(scenario) if not row.is_ok]
    return [f"{row.label}: {row.facts['status']}: {row.facts['word']}" for row in rows]


def harnesses(record: Record, scenario: str) -> list[Row]:
    """The rows of the cost of the harness: the scenario's own, or those of the scenario `harness`."""
    own = [row for row in record.rows(scenario) if row.is_harness and row.is_ok]
    if own or scenario == "harness" or any(row.latency for row in record.rows(scenario)):
        return own
    languages = {row.language for row in record.rows(scenario) if row.is_limit}
    return [row for row in record.rows("harness") if row.is_ok and row.language in languages]


def ordered(record: Record, scenario: str) -> list[Row]:
    """The sides with figures, the limit first, then the best."""
    rows = [row for row in record.rows(scenario) if row.is_ok and not row.is_harness]
    return sorted(rows, key=lambda row: (not row.is_limit, sort_key(row)))


def sort_key(row: Row) -> float:
    """The figure by which a table is ordered: the time of an event, or the P99."""
    return row.ns if row.latency is None else float(row.latency["merged"]["p99"])


def references(scenario: str, is_latency: bool) -> list[Cells]:
    """Rows that somebody published of another system: to be ahead of, not to be compared with."""
    found = _REFERENCES.get(scenario)
    if found is None:
        return []
    rate, tail, far = found
    if is_latency:
        return [(f"*{_REFERENCE}*", "", "", tail, far, "", "")]
    return [(f"*{_REFERENCE}*", "", "", "", rate, "")]


_REFERENCES: dict[str, tuple[str, str, str]] = {
    "1p1c": ("42.8 M (P99 86 ns)", "", ""),
    "1p2c": ("31.2 M (P99 112 ns)", "", ""),
    "2p1c": ("28.5 M (P99 147 ns)", "", ""),
    "16x16-one": ("", "87 us", "213 us"),
}

_HEADER: Cells = ("", "waits by", "ns/event", "(least - most)", "events/s", "mean batch")
_LATENCY_HEADER: Cells = ("", "waits by", "P50", "P99", "P99.9", "max", "P99 of its parts")


def _throughput_cells(row: Row) -> Cells:
    values, batch = row.values(), row.facts["mean_batch"]
    spread = f"({min(values):,.1f} - {max(values):,.1f})"
    taken = "" if batch is None else f"{batch:,.1f}"
    return (row.label, row.facts["wait"], f"{row.ns:,.1f}", spread, rate(1e9 / row.ns), taken)


def _latency_cells(row: Row) -> Cells:
    assert row.latency is not None
    tails = row.values("p99")
    parts = f"{duration(min(tails))} - {duration(max(tails))}"
    figures = [duration(row.latency["merged"][name]) for name in _PERCENTILES]
    word = f" *{row.facts['word']}*" if row.facts["word"] else ""
    return (row.label + word, row.facts["wait"], *figures, parts)


def rate(per_second: float) -> str:
    """Events a second, as people say it."""
    if per_second == 0:
        return "0"
    if per_second >= 1e6:
        return f"{per_second / 1e6:,.1f} M"
    return f"{per_second / 1e3:,.1f} k"


def duration(ns: float) -> str:
    """A time with three digits and its unit."""
    steps: Sequence[tuple[float, str]] = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))
    for size, unit in steps:
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.0f} ns"


def _line(line: Cells, widths: Sequence[int]) -> str:
    name, wait, *numbers = line
    cells_: list[str] = [name.ljust(widths[0]), wait.ljust(widths[1])]
    cells_ += [cell.rjust(width) for cell, width in zip(numbers, widths[2:], strict=True)]
    return f"  {'  '.join(cells_)}".rstrip()
