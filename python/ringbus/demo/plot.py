"""Draws a run as an SVG: price, bars and latency, one panel below the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from ringbus.demo.events import SECOND_NS, Bar
from ringbus.demo.report import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ringbus.demo.run import Outcome
    from ringbus.demo.tape import Int64Array, Tape
    from ringbus.statistics import ConsumerStatistics

WIDTH: Final = 1000
LEFT: Final = 104
RIGHT: Final = 40
PANEL: Final = 250
TOP: Final = 74
STEP: Final = PANEL + 78
MAX_BARS: Final = 400
COLOURS: Final = ("#2563eb", "#d97706", "#059669", "#be185d")
BID, ASK, TRADE = "#93c5fd", "#fdba74", "#111827"
ROUND: Final = 'stroke-linecap="round" stroke-linejoin="round"'
UP: Final = "#059669"
DOWN: Final = "#dc2626"
QUANTILES: Final = (("P50", "p50_ns"), ("P90", "p90_ns"), ("P99", "p99_ns"), ("P99.9", "p999_ns"), ("max", "max_ns"))

_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#1f2937}.title{font-size:14px;font-weight:600}.head{font-size:18px;"
    "font-weight:600}.soft{fill:#6b7280}.grid{stroke:#e5e7eb}.frame{fill:none;stroke:#9ca3af}"
)


@dataclass(frozen=True)
class Panel:
    """One chart: where it is, and what its axes span.

    Args:
        row: 0 is the top one.
        x: the span of the horizontal axis.
        y: the span of the vertical axis.
    """

    row: int
    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def top(self) -> float:
        """The upper edge."""
        return TOP + self.row * STEP

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.top + PANEL

    def px(self, value: float) -> float:
        """Return where a value lies from left to right."""
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)

    def py(self, value: float) -> float:
        """Return where a value lies from top to bottom."""
        return self.bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * PANEL


def draw(outcome: Outcome) -> str:
    """Draw a run that has results.

    Args:
        outcome: what the demo found; its ring must not be None.

    Returns:
        The SVG.

    Raises:
        ValueError: when there is no run to draw.
    """
    if outcome.ring is None or outcome.ring.published == 0:
        raise ValueError("nothing went through the ring: there is nothing to draw")
    tape = outcome.tape.head(outcome.ring.published)
    height = TOP + 3 * STEP - 14
    speed = "" if outcome.speed is None else f", replayed at {outcome.speed:g}x"
    head = f"{tape.symbol}: {len(tape):,} events through the ring in {outcome.ring.seconds:.3f} s{speed}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<title>{escape(head)}</title><style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 30, head, "head"),
        *_price_panel(tape),
        *_bars_panel(tape, outcome.ring.results.bars),
        *_latency_panel(outcome.ring.consumers),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start", *, turn: int = 0) -> str:
    turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}{turned}>{escape(text)}</text>'


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> str:
    (x1, y1), (x2, y2) = start, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:.2f}"/>'


def _polyline(points: Iterable[tuple[float, float]], colour: str, width: float = 1.5) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" {ROUND}/>'


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Return round numbers inside a span.

    Args:
        low: its lower end.
        high: its upper end, above low.
        about: how many are wanted.
    """
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def time_ticks(first: float, last: float) -> list[float]:
    """Return round moments inside a span of time.

    Args:
        first: its beginning, in s since 1970.
        last: its end.
    """
    steps = (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
    step = next((step for step in steps if (last - first) / step <= 8), 86400 * math.ceil((last - first) / 691200))
    return [number * step for number in range(math.ceil(first / step), math.floor(last / step) + 1)]


def _span(low: float, high: float, margin: float = 0.05) -> tuple[float, float]:
    pad = (high - low) * margin or max(abs(high) * 0.001, 1e-9)
    return low - pad, high + pad


def _frame(panel: Panel, title: str, x_label: str, y_label: str) -> list[str]:
    size = f'width="{WIDTH - LEFT - RIGHT}" height="{PANEL}"'
    return [
        f'<rect x="{LEFT}" y="{panel.top:.1f}" {size} class="frame"/>',
        _text(LEFT, panel.top - 10, title, "title"),
        _text((LEFT + WIDTH - RIGHT) / 2, panel.bottom + 36, x_label, "soft", "middle"),
        _text(16, (panel.top + panel.bottom) / 2, y_label, "soft", "middle", turn=-90),
    ]


def _x_axis(panel: Panel, marks: Iterable[tuple[float, str]]) -> list[str]:
    parts = []
    for value, label in marks:
        x = panel.px(value)
        parts.append(f'<line x1="{x:.1f}" y1="{panel.top:.1f}" x2="{x:.1f}" y2="{panel.bottom:.1f}" class="grid"/>')
        parts.append(_text(x, panel.bottom + 17, label, "", "middle"))
    return parts


def _y_axis(panel: Panel, marks: Iterable[tuple[float, str]]) -> list[str]:
    parts = []
    for value, label in marks:
        y = panel.py(value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>')
        parts.append(_text(LEFT - 7, y + 4, label, "", "end"))
    return parts


def _time_marks(panel: Panel) -> list[tuple[float, str]]:
    moments = time_ticks(*panel.x)
    fine = any(moment != int(moment) for moment in moments)
    marks = []
    for moment in moments:
        text = f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S.%f}"
        marks.append((moment, text[:12] if fine else text[:8]))
    return marks


def _number_marks(panel: Panel) -> list[tuple[float, str]]:
    values = ticks(*panel.y)
    step = values[1] - values[0] if len(values) > 1 else 1.0
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(value, f"{value:,.{places}f}") for value in values]


