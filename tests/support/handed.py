"""What runs in other processes, which import it by its name: rings that were handed over, and handlers."""

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


class Noted(ringbus.Event):
    """An event, and what the process of a handler made of it."""

    value: int
    pid: int = 0
    doubled: int = 0


def double(event: Noted) -> None:
    """Fill in what a consumer behind this one looks at."""
    event.pid, event.doubled = os.getpid(), 2 * event.value


def double_after_zero(event: Noted) -> None:
    """Fail at 0."""
    double(event)
    event.doubled //= event.value
