"""What the commands that look into rings print: numbers, bars, tables and the graph as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ringbus.watching import ConsumerView, RingView

_UNITS: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_PARTS: Final = " ▏▎▍▌▋▊▉█"


def printable(text: str) -> str:
    """The text without characters that a terminal would act on: names come from memory that others write."""
    return "".join(character if character.isprintable() else "?" for character in text)


def short(number: float) -> str:
    """A number in at most six characters: 999, 1.2 k, 34.5 M."""
    for least, unit in _UNITS:
        if abs(number) >= least:
            return f"{number / least:.1f} {unit}"
    return f"{number:.0f}"


def size(count: int) -> str:
    """A number of bytes, in binary units."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def bar(part: float, width: int = 8) -> str:
    """A part of 1 as a bar."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_PARTS[rest] if rest else "")).ljust(width, "·")


def columns(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as aligned lines, two blanks apart; the columns in `right` end at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def cell(place: int, text: str) -> str:
        return text.rjust(widths[place]) if place in right else text.ljust(widths[place])

    return ["  ".join(cell(place, text) for place, text in enumerate(row)).rstrip() for row in rows]


def tree(consumers: Sequence[ConsumerView]) -> Iterator[tuple[str, ConsumerView]]:
    """The graph as a tree: each consumer with the lines that lead to it.

    One that follows several stands below the first of them, and one whose words contradict each other at the root.
    """
    by_name = {consumer.name: consumer for consumer in consumers}
    below: dict[str | None, list[ConsumerView]] = {}
    for consumer in consumers:
        below.setdefault(_parent(consumer, by_name), []).append(consumer)
    yield from _branches(below, None, "")


def _parent(consumer: ConsumerView, by_name: dict[str, ConsumerView]) -> str | None:
    """The first that it follows, unless that leads round in a circle."""
    first = consumer.depends_on[0] if consumer.depends_on else None
    seen, at = {consumer.name}, first
    while at in by_name:
        if at in seen:
            return None
        seen.add(at)
        at = next(iter(by_name[at].depends_on), None)
    return first if first in by_name else None


def _branches(
    below: dict[str | None, list[ConsumerView]], name: str | None, lead: str
) -> Iterator[tuple[str, ConsumerView]]:
    children = below.get(name, ())
    for place, child in enumerate(children):
        last = place == len(children) - 1
        yield f"{lead}{'└─ ' if last else '├─ '}", child
        yield from _branches(below, child.name, lead + ("   " if last else "│  "))


def consumer_notes(consumer: ConsumerView) -> str:
    """What is to be said of a consumer beside its numbers."""
    notes = []
    if consumer.durable:
        notes.append("durable")
    if not consumer.gating:
        notes.append("does not gate")
    if consumer.evict_after is not None:
        notes.append(f"evicted after {consumer.evict_after:g} s")
    if consumer.missed:
        notes.append(f"missed {consumer.missed:,}")
    if len(consumer.depends_on) > 1:
        notes.append(f"after {printable(', '.join(consumer.depends_on))}")
    return "; ".join(notes)


def life(view: RingView) -> str:
    """Whether anybody is in a ring."""
    return "alive" if view.alive else "left behind"
