"""A ring with a group on it that bad input must leave as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

import ringbus
from ringbus import RingBuffer, RingBusError


class Trade(ringbus.Event):
    """A trade."""

    symbol: str = ringbus.text(16)
    price: float
    quantity: float = 1.0
    side: ringbus.int8 = 0
    number: int = 0


class Stage:
    """A ring with a group on it, and the proof that neither was changed."""

    def __init__(self, producers: Literal["single", "multi"]) -> None:
        self.ring = RingBuffer(Trade, capacity=16, producers=producers)
        self.seen: list[float] = []
        self.group = self.ring.consumer_group("g")
        self.group.add("h", lambda trade: self.seen.append(trade.price))
        self.ring.publish(symbol="A", price=0.0)

    def facts(self) -> tuple[object, ...]:
        """What a refused verb must not change."""
        ring = self.ring
        return ring.cursor, ring.remaining_capacity, ring.minimum_sequence, ring.statistics(), self.group.state

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """The body changes nothing, and an event still goes through the group afterwards."""
        cursor, before = self.ring.cursor, self.facts()
        yield
        assert self.facts() == before
        self.ring.publish(symbol="A", price=1.5)
        assert self.group.run_once() == 2
        assert self.seen == [0.0, 1.5]
        assert self.ring.cursor == cursor + 1
        assert self.ring.statistics().pads == 0


def says(error: BaseException, *parts: str) -> None:
    """The error is one of ours, and its message has all the parts, the remedy after a semicolon."""
    message = str(error)
    assert isinstance(error, RingBusError)
    assert [part for part in parts if part not in message] == [], message
    assert ";" in message


VERBS: dict[str, Callable[[RingBuffer[Any]], object]] = {
    "publish": lambda ring: ring.publish(symbol="A", price=1.0),
    "try_publish": lambda ring: ring.try_publish(symbol="A", price=1.0),
    "an event": lambda ring: ring.publish(Trade(symbol="A", price=1.0)),
    "a translator": lambda ring: ring.publish(lambda trade: None),
    "another handle": lambda ring: ring.producer(timeout=0.1).publish(symbol="A", price=1.0),
    "claim": lambda ring: ring.claim().__enter__(),
    "claim of many": lambda ring: ring.claim(3).__enter__(),
    "try_claim": lambda ring: ring.try_claim(),
    "publish_batch": lambda ring: ring.publish_batch(np.zeros(3, Trade.dtype)),
}
"""The ways to publish one event or a few."""
