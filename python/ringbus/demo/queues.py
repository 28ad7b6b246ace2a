"""The same pipeline on `queue.Queue`, for comparison.

A queue gives each item to one consumer only, so the graph becomes a chain: book, bars, risk, report, a thread and a
queue each. That is the quickest form with a thread a consumer: sending every event to book and to bars and joining the
two for risk takes one more queue. Book and risk are the same code as on the ring; bars works trade by trade, as a queue
hands them out. With one thread for all of them a single queue is enough (`--threads 1`): quicker than the chain, since
an event changes threads once and not four times.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from queue import Queue
from typing import TYPE_CHECKING, TypeAlias, final

from ringbus.demo.events import SECOND_NS, Bar, Limits, Results
from ringbus.demo.handlers import Book, Risk
from ringbus.demo.pipeline import CAPACITY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringbus.demo.progress import Progress
    from ringbus.demo.tape import Row


@final
@dataclass(slots=True)
class PlainTrade:
    """A trade as an ordinary object."""

    time: int
    price: int
    quantity: int
    sold: bool
    exposure2: int = 0
    profit2: int = 0
    reference: int = 0


@final
@dataclass(slots=True)
class PlainQuote:
    """A quote as an ordinary object."""

    time: int
    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int
    exposure2: int = 0
    profit2: int = 0


Event: TypeAlias = PlainTrade | PlainQuote
EventQueue: TypeAlias = "Queue[Event | None]"


class PlainBars:
    """One-second bars, trade by trade."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self._second = -1
        self._reference = 0
        self._prices: list[int] = []
        self._volume = 0
        self._notional = 0

    def take(self, event: Event) -> None:
        """Handle an event; quotes pass."""
        if type(event) is PlainQuote:
            return
        second = event.time // SECOND_NS
        if second != self._second:
            self.finish()
            self._second = second
        event.reference = self._reference
        self._prices.append(event.price)
        self._volume += event.quantity
        self._notional += event.price * event.quantity

    def finish(self) -> None:
        """Close the bar that is still open."""
        if not self._prices:
            return
        prices = self._prices
        ends = prices[0], max(prices), min(prices), prices[-1]
        bar = Bar(self._second, *ends, self._volume, self._notional, len(prices))
        self.bars.append(bar)
        self._reference, self._volume, self._notional = bar.vwap, 0, 0
        prices.clear()


class Stage(threading.Thread):
    """A thread that takes events from one queue, handles them and hands them on to the next; None is the end.

    Args:
        name: which consumer it is.
        handle: what is called with each event.
        after: the queue that it hands on to; None for the last one.
    """

    def __init__(self, name: str, handle: Callable[[Event], None], after: EventQueue | None) -> None:
        super().__init__(name=name, daemon=True)  # see QueuePipeline.run
        self.inbox: EventQueue = Queue(CAPACITY)
        self.error: Exception | None = None
        self._handle = handle
        self._after = after

    def run(self) -> None:
        """Work until the end is seen; after an error, only hand on, so that nobody waits for ever."""
        take, after, handle = self.inbox.get, self._after, self._handle
        try:
            while (event := take()) is not None:
                handle(event)
                if after is not None:
                    after.put(event)
        except Exception as error:  # noqa: BLE001  # raised again by the thread that joins
            self.error = error
            while take() is not None:
                pass
        if after is not None:
            after.put(None)


class QueuePipeline:
    """The chain of stages, for one run.

    Args:
        limits: when risk notes a breach.
        progress: where to say how far the run is.
        one_thread: call the four one after the other on one thread, behind a single queue.
    """

    def __init__(self, limits: Limits, progress: Progress, *, one_thread: bool = False) -> None:
        self.book, self.bars, self.risk = Book(), PlainBars(), Risk(limits)
        self._progress = progress
        self._reported = 0
        handlers = {"report": self._report, "risk": self._watch, "bars": self.bars.take, "book": self._mark}
        self._stages: list[Stage] = []
        for name, handle in {"all": self._all}.items() if one_thread else handlers.items():
            self._stages.append(Stage(name, handle, self._stages[-1].inbox if self._stages else None))

    def run(self, rows: Sequence[Row]) -> tuple[Results, float]:
        """Send a tape through the queues and wait until every stage has handled all of it.

        Args:
            rows: the events, see `Tape.rows`.

        Returns:
            The results, and the seconds from the first put to the end.

        Raises:
            KeyboardInterrupt: at Ctrl-C, at once. A `put` that it came into may keep its queue's lock for ever, so
                nothing is put after it and no stage is waited for.
        """
        for stage in self._stages:
            stage.start()
        start = time.perf_counter()
        self._publish(rows)
        self._stages[-1].inbox.put(None)
        for stage in self._stages:
            stage.join()
        seconds = time.perf_counter() - start
        return self._results(), seconds

    def _publish(self, rows: Sequence[Row]) -> None:
        send = self._stages[-1].inbox.put
        for row in rows:
            if row[0]:
                _, when, price, quantity, sold = row
                send(PlainTrade(when, price, quantity, sold))
            else:
                _, when, bid, bid_quantity, ask, ask_quantity = row
                send(PlainQuote(when, bid, bid_quantity, ask, ask_quantity))

    def _mark(self, event: Event) -> None:
        if type(event) is PlainQuote:
            self.book.quote(event)
        else:
            self.book.trade(event)

    def _watch(self, event: Event) -> None:
        if type(event) is PlainQuote:
            self.risk.quote(event)
        else:
            self.risk.trade(event)

    def _report(self, event: Event) -> None:
        self._reported += 1
        if self._reported % 1024 == 0:
            self._progress.show(self._reported)

    def _all(self, event: Event) -> None:
        self._mark(event)
        self.bars.take(event)
        self._watch(event)
        self._report(event)

    def _results(self) -> Results:
        for stage in self._stages:
            if stage.error is not None:
                raise stage.error
        self.bars.finish()
        book, risk = self.book, self.risk
        found = tuple(self.bars.bars), tuple(risk.breaches), risk.checksum
        return Results(risk.events, book.position, book.cash2 // 2, book.profit2, *found)
