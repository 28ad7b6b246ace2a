"""The consumers of the pipeline: book, bars, risk and report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import ringbus
from ringbus.demo.events import SECOND_NS, Bar, Breach, Limits, Quote, Trade

if TYPE_CHECKING:
    import numpy.typing as npt

    from ringbus.demo.progress import Progress
    from ringbus.demo.tape import Int64Array


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
    """The position of those who cross the spread, marked to the middle price; written into every event.

    Args:
        position: where it goes on from.
        cash2: likewise.
        middle2: the last middle price; 0 when there was none.
    """

    def __init__(self, position: int = 0, cash2: int = 0, middle2: int = 0) -> None:
        self.position = position
        self.cash2 = cash2
        self.profit2 = 0
        self.middle2 = middle2

    def take(self, event: Trade | Quote) -> None:
        """Handle an event of the ring."""
        if type(event) is Quote:  # half the price of isinstance() where the class has a metaclass
            self.quote(event)
        else:
            self.trade(event)

    def trade(self, trade: TradeLike) -> None:
        """Add a trade to the position."""
        price, quantity = trade.price, trade.quantity
        if trade.sold:
            quantity = -quantity
        self.position += quantity
        self.cash2 -= 2 * price * quantity
        self.middle2 = self.middle2 or 2 * price
        value2 = self.position * self.middle2
        trade.exposure2 = abs(value2)
        trade.profit2 = self.profit2 = self.cash2 + value2

    def quote(self, quote: QuoteLike) -> None:
        """Mark the position to a new middle price."""
        self.middle2 = middle2 = quote.bid + quote.ask
        value2 = self.position * middle2
        quote.exposure2 = abs(value2)
        quote.profit2 = self.profit2 = self.cash2 + value2


class Bars:
    """One-second bars, made of whole columns; the average price of the last finished bar goes into every trade."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self._second = -1
        self._end = 0
        self._reference = 0
        self._prices: list[Int64Array] = []
        self._quantities: list[Int64Array] = []

    @ringbus.batch
    def take(self, trades: npt.NDArray[Any]) -> None:
        """Handle a run of trades: a view of the slots, not a copy."""
        while trades["time"].item(-1) >= self._end:
            trades = self._turn(trades)
        self._keep(trades)

    def finish(self) -> None:
        """Close the bar that is still open."""
        if self._prices:
            bar = make_bar(self._second, np.concatenate(self._prices), np.concatenate(self._quantities))
            self.bars.append(bar)
            self._reference = bar.vwap
            self._prices.clear()
            self._quantities.clear()

    def _turn(self, trades: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Close the open bar with the trades that are still its own, and open that of the next trade."""
        own = int(np.searchsorted(trades["time"], self._end))
        if own:
            self._keep(trades[:own])
        self.finish()
        self._second = trades["time"].item(own) // SECOND_NS
        self._end = (self._second + 1) * SECOND_NS
        return trades[own:]

    def _keep(self, trades: npt.NDArray[Any]) -> None:
        """Copy the two columns that a bar needs: that takes a tenth of the time of copying whole rows."""
        trades["reference"].fill(self._reference)
        self._prices.append(trades["price"].copy())
        self._quantities.append(trades["quantity"].copy())


def make_bar(second: int, prices: Int64Array, quantities: Int64Array) -> Bar:
    """Make a bar of the trades of one second.

    Args:
        second: the second, since 1970.
        prices: the price of each of its trades, at least one.
        quantities: their quantities.
    """
    ends = prices.item(0), int(prices.max()), int(prices.min()), prices.item(-1)
    return Bar(second, *ends, int(quantities.sum()), int(prices @ quantities), len(prices))


class Risk:
    """Watches the exposure that book found and how far each trade is from the last bar's average price.

    Args:
        limits: when it notes a breach.
        checksum: where it goes on from.
        exposed: whether the exposure was over its limit then.
        jumped: whether the last trade was too far off.
    """

    def __init__(self, limits: Limits, checksum: int = 0, *, exposed: bool = False, jumped: bool = False) -> None:
        self.breaches: list[Breach] = []
        self.events = 0
        self.checksum = checksum
        self._exposure2 = limits.exposure2
        self._jump_bp = limits.jump_bp
        self.exposed = exposed
        self.jumped = jumped

    def take(self, event: Trade | Quote) -> None:
        """Handle an event of the ring."""
        if type(event) is Quote:
            self.quote(event)
        else:
            self.trade(event)

    def trade(self, trade: TradeLike) -> None:
        """Check the exposure and the price of a trade."""
        exposure2, price, reference = trade.exposure2, trade.price, trade.reference
        self.checksum = hash((self.checksum, exposure2, trade.profit2, reference))
        if (exposure2 > self._exposure2) is not self.exposed:
            self._cross(trade.time, exposure2)
        jumped = reference > 0 and abs(price - reference) * 10_000 > self._jump_bp * reference
        if jumped and not self.jumped:
            self.breaches.append(Breach(self.events, trade.time, "jump", price, reference))
        self.jumped = jumped
        self.events += 1

    def quote(self, quote: QuoteLike) -> None:
        """Check the exposure at a new middle price."""
        exposure2 = quote.exposure2
        self.checksum = hash((self.checksum, exposure2, quote.profit2))
        if (exposure2 > self._exposure2) is not self.exposed:
            self._cross(quote.time, exposure2)
        self.events += 1

    def _cross(self, time: int, exposure2: int) -> None:
        """Go over the limit of the exposure, or back under it."""
        self.exposed = not self.exposed
        if self.exposed:
            self.breaches.append(Breach(self.events, time, "exposure", exposure2, self._exposure2))


class Report:
    """The end of the graph: says how far the run is."""

    def __init__(self, progress: Progress) -> None:
        self.events = 0
        self._progress = progress

    @ringbus.batch
    def take(self, events: npt.NDArray[Any]) -> None:
        """Count a run of events of one type."""
        self.events += len(events)
        self._progress.show(self.events)
