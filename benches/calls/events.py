"""The event that every benchmark moves, and its values: the same on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

import ringbus

CAPACITY = 8192
"""Slots of every ring and of every bounded queue."""

BATCH = 256
"""Events of a claim, and of an item of a queue of batches."""

SYMBOL = "BTC-USD"
QUANTITY = 0.5

T = TypeVar("T")


class Trade(ringbus.Event):
    """What a ring moves."""

    symbol: str = ringbus.text(16)
    price: float
    quantity: float
    notional: float = 0.0


@dataclass(slots=True)
class Plain:
    """The same as an ordinary Python object, in its quickest form."""

    symbol: str
    price: float
    quantity: float
    notional: float


class WrongResultError(Exception):
    """A side did not get what was sent: its time is worth nothing."""


def prices(events: int) -> list[float]:
    """A different price for each event, so that a sum shows what is lost or doubled."""
    return [float(number) for number in range(events)]


def expect(side: str, what: str, got: object, wanted: object) -> None:
    """Compare what arrived with what was sent.

    Raises:
        WrongResultError: it is not the same.
    """
    if got != wanted:
        raise WrongResultError(f"{side}: {what} is {got!r}, and should be {wanted!r}")


def chunks(values: Sequence[T], size: int = CAPACITY) -> Iterator[Sequence[T]]:
    """The values, `size` at a time."""
    for begin in range(0, len(values), size):
        yield values[begin : begin + size]


@dataclass(frozen=True, slots=True)
class Columns:
    """One batch as the arrays it comes in."""

    symbols: npt.NDArray[np.bytes_]
    prices: npt.NDArray[np.float64]
    quantities: npt.NDArray[np.float64]
    notionals: npt.NDArray[np.float64]


def columns(events: int) -> list[Columns]:
    """The events as batches of arrays; what is over a whole batch is left out."""
    symbols = np.full(BATCH, SYMBOL.encode(), "S16")
    quantities = np.full(BATCH, QUANTITY)
    wanted = np.arange(float(events - events % BATCH)).reshape(-1, BATCH)
    return [Columns(symbols, row, quantities, row * QUANTITY) for row in wanted]
