"""A small event, who publishes it, and handlers that fail at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ringbus


class Tick(ringbus.Event):
    """A number."""

    value: int


class BrokenError(Exception):
    """What the handlers of these tests raise."""


def publish(ring: ringbus.RingBuffer[Any], count: int, first: int = 0) -> None:
    """Publish `count` numbers from `first` on."""
    for value in range(first, first + count):
        ring.publish(value=value)


def fails_at(*values: int) -> Callable[[Tick], None]:
    """A handler that fails at these numbers."""

    def handler(tick: Tick) -> None:
        if tick.value in values:
            raise BrokenError(f"value {tick.value}")

    return handler


def ended(group: ringbus.ConsumerGroup[Any]) -> ringbus.ConsumerGroup[Any]:
    """Wait until the threads of a failed group have ended."""
    assert group.join(10.0)
    return group
