"""The consumers of the pipeline: book, bars, risk and report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import ringbus
from ringbus.demo.events import CHECKSUM_MASK, SECOND_NS, Bar, Breach, Limits, Quote, Trade

if TYPE_CHECKING:
    import numpy.typing as npt

    from ringbus.demo.progress import Progress


class Marked(Protocol):
    """What book writes into each event, and risk reads."""

    exposure2: int
    profit2: int


class TradeLike(Marked, Protocol):
    """A trade, be it an event of a ring or an ordinary object."""

    time: int
    price: int
    quantity: int
    sold: bool
    reference: int


class QuoteLike(Marked, Protocol):
    """A quote, be it an event of a ring or an ordinary object."""

    time: int
    bid: int
    ask: int


class Book:
    """The position of those who cross the spread, marked to the middle price; written into every event."""

    def __init__(self) -> None:
        self.position = 0
        self.cash = 0
        self.profit2 = 0
        self._middle2 = 0

    def __call__(self, event: Trade | Quote) -> None:
        """Handle an event of the ring."""
        if isinstance(event, Trade):
            self.trade(event)
        else:
            self.quote(event)

    def trade(self, trade: TradeLike) -> None:
        """Add a trade to the position."""
        price, quantity = trade.price, trade.quantity
        if trade.sold:
            quantity = -quantity
        self.position += quantity
        self.cash -= price * quantity
        self._middle2 = self._middle2 or 2 * price
        self._mark(trade)

    def quote(self, quote: QuoteLike) -> None:
        """Mark the position to a new middle price."""
        self._middle2 = quote.bid + quote.ask
        self._mark(quote)

    def _mark(self, event: Marked) -> None:
        value2 = self.position * self._middle2
        self.profit2 = 2 * self.cash + value2
        event.exposure2 = abs(value2)
        event.profit2 = self.profit2


class Bars:
    """One-second bars, made of whole columns; the average price of the last finished bar goes into every trade."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self._second = -1
        self._reference = 0
        self._parts: list[npt.NDArray[Any]] = []

    @ringbus.batch
    def take(self, trades: npt.NDArray[Any], first_sequence: int) -> None:  # noqa: ARG002  # the shape of a batch handler
        """Handle a run of trades: a view of the slots, not a copy."""
        while int(trades["time"][-1]) // SECOND_NS != self._second:
            trades = self._turn(trades)
        self._keep(trades)

    def finish(self) -> None:
        """Close the bar that is still open."""
        if self._parts:
            bar = make_bar(self._second, np.concatenate(self._parts))
            self.bars.append(bar)
            self._reference = bar.vwap
            self._parts.clear()

    def _turn(self, trades: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Close the open bar with the trades that are still its own, and open that of the next trade."""
        own = int(np.searchsorted(trades["time"], (self._second + 1) * SECOND_NS))
        if own:
            self._keep(trades[:own])
        self.finish()
        self._second = int(trades["time"][own]) // SECOND_NS
        return trades[own:]

    def _keep(self, trades: npt.NDArray[Any]) -> None:
        trades["reference"] = self._reference
        self._parts.append(trades.copy())


def make_bar(second: int, trades: npt.NDArray[Any]) -> Bar:
    """Make a bar of the trades of one second.

    Args:
        second: the second, since 1970.
        trades: its trades, at least one.
    """
    price, quantity = trades["price"], trades["quantity"]
    high, low, volume, notional = price.max(), price.min(), quantity.sum(), price @ quantity
    ends = int(price[0]), int(high), int(low), int(price[-1])
    return Bar(second, *ends, int(volume), int(notional), len(trades))


class Risk:
    """Watches the exposure that book found and how far each trade is from the last bar's average price."""

    def __init__(self, limits: Limits) -> None:
        self.breaches: list[Breach] = []
        self.events = 0
        self.checksum = 0
        self._limits = limits
        self._exposed = False
        self._jumped = False

    def __call__(self, event: Trade | Quote) -> None:
        """Handle an event of the ring."""
        if isinstance(event, Trade):
            self.trade(event)
        else:
            self.quote(event)

    def trade(self, trade: TradeLike) -> None:
        """Check the exposure and the price of a trade."""
        price, reference = trade.price, trade.reference
        self._check_exposure(trade.time, trade.exposure2, trade.profit2 + reference)
        jumped = reference > 0 and abs(price - reference) * 10_000 > self._limits.jump_bp * reference
        if jumped and not self._jumped:
            self.breaches.append(Breach(self.events - 1, trade.time, "jump", price, reference))
        self._jumped = jumped

    def quote(self, quote: QuoteLike) -> None:
        """Check the exposure at a new middle price."""
        self._check_exposure(quote.time, quote.exposure2, quote.profit2)

    def _check_exposure(self, time: int, exposure2: int, also: int) -> None:
        self.checksum = (31 * self.checksum + 7 * exposure2 + also) & CHECKSUM_MASK
        limit2 = self._limits.exposure2
        if exposure2 > limit2 and not self._exposed:
            self.breaches.append(Breach(self.events, time, "exposure", exposure2, limit2))
        self._exposed = exposure2 > limit2
        self.events += 1


class Report:
    """The end of the graph: says how far the run is."""

    def __init__(self, progress: Progress) -> None:
        self.events = 0
        self._progress = progress

    def __call__(self, event: Trade | Quote, sequence: int, end_of_batch: bool) -> None:  # noqa: ARG002
        """Handle an event of the ring."""
        self.events += 1
        if end_of_batch:
            self._progress.show(self.events)
