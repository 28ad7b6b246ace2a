"""Events that the unit tests publish, and rings of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import ringbus

PRODUCERS: tuple[Literal["single", "multi"], ...] = ("single", "multi")
"""The kinds of producers."""

PATIENCE = 20.0
"""Seconds after which something that must happen counts as never happening."""


class Trade(ringbus.Event):
    """A trade."""

    symbol: str = ringbus.text(16)
    price: float
    quantity: float = 1.0
    number: int = -1


class Quote(ringbus.Event):
    """A best quote; smaller than a trade."""

    bid: float
    ask: float = 0.0


class Halted(ringbus.Event):
    """An event that the rings of trades and quotes do not have."""

    reason: int = 0


def trades(capacity: int, producers: Literal["single", "multi"] = "multi", **options: Any) -> ringbus.RingBuffer[Trade]:
    """Make a ring of trades."""
    return ringbus.RingBuffer(Trade, capacity, producers=producers, **options)


def publish_trades(ring: ringbus.RingBuffer[Any], count: int, first: int = 0) -> None:
    """Publish trades whose number, price and symbol say which they are."""
    for number in range(first, first + count):
        ring.publish(symbol=f"s{number}", price=float(number), number=number)


def is_whole(trade: Trade, number: int) -> bool:
    """Whether a trade is the one that `publish_trades` made of this number, and all of it."""
    return (trade.symbol, trade.price, trade.quantity, trade.number) == (f"s{number}", float(number), 1.0, number)


def numbers(events: Any) -> list[int]:
    """The numbers of some trades."""
    return [event.number for event in events]


def read_all(ring: ringbus.RingBuffer[Any]) -> Any:
    """Make a poller that sees what is published from now on."""
    return ring.poller("reader")


def nothing(trade: Trade) -> None:
    """Handle an event."""


def recording(seen: list[int]) -> Callable[[Trade], None]:
    """A handler that takes down the numbers."""
    return lambda trade: seen.append(trade.number)


class BadLuckError(Exception):
    """What a handler fails with."""
