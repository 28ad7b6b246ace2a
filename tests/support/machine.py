"""Handlers and sources for the tests of machine code: few, since each takes a moment to compile."""

from __future__ import annotations

from typing import Any

import numpy as np

import ringbus

WORDS = 8
LIMIT = 2**64


class Tick(ringbus.Event):
    """A number and its square, of 16 bytes."""

    number: int
    square: int = 0


def fill(event: Any, state: Any) -> None:
    """Number the events from the state on."""
    event.number = state[0]
    event.square = state[0] * state[0]
    state[0] += 1


@ringbus.compiled
def add_up(event: Any, state: Any) -> None:
    """Count the events and add up their numbers."""
    state.count += 1
    state.total += event.number


@ringbus.compiled
def in_order(event: Any, state: Any, sequence: Any, end_of_batch: Any) -> None:
    """Count the events that come at their turn, and the ends of batches."""
    if event.number == sequence:
        state.count += 1
    if end_of_batch:
        state.batches += 1
        state.last = sequence


@ringbus.compiled
def refuse_sevens(event: Any, state: Any) -> None:
    """Fail at every number that ends in a seven."""
    if event.number % 10 == 7:
        raise ValueError("a seven", event.number)
    state.count += 1


@ringbus.compiled
def code_of_sevens(event: Any, state: Any) -> int:
    """Return 7 at every number that ends in a seven."""
    if event.number % 10 == 7:
        return 7
    state.count += 1
    return 0


@ringbus.compiled
def spin_for_ever(event: Any, state: Any) -> None:
    """Take about a millisecond."""
    state.count += 1
    for step in range(1_000_000):
        state.total += step ^ state.total


def sums() -> dict[str, int]:
    """A state for the handlers above."""
    return {"count": 0, "total": 0, "batches": 0, "last": -1}


def numbers() -> Any:
    """A state for `fill`."""
    return np.zeros(1, np.int64)


def ticks(capacity: int = 64, **options: Any) -> ringbus.RingBuffer[Tick]:
    """A ring of ticks."""
    return ringbus.RingBuffer(Tick, capacity, **options)


def publish(ring: ringbus.RingBuffer[Any], count: int, first: int = 0) -> None:
    """Publish ticks of these numbers."""
    for number in range(first, first + count):
        ring.publish(number=number)
