"""The pictures of a record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suite import scenarios, svg, tables
from suite.record import Record, Row

CURVES = {
    "ring": ("slots of the ring", "Cost of an event as the ring grows (64 bytes, single claims)"),
    "event": ("bytes of an event", "Cost of an event as events grow (4,096 slots, single claims)"),
    "consumers": ("consumers that each see all", "Cost of an event as consumers are added (64 bytes, all yield)"),
}


def draw(record: Record, folder: Path) -> list[Path]:
    """Write every picture that the record has figures for."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, picture in pictures(record).items():
        path = folder / f"{name}.svg"
        path.write_text(picture, encoding="utf-8")
        written.append(path)
    return written


def pictures(record: Record) -> dict[str, str]:
    """The pictures by name."""
    found: dict[str, str] = {}
    for entry in record.scenarios():
        name, rows = entry["id"], [row for row in record.rows(entry["id"]) if row.is_ok and not row.is_harness]
        if not rows or not has_table(name):
            continue
        if entry["unit"] == "latency":
            found[name] = _percentiles(entry["title"], rows)
        else:
            found[name] = _bars(entry["title"], tables.ordered(record, name))
    return found | {name: picture for name in CURVES if (picture := _curve(record, name))}


def has_table(name: str) -> bool:
    """Whether a scenario has a table of its own."""
    known = {scenario.id: scenario for scenario in scenarios.every()}
    return name in known and known[name].in_table


def _colours(rows: Sequence[Row]) -> dict[str, str]:
    """Ours first in its own colour, the others in theirs."""
    labels = sorted({row.label for row in rows}, key=lambda label: (not label.startswith("ringbus"), label))
    return {label: svg.COLOURS[number % len(svg.COLOURS)] for number, label in enumerate(labels)}


def _bars(title: str, rows: Sequence[Row]) -> str:
    """Events a second, with the spread of the processes."""
    drawn = [_bar(row) for row in rows]
    values = [value for bar in drawn for value in (bar.low, bar.high)]
    wide = max(values) / min(values) > 30
    label = tables.rate
    axis = svg.logarithmic("events a second", values, label) if wide else svg.linear("events a second", values, label)
    return svg.bars(title, drawn, axis)


def _bar(row: Row) -> svg.Bar:
    values = [1e9 / ns for ns in row.values()]
    median = 1e9 / row.ns
    colour = svg.OURS if row.is_ours else "#9aa7b4"
    return svg.Bar(row.label, median, min(values), max(values), colour, tables.rate(median))


def _percentiles(title: str, rows: Sequence[Row]) -> str:
    """Latency by percentile; the axis shows the nines."""
    colours = _colours(rows)
    ordered = sorted(rows, key=tables.sort_key)
    drawn = [svg.Line(row.label, _nines(row), colours[row.label]) for row in ordered]
    latencies = [max(y, 1.0) for line in drawn for _, y in line.points]
    shares = [x for line in drawn for x, _ in line.points]
    x_axis = svg.logarithmic("percentile", [1.0, *shares], _percentile)
    return svg.lines(title, drawn, x_axis, svg.logarithmic("latency", latencies, tables.duration))


def _nines(row: Row) -> list[tuple[float, float]]:
    """Points: how rare the slower ones are (1 in x), and the latency."""
    assert row.latency is not None
    return [(100 / (100 - percent), float(ns)) for percent, ns in row.latency["curve"] if percent < 100]


def _percentile(one_in: float) -> str:
    return f"{100 - 100 / one_in:.6g}%" if one_in > 1 else "0%"


def _curve(record: Record, name: str) -> str | None:
    points: dict[str, list[tuple[float, float]]] = {}
    for scenario in scenarios.curves():
        if scenario.curve is None or scenario.curve[0] != name:
            continue
        for row in record.rows(scenario.id):
            if row.is_ok:
                points.setdefault(row.label, []).append((float(scenario.curve[1]), row.ns))
    if not points:
        return None
    what, title = CURVES[name]
    colours = dict(
        zip(sorted(points, key=lambda label: (not label.startswith("ringbus"), label)), svg.COLOURS, strict=False)
    )
    drawn = [svg.Line(label, line, colours[label]) for label, line in points.items()]
    xs = [x for line in points.values() for x, _ in line]
    ys = [y for line in points.values() for _, y in line]
    x_axis = svg.logarithmic(what, xs, lambda value: f"{value:,.0f}", 2.0)
    if len(x_axis.ticks) > 8:
        x_axis = svg.logarithmic(what, xs, lambda value: f"{value:,.0f}", 4.0)
    return svg.lines(title, drawn, x_axis, svg.linear("ns an event", ys, lambda value: f"{value:g}"))
