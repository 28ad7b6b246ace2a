"""The plain Python loop that the results of every other way are compared with.

It is written on its own, from the same rules, and shares no code with the handlers: what both agree on is right twice.
It is also as quick as a loop gets, with everything in local variables: what a pipeline adds to it is the price of
threads and of handing events on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringbus.demo.events import SECOND_NS, Bar, Breach, Limits, Results

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
        self._bars: list[Bar] = []
        self._second = -1
        self._prices: list[int] = []
        self._quantities: list[int] = []

    def run(self, rows: Sequence[Row]) -> Results:
        """Go over a tape.

        Args:
            rows: the events, see `Tape.rows`.

        Returns:
            The results.
        """
        limit2, jump_bp = self._limits.exposure2, self._limits.jump_bp
        position = cash = middle2 = profit2 = checksum = average = price = 0
        breaches: list[Breach] = []
        exposed = far = False
        for number, row in enumerate(rows):
            is_trade, time = row[0], row[1]
            if is_trade:
                _, _, price, quantity, sold = row
                average = self._add_to_bar(time, price, quantity)
                signed = -quantity if sold else quantity
                position += signed
                cash -= signed * price
                middle2 = middle2 or price + price
            else:
                middle2 = row[2] + row[4]
            exposure2 = abs(position) * middle2
            profit2 = 2 * cash + position * middle2
            found = (checksum, exposure2, profit2, average) if is_trade else (checksum, exposure2, profit2)
            checksum = hash(found)
            if exposure2 > limit2 and not exposed:
                breaches.append(Breach(number, time, "exposure", exposure2, limit2))
            exposed = exposure2 > limit2
            if is_trade:
                was_far, far = far, bool(average) and 10_000 * abs(price - average) > jump_bp * average
                if far and not was_far:
                    breaches.append(Breach(number, time, "jump", price, average))
        self._close_bar()
        return Results(len(rows), position, cash, profit2, tuple(self._bars), tuple(breaches), checksum)

    def _add_to_bar(self, time: int, price: int, quantity: int) -> int:
        """Add a trade; the average price of the bar before its own, 0 when there is none."""
        if time // SECOND_NS != self._second:
            self._close_bar()
            self._second = time // SECOND_NS
        self._prices.append(price)
        self._quantities.append(quantity)
        return self._bars[-1].notional // self._bars[-1].volume if self._bars else 0

    def _close_bar(self) -> None:
        prices, quantities = self._prices, self._quantities
        if not prices:
            return
        volume = sum(quantities)
        notional = sum(price * quantity for price, quantity in zip(prices, quantities, strict=True))
        ends = prices[0], max(prices), min(prices), prices[-1]
        self._bars.append(Bar(self._second, *ends, volume, notional, len(prices)))
        prices.clear()
        quantities.clear()
