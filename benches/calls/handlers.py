"""The handlers: the same functions run on a ring's events and on the objects of the peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from events import QUANTITY, prices


def read(event: Any) -> None:
    """Read one field."""
    event.price  # noqa: B018 - reading it is the work


class Total:
    """Sums the prices, to check what arrived."""

    def __init__(self) -> None:
        total = 0.0

        def add(event: Any) -> None:
            nonlocal total
            total += event.price

        self.add: Callable[[Any], None] = add
        self._total: Callable[[], float] = lambda: total

    @property
    def price(self) -> float:
        """The sum."""
        return self._total()


class Diamond:
    """Two handlers that work on an event independently, and one that needs both."""

    def __init__(self) -> None:
        total, breaches = 0.0, 0

        def value(event: Any) -> None:
            event.notional = event.price * event.quantity

        def limit(event: Any) -> None:
            nonlocal breaches
            if event.quantity > 1.0:
                breaches += 1

        def report(event: Any) -> None:
            nonlocal total
            total += event.notional

        self.value: Callable[[Any], None] = value
        self.limit: Callable[[Any], None] = limit
        self.report: Callable[[Any], None] = report
        self.total: Callable[[], tuple[float, int]] = lambda: (total, breaches)

    @staticmethod
    def wanted(events: int) -> tuple[float, int]:
        """What `total()` has to be in the end."""
        return sum(price * QUANTITY for price in prices(events)), 0
