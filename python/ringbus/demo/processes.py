"""The pipeline over processes: the feed and report in this one, book, bars and risk in one each.

The owner of the ring learns nothing from the others but what they write into the events: report copies each event when
all of them are done with it, and the results come from those copies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from array import array
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import ringbus
from ringbus.demo import remote
from ringbus.demo.events import SECOND_NS, Bar, Breach, Limits, Results
from ringbus.demo.pipeline import CAPACITY, RingRun, drain, paced, publish
from ringbus.demo.shared import EXPOSURE, JUMP, BarsState, BookState, Kept, Quote, RiskState, Trade

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from ringbus.demo.progress import Progress
    from ringbus.demo.tape import Row

KILLABLE: Final[tuple[str, ...]] = ("book", "bars", "risk")
_LOOK_SECONDS: Final = 0.001
_TRY_EVERY: Final = 64
"""Events between two looks whether the one to be killed has a batch in hand."""
_THERE: Final = ("live", "stopped")


@dataclass(frozen=True)
class Delivery:
    """What the events themselves say of how often they were handled.

    Args:
        lost: events that report did not get, or that another consumer never had in hand.
        twice: for each consumer in a process of its own, how many events it had in hand more than once.
        death: the process that was killed.
    """

    lost: int
    twice: Mapping[str, int]
    death: Death | None


@dataclass
class Death:
    """A process that was killed on purpose.

    Args:
        consumer: whose.
        pid: which.
        published: how many events had been published.
        behind: how many of them it was not done with.
        gap_seconds: from the kill until its successor was done with its first events; None: that was not seen.
    """

    consumer: str
    pid: int
    published: int
    behind: int
    gap_seconds: float | None = None


class Ledger:
    """Report: copies every event, when the others are done with it."""

    def __init__(self, progress: Progress) -> None:
        self.events = 0
        self._progress = progress
        self._rows: dict[type, bytearray] = {Trade: bytearray(), Quote: bytearray()}
        self._sequences: dict[type, array[int]] = {Trade: array("q"), Quote: array("q")}

    @ringbus.batch
    def take(self, events: npt.NDArray[Any], first: int) -> None:
        """Copy a run of events of one type."""
        kind = Trade if events.dtype == Trade.dtype else Quote
        self._rows[kind] += events.tobytes()
        self._sequences[kind].extend(range(first, first + len(events)))
        self.events += len(events)
        self._progress.show(self.events)

    def columns(self, kind: type[Trade | Quote]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Return the events of a type, and their sequences."""
        return np.frombuffer(self._rows[kind], kind.dtype), np.array(self._sequences[kind], np.int64)

    def results(self, limit2: int) -> Results:
        """Tell the results from what stands in the events.

        Args:
            limit2: the limit of the exposure, doubled.
        """
        trades, trade_at = self.columns(Trade)
        quotes, quote_at = self.columns(Quote)
        breaches = [*_breaches(trades, trade_at, limit2), *_breaches(quotes, quote_at, limit2)]
        breaches.sort(key=lambda breach: breach.event)
        ends = [(int(at[-1]), rows[-1]) for rows, at in ((trades, trade_at), (quotes, quote_at)) if len(at)]
        if not ends:
            return Results(0, 0, 0, 0, (), (), 0)
        last = max(ends, key=lambda end: end[0])[1]
        position, cash2, profit2, checksum = (int(last[name]) for name in ("position", "cash2", "profit2", "checksum"))
        return Results(self.events, position, cash2 // 2, profit2, _bars(trades), tuple(breaches), checksum)

    def delivery(self, published: int, death: Death | None) -> Delivery:
        """Tell how often the events were handled.

        Args:
            published: how many there were.
            death: the process that was killed.
        """
        whole: set[int] = set()
        twice: dict[str, int] = dict.fromkeys(KILLABLE, 0)
        for kind, consumers in ((Trade, KILLABLE), (Quote, ("book", "risk"))):
            rows, sequences = self.columns(kind)
            whole.update(sequences[np.all([rows[name] > 0 for name in consumers], axis=0)].tolist())
            for name in consumers:
                twice[name] += int((rows[name] > 1).sum())
        return Delivery(published - len(whole), twice, death)


def _bars(trades: npt.NDArray[Any]) -> tuple[Bar, ...]:
    """The bars, each as the last trade of its second has it."""
    last = trades[np.flatnonzero(np.diff(trades["time"] // SECOND_NS, append=-1))]
    names = ("open", "high", "low", "price", "volume", "notional", "trades")
    return tuple(map(Bar, (last["time"] // SECOND_NS).tolist(), *(last[name].tolist() for name in names)))


def _breaches(rows: npt.NDArray[Any], sequences: npt.NDArray[np.int64], limit2: int) -> Iterator[Breach]:
    """The breaches that risk has noted in the events of one type, in order."""
    for at in np.flatnonzero(rows["breaches"]).tolist():
        row, sequence = rows[at], int(sequences[at])
        moment = int(row["time"])
        if row["breaches"] & EXPOSURE:
            yield Breach(sequence, moment, "exposure", int(row["exposure2"]), limit2)
        if row["breaches"] & JUMP:
            yield Breach(sequence, moment, "jump", int(row["price"]), int(row["reference"]))


class ProcessPipeline:
    """The graph over processes, for one run.

    Args:
        limits: when risk notes a breach.
        progress: where report says how far the run is.
        kill: the consumer whose process is killed in the third quarter of the tape; None kills nobody.
    """

    def __init__(self, limits: Limits, progress: Progress, kill: str | None = None) -> None:
        self._limits = limits
        self._kill = kill
        self.ledger = Ledger(progress)
        self.death: Death | None = None
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None

    def run(self, rows: Sequence[Row], speed: float | None = None) -> RingRun:
        """Send a tape through the ring and wait until every consumer has handled all of it.

        Ctrl-C does what it does in `Pipeline.run`.

        Args:
            rows: the events, see `Tape.rows`.
            speed: replay by the tape's own clock, that many times as fast; None goes as fast as the consumers can.

        Returns:
            The results and the figures; the time without the start of the processes.

        Raises:
            HandlerError: when a consumer failed.
            PeerDiedError: when a process died again and again.
            KeyboardInterrupt: at the second Ctrl-C.
        """
        with contextlib.ExitStack() as stack:
            ring = self._rings(stack)
            group = stack.enter_context(self._group(ring))
            stack.callback(self._end_watch)
            _wait_until_there(group)
            start = time.perf_counter()
            interrupted = self._publish(group, rows, speed)
            lag = {name: consumer.lag for name, consumer in group.statistics().consumers.items()}
            interrupted = drain(group, interrupted=interrupted)
            seconds = time.perf_counter() - start
            self._end_watch(seen=not interrupted)
            published, consumers = ring.cursor + 1, group.statistics().consumers
        results = self.ledger.results(self._limits.exposure2)
        delivery = self.ledger.delivery(published, self.death)
        return RingRun(results, published, seconds, lag, consumers, interrupted, delivery)

    def _rings(self, stack: contextlib.ExitStack) -> ringbus.RingBuffer[Trade | Quote]:
        """Make the ring, and one for the states of each process; they are gone when the stack is closed."""
        name = remote.ring_name(os.getpid())
        limits = RiskState(limit2=self._limits.exposure2, jump_bp=self._limits.jump_bp)
        stack.callback(Kept.begin(remote.state_name(name, "book"), BookState()).unlink)
        stack.callback(Kept.begin(remote.state_name(name, "bars"), BarsState()).unlink)
        stack.callback(Kept.begin(remote.state_name(name, "risk"), limits).unlink)
        ring: ringbus.RingBuffer[Trade | Quote] = ringbus.RingBuffer(
            Trade | Quote, capacity=CAPACITY, stamp=True, name=name, replace=True
        )
        stack.callback(ring.unlink)
        return stack.enter_context(ring)

    def _group(self, ring: ringbus.RingBuffer[Trade | Quote]) -> ringbus.ConsumerGroup[Trade | Quote]:
        group = ring.consumer_group("demo")
        group.add("book", remote.book, process=True, on_death="restart")
        group.add("bars", remote.bars, kinds=(Trade,), process=True, on_death="restart")
        group.add("risk", remote.risk, process=True, on_death="restart").depends_on("book", "bars")
        group.add("report", self.ledger.take, kinds=(Trade, Quote)).depends_on("risk")
        return group

    def _publish(self, group: ringbus.ConsumerGroup[Trade | Quote], rows: Sequence[Row], speed: float | None) -> bool:
        coming = iter(rows if speed is None else paced(rows, speed))
        hunting = self._hunting(group, islice(coming, len(rows) // 4)) if self._kill else ()
        try:
            publish(group.ring, chain(islice(coming, len(rows) // 2), hunting, coming), Trade, Quote)
        except KeyboardInterrupt:
            return True
        return False

    def _hunting(self, group: ringbus.ConsumerGroup[Trade | Quote], rows: Iterator[Row]) -> Iterator[Row]:
        """Pass the rows on, and kill in between: in the middle of a batch, or after the last of them."""
        consumer = group[self._kill or ""]
        (pid,) = consumer.pids
        watched = ringbus.attach(group.ring.name or "", Trade | Quote, read_only=True)
        for number, row in enumerate(rows):
            if self.death is None and number % _TRY_EVERY == 0 and _stopped_at_work(group, watched, consumer, pid):
                self._strike(group, consumer, pid)
            yield row
        if self.death is None:
            self._strike(group, consumer, pid)

    def _strike(self, group: ringbus.ConsumerGroup[Trade | Quote], consumer: ringbus.Consumer, pid: int) -> None:
        """Kill, and go on when the kernel says that it is dead."""
        start = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        while (figures := group.statistics().consumers[consumer.name]).pid == pid and figures.state in _THERE:
            time.sleep(_LOOK_SECONDS)
        self.death = Death(consumer.name, pid, group.ring.cursor + 1, figures.lag)
        self._watcher = threading.Thread(target=self._watch, args=(consumer, self.death, start), daemon=True)
        self._watcher.start()

    def _watch(self, consumer: ringbus.Consumer, death: Death, start: float) -> None:
        """Take the time until a successor has moved on."""
        left_at = death.published - 1 - death.behind
        while consumer.sequence == left_at:
            if self._over.wait(_LOOK_SECONDS):
                return
        death.gap_seconds = time.perf_counter() - start

    def _end_watch(self, *, seen: bool = False) -> None:
        """End the watch; when everything is handled that came after the kill, it has seen what it waits for."""
        if not seen:
            self._over.set()
        if self._watcher is not None:
            self._watcher.join()


def _stopped_at_work(
    group: ringbus.ConsumerGroup[Trade | Quote],
    watched: ringbus.RingBuffer[Trade | Quote],
    consumer: ringbus.Consumer,
    pid: int,
) -> bool:
    """Stop a process, and let it go on unless it has a batch in hand; whether it stands still."""
    at_work = False
    try:
        os.kill(pid, signal.SIGSTOP)
        for _ in range(10):  # it takes a moment until it does
            if group.statistics().consumers[consumer.name].state == "stopped":
                break
            time.sleep(0.0)
        at_work = _has_in_hand(watched, consumer)
    finally:
        if not at_work:
            os.kill(pid, signal.SIGCONT)
    return at_work


def _has_in_hand(watched: ringbus.RingBuffer[Trade | Quote], consumer: ringbus.Consumer) -> bool:
    """Whether it has begun with events that the ring does not know it to be done with."""
    kinds = (Trade,) if consumer.name == "bars" else (Trade, Quote)
    with watched.poller("look", gating=False, start=consumer.sequence + 1, kinds=kinds) as poller:
        event = poller.next(0.0)
        return event is not None and getattr(event, consumer.name) > 0


def _wait_until_there(group: ringbus.ConsumerGroup[Trade | Quote]) -> None:
    """Wait until every process has taken its place: how long Python takes to start is not the ring's."""
    while group.state == "running":
        consumers = group.statistics().consumers
        if all(consumers[name].state == "live" and consumers[name].pid != os.getpid() for name in KILLABLE):
            return
        time.sleep(_LOOK_SECONDS)
