"""What the sum of everything that arrived has to be.

Event number n (from 0) carries the value n; of P producers, the i-th event of producer p has n = i * P + p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from suite.scenarios import Scenario

_MODULUS = 1 << 64


def expected(kind: str, scenario: Scenario, sent: Sequence[int]) -> str:
    """The checksum as the contestants print it.

    Args:
        kind: what a contestant adds up of an event, one of `KINDS`.
        scenario: for the words of an event, and how many see each.
        sent: events of each producer.
    """
    events = sum(sent)
    numbers = sum(_numbers(count, producer, len(sent)) for producer, count in enumerate(sent))
    return str(KINDS[kind](events, numbers, scenario.words) * scenario.copies % _MODULUS)


def shares(events: int, producers: int) -> list[int]:
    """How many of `events` each producer sends."""
    return [len(range(producer, events, producers)) for producer in range(producers)]


def _numbers(count: int, producer: int, producers: int) -> int:
    return producers * (count * (count - 1) // 2) + producer * count


def _words(events: int, numbers: int, words: int) -> int:
    """All words; word i of an event is its value + i."""
    return words * numbers + events * (words * (words - 1) // 2)


def _timed(events: int, numbers: int, words: int) -> int:
    """All words but the second, which is a time."""
    return (words - 1) * numbers + events * (words * (words - 1) // 2 - 1)


def _only_number(_events: int, numbers: int, _words: int) -> int:
    return numbers


def _fields(_events: int, numbers: int, _words: int) -> int:
    """A whole number and a float, both the value."""
    return 2 * numbers


def _bytes(events: int, _numbers: int, words: int) -> int:
    """The first byte, which is the value modulo 256, and the length."""
    cycles, rest = divmod(events, 256)
    return cycles * (255 * 128) + rest * (rest - 1) // 2 + events * words * 8


KINDS: dict[str, Callable[[int, int, int], int]] = {
    "words": _words,
    "timed": _timed,
    "number": _only_number,
    "fields": _fields,
    "bytes": _bytes,
}
"""By name."""
