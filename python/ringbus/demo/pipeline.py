"""The pipeline on a ring: book and bars side by side, risk after both, report at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ringbus
from ringbus.demo.events import Limits, Quote, Results, Trade
from ringbus.demo.handlers import Bars, Book, Report, Risk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ringbus.demo.processes import Delivery
    from ringbus.demo.progress import Progress
    from ringbus.demo.tape import Row
    from ringbus.statistics import ConsumerStatistics

CAPACITY: Final = 8192
CONSUMERS: Final = ("book", "bars", "risk", "report")


@dataclass(frozen=True)
class RingRun:
    """What a run of the pipeline on a ring gave.

    Args:
        results: the results over the events that were published.
        published: how many events that is.
        seconds: from the first publish until the last consumer had handled the last event.
        lag: how far each consumer was behind when the last event had been published.
        consumers: their statistics after the drain.
        interrupted: whether Ctrl-C ended the publishing.
        delivery: what the events say of how often they were handled; None where all consumers are threads.
    """

    results: Results
    published: int
    seconds: float
    lag: Mapping[str, int]
    consumers: Mapping[str, ConsumerStatistics]
    interrupted: bool
    delivery: Delivery | None = None


class Pipeline:
    """The graph and its consumers, for one run.

    Args:
        limits: when risk notes a breach.
        progress: where report says how far the run is.
        one_thread: run all consumers in the order of the graph on one thread, instead of on one each.
    """

    def __init__(self, limits: Limits, progress: Progress, *, one_thread: bool = False) -> None:
        self._one_thread = one_thread
        self.book = Book()
        self.bars = Bars()
        self.risk = Risk(limits)
        self.report = Report(progress)

    def run(self, rows: Sequence[Row], speed: float | None = None) -> RingRun:
        """Send a tape through the ring and wait until every consumer has handled all of it.

        The first Ctrl-C ends the publishing only: what is in the ring is still handled, so that every consumer has
        seen the same events. A second one halts.

        Args:
            rows: the events, see `Tape.rows`.
            speed: replay by the tape's own clock, that many times as fast; None goes as fast as the consumers can.

        Returns:
            The results and the figures.

        Raises:
            HandlerError: when a consumer failed.
            KeyboardInterrupt: at the second Ctrl-C.
        """
        ring: ringbus.RingBuffer[Trade | Quote] = ringbus.RingBuffer(Trade | Quote, capacity=CAPACITY, stamp=True)
        with ring, self._group(ring) as group:
            start = time.perf_counter()
            interrupted = _publish(ring, rows if speed is None else paced(rows, speed))
            lag = {name: consumer.lag for name, consumer in group.statistics().consumers.items()}
            interrupted = drain(group, interrupted=interrupted)
            seconds = time.perf_counter() - start
            published, consumers = ring.cursor + 1, group.statistics().consumers
        self.bars.finish()
        return RingRun(self.results(), published, seconds, lag, consumers, interrupted)

    def _group(self, ring: ringbus.RingBuffer[Trade | Quote]) -> ringbus.ConsumerGroup[Trade | Quote]:
        group = ring.consumer_group("demo", threads=1 if self._one_thread else None)
        group.add("book", self.book.take)
        group.add("bars", self.bars.take, kinds=(Trade,))
        group.add("risk", self.risk.take).depends_on("book", "bars")
        group.add("report", self.report.take, kinds=(Trade, Quote)).depends_on("risk")
        return group

    def results(self) -> Results:
        """Return what the consumers have found so far."""
        book, risk = self.book, self.risk
        found = tuple(self.bars.bars), tuple(risk.breaches), risk.checksum
        return Results(risk.events, book.position, book.cash2 // 2, book.profit2, *found)


def _publish(ring: ringbus.RingBuffer[Trade | Quote], rows: Iterable[Row]) -> bool:
    try:
        publish(ring, rows, Trade, Quote)
    except KeyboardInterrupt:
        return True
    return False


def drain(group: ringbus.ConsumerGroup[Any], *, interrupted: bool) -> bool:
    """Wait until every consumer has handled everything, through one Ctrl-C but not two.

    Args:
        group: the consumers.
        interrupted: whether there has been one.

    Returns:
        Whether there has been one by now.
    """
    try:
        group.drain()
    except KeyboardInterrupt:
        if interrupted:
            raise
        group.drain()
        return True
    return interrupted


def publish(ring: ringbus.RingBuffer[Any], rows: Iterable[Row], trade: type, quote: type) -> None:
    """Publish trades and quotes, each by its fields.

    Args:
        ring: the ring; a full one makes this wait for the slowest consumer.
        rows: the events, see `Tape.rows`.
        trade: the type of the trades on the ring.
        quote: the type of its quotes.
    """
    send = ring.publish
    for row in rows:
        if row[0]:
            _, when, price, quantity, sold = row
            send(trade, time=when, price=price, quantity=quantity, sold=sold)
        else:
            _, when, bid, bid_quantity, ask, ask_quantity = row
            send(quote, time=when, bid=bid, bid_quantity=bid_quantity, ask=ask, ask_quantity=ask_quantity)


def paced(rows: Sequence[Row], speed: float) -> Iterator[Row]:
    """Yield each row when the tape's own clock says so.

    Args:
        rows: the events, in order of time.
        speed: how many times as fast as the tape.
    """
    start = time.monotonic()
    first = rows[0][1] if rows else 0
    for row in rows:
        wait = (row[1] - first) / 1e9 / speed - (time.monotonic() - start)
        if wait > 0:
            time.sleep(wait)
        yield row
