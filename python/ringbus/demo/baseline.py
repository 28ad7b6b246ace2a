"""The plain Python loop that the results of every other way are compared with.

It is written on its own, from the same rules, and shares no code with the handlers: what both agree on is right twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringbus.demo.events import CHECKSUM_MASK, SECOND_NS, Bar, Breach, Limits, Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringbus.demo.tape import Row


class Loop:
    """The whole pipeline in one loop over tuples, without threads, queues or NumPy.

    Args:
        limits: when to note a breach.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._position = self._cash = self._middle2 = self._profit2 = self._checksum = 0
        self._bars: list[Bar] = []
        self._open: list[tuple[int, int]] = []
        self._second = -1
        self._breaches: list[Breach] = []
        self._inside = {"exposure": True, "jump": True}

    def run(self, rows: Sequence[Row]) -> Results:
        """Go over a tape.

        Args:
            rows: the events, see `Tape.rows`.

        Returns:
            The results.
        """
        for number, row in enumerate(rows):
            if row[0]:
                self._trade(number, *row[1:])
            else:
                _, time, bid, _, ask, _ = row
                self._middle2 = bid + ask
                self._mark(number, time, 0)
        self._close_bar()
        return self._results(len(rows))

    def _trade(self, number: int, time: int, price: int, quantity: int, sold: bool) -> None:  # a row
        reference = self._add_to_bar(time, price, quantity)
        signed = -quantity if sold else quantity
        self._position += signed
        self._cash -= signed * price
        if self._middle2 == 0:
            self._middle2 = price + price
        self._mark(number, time, reference)
        if reference:
            far = 10_000 * abs(price - reference) > self._limits.jump_bp * reference
            self._note(Breach(number, time, "jump", price, reference), far)

    def _mark(self, number: int, time: int, reference: int) -> None:
        exposure2 = abs(self._position) * self._middle2
        self._profit2 = 2 * self._cash + self._position * self._middle2
        self._checksum = (self._checksum * 31 + exposure2 * 7 + self._profit2 + reference) & CHECKSUM_MASK
        limit2 = self._limits.exposure2
        self._note(Breach(number, time, "exposure", exposure2, limit2), exposure2 > limit2)

    def _note(self, breach: Breach, outside: bool) -> None:  # the one fact about it
        if outside and self._inside[breach.rule]:
            self._breaches.append(breach)
        self._inside[breach.rule] = not outside

    def _add_to_bar(self, time: int, price: int, quantity: int) -> int:
        if time // SECOND_NS != self._second:
            self._close_bar()
            self._second = time // SECOND_NS
        self._open.append((price, quantity))
        return self._bars[-1].notional // self._bars[-1].volume if self._bars else 0

    def _close_bar(self) -> None:
        if not self._open:
            return
        prices = [price for price, _ in self._open]
        volume = sum(quantity for _, quantity in self._open)
        notional = sum(price * quantity for price, quantity in self._open)
        ends = prices[0], max(prices), min(prices), prices[-1]
        self._bars.append(Bar(self._second, *ends, volume, notional, len(prices)))
        self._open.clear()

    def _results(self, events: int) -> Results:
        money = self._position, self._cash, self._profit2
        return Results(events, *money, tuple(self._bars), tuple(self._breaches), self._checksum)