def _legend(panel: Panel, names: Sequence[tuple[str, str]]) -> list[str]:
    parts, x = [], WIDTH - RIGHT - sum(34 + 7.2 * len(name) for name, _ in names)
    for name, colour in names:
        parts.append(_line((x, panel.top - 14), (x + 16, panel.top - 14), colour, 3))
        parts.append(_text(x + 21, panel.top - 10, name))
        x += 34 + 7.2 * len(name)
    return parts


def _price_panel(tape: Tape) -> list[str]:
    unit = 10.0**-tape.price_places
    times = tape.quotes["time"] / SECOND_NS
    bids, asks, trades = tape.quotes["bid"] * unit, tape.quotes["ask"] * unit, tape.trades["price"] * unit
    everything = np.concatenate([bids, asks, trades])
    panel = Panel(0, _time_span(tape.times()), _span(everything.min(), everything.max()))
    return [
        *_time_frame(panel, "Price", "price"),
        *_curve(panel, times, bids, BID, 6),
        *_curve(panel, times, asks, ASK, 3),
        *_curve(panel, tape.trades["time"] / SECOND_NS, trades, TRADE, 0.9),
        *_legend(panel, [("best bid", BID), ("best ask", ASK), ("trades", TRADE)]),
    ]


def _time_span(times: Int64Array) -> tuple[float, float]:
    first, last = times[0] / SECOND_NS, times[-1] / SECOND_NS
    missing = max(1.0 - (last - first), 0.0)
    return first - missing / 2, last + missing / 2


def _time_frame(panel: Panel, title: str, y_label: str) -> list[str]:
    axes = [*_x_axis(panel, _time_marks(panel)), *_y_axis(panel, _number_marks(panel))]
    return [*axes, *_frame(panel, title, "time (UTC)", y_label)]


def _curve(panel: Panel, times: np.ndarray, values: np.ndarray, colour: str, width: float) -> list[str]:
    """Draw every extreme that a pixel column holds, and no more points than that."""
    if not len(times):
        return []
    pixel = np.floor((times - panel.x[0]) / (panel.x[1] - panel.x[0]) * (WIDTH - LEFT - RIGHT)).astype(np.int64)
    starts = np.flatnonzero(np.diff(pixel, prepend=pixel[0] - 1))
    points = []
    for begin, end in zip(starts, np.append(starts[1:], len(times)), strict=True):
        chosen = {begin, begin + int(values[begin:end].argmin()), begin + int(values[begin:end].argmax()), end - 1}
        points += [(panel.px(float(times[index])), panel.py(float(values[index]))) for index in sorted(chosen)]
    return [_polyline(points, colour, width)]


