"""What runs in other processes, which import it by its name: rings that were handed over."""

from __future__ import annotations

import os
from typing import Any

import ringbus


class Tick(ringbus.Event):
    """An event."""

    value: int


def publish(ring: ringbus.RingBuffer[Any], first: int, count: int) -> int:
    """Publish so many values; the process that did."""
    for value in range(first, first + count):
        ring.publish(value=value)
    return os.getpid()


def publish_one(ring: ringbus.RingBuffer[Any], value: int) -> int:
    """Publish one value; the process that did."""
    return publish(ring, value, 1)
