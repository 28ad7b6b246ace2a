"""The same pipeline on `multiprocessing.Queue`, for comparison: one queue for each reader, a process each.

It is the chain of `queues.py` over processes: book, bars and risk in one each, the feed and report in this one. Each
item goes through four queues, as a plain tuple, which is what pickles quickest. Nobody is killed here: whoever dies
takes the items that he had with him, and leaves a lock that he held locked.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ringbus.demo.events import Limits, Results
from ringbus.demo.handlers import Book, Risk
from ringbus.demo.pipeline import CAPACITY
from ringbus.demo.queues import PlainBars, PlainQuote, PlainTrade
from ringbus.errors import RemoteError
from ringbus.remote import ignore_interrupts, interrupts_held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue

    from ringbus.demo.progress import Progress
    from ringbus.demo.tape import Row

ItemQueue: TypeAlias = "Queue[tuple[Any, ...] | None]"

_TRADE = attrgetter(*PlainTrade.__slots__)
_QUOTE = attrgetter(*PlainQuote.__slots__)
STAGES: Final = ("book", "bars", "risk")


class _Stage:
    """What a process does: its consumer, and what that has found in the end.

    Args:
        name: which of STAGES it is.
        limits: when risk notes a breach.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self._name = name
        self._book, self._bars, self._risk = Book(), PlainBars(), Risk(limits)

    @property
    def handlers(self) -> tuple[Callable[[PlainTrade], None], Callable[[PlainQuote], None]]:
        """What it does with a trade, and with a quote."""
        if self._name == "bars":
            return self._bars.take, self._bars.take
        hand = self._book if self._name == "book" else self._risk
        return hand.trade, hand.quote

    def found(self) -> tuple[Any, ...]:
        """What its consumer has found."""
        self._bars.finish()
        book, risk = self._book, self._risk
        return {
            "book": (book.position, book.cash2 // 2, book.profit2),
            "bars": (tuple(self._bars.bars),),
            "risk": (risk.events, tuple(risk.breaches), risk.checksum),
        }[self._name]


def _serve(name: str, limits: Limits, inbox: ItemQueue, after: ItemQueue, owner: Connection) -> None:
    """Work until the end is seen, hand it on, and tell the owner; after an error, only empty the queue."""
    ignore_interrupts()
    owner.send(("ready",))
    stage = _Stage(name, limits)
    try:
        _work(stage, inbox, after)
        answer = ("found", stage.found())
    except Exception as error:  # noqa: BLE001  # raised again by the owner
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        answer = ("error", (kind, str(error), traceback.format_exc()))
        while inbox.get() is not None:
            pass
    after.put(None)
    owner.send(answer)


def _work(stage: _Stage, inbox: ItemQueue, after: ItemQueue) -> None:
    take, put = inbox.get, after.put
    handle_trade, handle_quote = stage.handlers
    while (item := take()) is not None:
        if item[0]:
            trade = PlainTrade(*item[1:])
            handle_trade(trade)
            put((True, *_TRADE(trade)))
        else:
            quote = PlainQuote(*item[1:])
            handle_quote(quote)
            put((False, *_QUOTE(quote)))


class ProcessQueuePipeline:
    """The chain of processes, for one run.

    Args:
        limits: when risk notes a breach.
        progress: where to say how far the run is.
    """

    def __init__(self, limits: Limits, progress: Progress) -> None:
        context = multiprocessing.get_context("spawn")
        self._progress = progress
        self._queues: list[ItemQueue] = [context.Queue(CAPACITY) for _ in range(len(STAGES) + 1)]
        self._owners: list[Connection] = []
        self._processes = []
        for place, name in enumerate(STAGES):
            here, there = context.Pipe()
            arguments = (name, limits, self._queues[place], self._queues[place + 1], there)
            self._owners.append(here)
            self._processes.append((context.Process(target=_serve, args=arguments, daemon=True), there))

    def run(self, rows: Sequence[Row]) -> tuple[Results, float]:
        """Send a tape through the queues and wait until every process has handled all of it.

        Args:
            rows: the events, see `Tape.rows`.

        Returns:
            The results, and the seconds from the first put to the end, without the start of the processes.

        Raises:
            RemoteError: when a consumer failed.
            EOFError: when a process died.
            KeyboardInterrupt: at Ctrl-C, at once.
        """
        try:
            for process, there in self._processes:
                with interrupts_held():
                    process.start()
                there.close()
            for owner in self._owners:
                owner.recv()
            start = time.perf_counter()
            answers = self._send(rows)
            return _results(answers), time.perf_counter() - start
        finally:
            self._end()

    def _send(self, rows: Sequence[Row]) -> list[Any]:
        report = threading.Thread(target=self._report, daemon=True)
        report.start()
        put = self._queues[0].put
        for row in rows:
            put(row)
        put(None)
        answers = [owner.recv() for owner in self._owners]
        report.join()
        return answers

    def _report(self) -> None:
        """Count what arrives at the end."""
        take, done = self._queues[-1].get, 0
        while take() is not None:
            done += 1
            if done % 1024 == 0:
                self._progress.show(done)

    def _end(self) -> None:
        """End the processes; what is still in a queue is of no use to anybody."""
        for queue in self._queues:
            queue.cancel_join_thread()
        for process, _ in self._processes:
            if process.pid is not None:
                process.terminate()
                process.join()


def _results(answers: list[Any]) -> Results:
    for word, found in answers:
        if word == "error":
            raise RemoteError(*found)
    (position, cash, profit2), (bars,), (events, breaches, checksum) = (found for _, found in answers)
    return Results(events, position, cash, profit2, bars, breaches, checksum)