def merged(bars: Sequence[Bar], most: int = MAX_BARS) -> tuple[int, list[Bar]]:
    """Put bars together until a chart can show them.

    Args:
        bars: bars of one second.
        most: how many bars the chart has room for.

    Returns:
        How many seconds a bar spans now, and the bars.
    """
    if not bars:
        return 1, []
    seconds = bars[-1].second - bars[0].second + 1
    steps = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600)
    width = next((step for step in steps if seconds <= most * step), -(-seconds // most))
    groups: dict[int, list[Bar]] = {}
    for bar in bars:
        groups.setdefault(bar.second // width * width, []).append(bar)
    return width, [_merge(second, group) for second, group in groups.items()]


def _merge(second: int, group: Sequence[Bar]) -> Bar:
    high, low = max(bar.high for bar in group), min(bar.low for bar in group)
    volume, notional = sum(bar.volume for bar in group), sum(bar.notional for bar in group)
    return Bar(second, group[0].open, high, low, group[-1].close, volume, notional, sum(bar.trades for bar in group))


def _bars_panel(tape: Tape, bars: Sequence[Bar]) -> list[str]:
    width, shown = merged(bars)
    unit = 10.0**-tape.price_places
    ends = [price * unit for bar in shown for price in (bar.low, bar.high)] or [0.0, 1.0]
    low, high = _span(min(ends), max(ends))
    panel = Panel(1, _time_span(tape.times()), (low - 0.3 * (high - low), high))
    title = "One-second bars" if width == 1 else f"One-second bars, shown {width} s together"
    parts = _time_frame(panel, f"{title}; volume below", "price")
    half = min(max((panel.px(width) - panel.px(0)) * 0.36, 0.6), 12.0)
    largest = max((bar.volume for bar in shown), default=1)
    for bar in shown:
        parts += _candle(panel, bar, half, unit, width)
        parts.append(_volume(panel, bar, half, width, bar.volume / largest))
    vwap = [(_middle(panel, bar, width), panel.py(bar.notional / bar.volume * unit)) for bar in shown]
    return [
        *parts,
        _polyline(vwap, COLOURS[0], 1.2),
        *_legend(panel, [("VWAP", COLOURS[0]), ("up", UP), ("down", DOWN)]),
    ]


def _middle(panel: Panel, bar: Bar, width: int) -> float:
    """Return where a bar stands: in the middle of its seconds, inside the panel."""
    return min(max(panel.px(bar.second + width / 2), LEFT), WIDTH - RIGHT)


def _candle(panel: Panel, bar: Bar, half: float, unit: float, width: int) -> list[str]:
    colour = UP if bar.close >= bar.open else DOWN
    x = _middle(panel, bar, width)
    upper, lower = panel.py(max(bar.open, bar.close) * unit), panel.py(min(bar.open, bar.close) * unit)
    return [
        _line((x, panel.py(bar.high * unit)), (x, panel.py(bar.low * unit)), colour, 0.8),
        _rectangle(x - half, upper, 2 * half, max(lower - upper, 0.8), colour),
    ]


def _volume(panel: Panel, bar: Bar, half: float, width: int, share: float) -> str:
    height = share * PANEL * 0.2
    return _rectangle(_middle(panel, bar, width) - half, panel.bottom - height, 2 * half, height, "#9ca3af")


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _latency_panel(consumers: Mapping[str, ConsumerStatistics]) -> list[str]:
    known = {name: figures.latency for name, figures in consumers.items() if figures.latency is not None}
    curves = {name: [max(getattr(latency, at), 1) for _, at in QUANTILES] for name, latency in known.items()}
    everything = [value for curve in curves.values() for value in curve] or [1_000, 1_000_000]
    low, high = math.floor(math.log10(min(everything))), math.ceil(math.log10(max(everything) * 1.01))
    panel = Panel(2, (-0.4, len(QUANTILES) - 0.6), (low, max(high, low + 1)))
    parts = _x_axis(panel, [(place, label) for place, (label, _) in enumerate(QUANTILES)])
    parts += _y_axis(panel, _duration_marks(low, max(high, low + 1)))
    parts += _frame(panel, "Latency by consumer, publish to hand-over", "share of events", "latency")
    for (_, curve), colour in zip(curves.items(), COLOURS, strict=False):
        parts += _marked_curve(panel, curve, colour, math.log10)
    return [*parts, *_legend(panel, list(zip(curves, COLOURS, strict=False)))]


def _duration_marks(low: int, high: int) -> list[tuple[float, str]]:
    """Mark powers of ten; where there are few of them, their doubles and fivefolds too."""
    factors = (1, 2, 5) if high - low <= 2 else (1,)
    values = [factor * 10.0**power for power in range(low, high) for factor in factors]
    return [(math.log10(value), duration(value)) for value in [*values, 10.0**high]]


def _marked_curve(panel: Panel, values: Sequence[float], colour: str, scale: Callable[[float], float]) -> list[str]:
    points = [(panel.px(place), panel.py(scale(value))) for place, value in enumerate(values)]
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>' for x, y in points]
    return [_polyline(points, colour, 1.8), *dots]
