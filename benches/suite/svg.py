"""Small pictures as SVG: bars with their spread, and lines on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0b6bcb", "#d1495b", "#3a8f5c", "#8a5fb5", "#c77d0a", "#4a5a6a", "#1a9aa0", "#a0522d", "#7a7a00", "#d06fae")
OURS = COLOURS[0]
_WIDTH = 860
_FONT = "font-family='system-ui, sans-serif' font-size='13'"

Label = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: from nothing to `value`, with a line from `low` to `high`."""

    name: str
    value: float
    low: float
    high: float
    colour: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line through points."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis.

    Attributes:
        title: what it shows.
        ticks: values that are named.
        label: how a value is written.
        place: where a value lies, from 0 to 1.
    """

    title: str
    ticks: Sequence[float]
    label: Label
    place: Callable[[float], float]


def logarithmic(title: str, values: Sequence[float], label: Label, base: float = 10.0) -> Axis:
    """An axis on which each step is `base` times the one before."""
    low = math.floor(math.log(min(values), base) + 1e-9)
    high = max(math.ceil(math.log(max(values), base) - 1e-9), low + 1)
    ticks = [base**power for power in range(low, high + 1)]
    return Axis(title, ticks, label, lambda value: (math.log(max(value, base**low), base) - low) / (high - low))


def linear(title: str, values: Sequence[float], label: Label) -> Axis:
    """An axis from 0 on."""
    top = max(values)
    step = 10 ** math.floor(math.log10(top))
    step = next(part * step for part in (0.2, 0.5, 1, 2, 5) if top / (part * step) <= 5 or part == 5)
    high = math.ceil(top / step) * step
    ticks = [number * step for number in range(round(high / step) + 1)]
    return Axis(title, ticks, label, lambda value: value / high)


def bars(title: str, rows: Sequence[Bar], axis: Axis) -> str:
    """Horizontal bars, one under the other."""
    left, top, step = 290, 44, 26
    height, right = top + step * len(rows) + 46, _WIDTH - 110
    parts = [_text(10, 24, title, weight="bold")]
    bottom = top + step * len(rows)
    for tick in axis.ticks:
        x = left + axis.place(tick) * (right - left)
        parts += [_stroke(x, top, x, bottom, "#d8dde3"), _text(x, bottom + 17, axis.label(tick), anchor="middle")]
    parts.append(_text((left + right) / 2, bottom + 36, axis.title, anchor="middle"))
    for number, row in enumerate(rows):
        parts += _bar(row, (left, right), top + step * number, axis)
    return _picture(height, parts, title)


def _bar(row: Bar, span: tuple[float, float], top: float, axis: Axis) -> list[str]:
    left, right = span
    end, low, high = (left + axis.place(value) * (right - left) for value in (row.value, row.low, row.high))
    middle = top + 12
    shape = f"x='{left:.1f}' y='{top + 3:.1f}' width='{max(end - left, 1):.1f}' height='18'"
    return [
        _text(left - 8, middle + 5, row.name, anchor="end"),
        f"<rect {shape} fill='{row.colour}' fill-opacity='0.85'/>",
        _stroke(low, middle, high, middle, "#20262d"),
        _stroke(low, middle - 4, low, middle + 4, "#20262d"),
        _stroke(high, middle - 4, high, middle + 4, "#20262d"),
        _text(max(end, high) + 6, middle + 5, row.text),
    ]


def lines(title: str, drawn: Sequence[Line], x_axis: Axis, y_axis: Axis) -> str:
    """Lines through points, with their names beside."""
    left, right, top, bottom = 80, _WIDTH - 275, 44, 360
    parts = [_text(10, 24, title, weight="bold")]
    for tick in x_axis.ticks:
        x = left + x_axis.place(tick) * (right - left)
        parts += [_stroke(x, top, x, bottom, "#e6eaee"), _text(x, bottom + 17, x_axis.label(tick), anchor="middle")]
    for tick in y_axis.ticks:
        y = bottom - y_axis.place(tick) * (bottom - top)
        parts += [_stroke(left, y, right, y, "#e6eaee"), _text(left - 6, y + 4, y_axis.label(tick), anchor="end")]
    parts.append(_text((left + right) / 2, bottom + 38, x_axis.title, anchor="middle"))
    turned = f"transform='translate(16 {(top + bottom) / 2}) rotate(-90)'"
    parts.append(f"<text {turned} text-anchor='middle'>{escape(y_axis.title)}</text>")
    for number, line in enumerate(drawn):
        places = [
            (left + x_axis.place(x) * (right - left), bottom - y_axis.place(y) * (bottom - top)) for x, y in line.points
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{line.colour}' stroke-width='2'/>")
        y = top + 10 + 20 * number
        parts += [_stroke(right + 14, y, right + 36, y, line.colour, width=3), _text(right + 42, y + 4, line.name)]
    return _picture(max(bottom + 50, top + 20 * len(drawn) + 20), parts, title)


def _picture(height: float, parts: Sequence[str], title: str) -> str:
    room = f"viewBox='0 0 {_WIDTH} {height:.0f}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {room} role='img' {_FONT} fill='#20262d'>"
    ground = f"<title>{escape(title)}</title>\n<rect width='100%' height='100%' fill='#ffffff'/>"
    return "\n".join([head, ground, *parts, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-weight='{weight}'>{escape(text)}</text>"


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' stroke-width='{width}'/>"
