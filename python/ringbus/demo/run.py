"""The whole demo: the ring, the plain loop and the queues over one tape, one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringbus.demo.baseline import Loop
from ringbus.demo.pipeline import Pipeline, RingRun
from ringbus.demo.process_queues import ProcessQueuePipeline
from ringbus.demo.processes import ProcessPipeline
from ringbus.demo.progress import Progress
from ringbus.demo.queues import QueuePipeline

if TYPE_CHECKING:
    from typing import TextIO

    from ringbus.demo.events import Limits, Results
    from ringbus.demo.feed import FeedReport
    from ringbus.demo.tape import Row, Tape


@dataclass(frozen=True)
class Side:
    """A run without a ring.

    Args:
        results: its results.
        seconds: how long it took.
    """

    results: Results
    seconds: float


@dataclass
class Outcome:
    """What the demo found; filled step by step, so that an interrupted one can tell what it has.

    Args:
        tape: the tape.
        feed: how reading it went.
        speed: how many times as fast as its own clock it was replayed; None: as fast as possible.
        one_thread: whether one thread runs all consumers; otherwise each has its own.
        processes: whether book, bars and risk have a process each.
        kill: whose process is killed in the middle.
        ring: the run on the ring.
        loop: the plain loop over the events that were published.
        queue: the run on queue.Queue, or on multiprocessing.Queue.
        queue_note: why there is none.
        interrupted: what Ctrl-C came into: "ring", "loop" or "queue".
    """

    tape: Tape
    feed: FeedReport
    speed: float | None = None
    one_thread: bool = False
    processes: bool = False
    kill: str | None = None
    ring: RingRun | None = None
    loop: Side | None = None
    queue: Side | None = None
    queue_note: str = ""
    interrupted: str | None = None

    @property
    def queue_name(self) -> str:
        """Which queues the ring is beside."""
        return "multiprocessing.Queue" if self.processes else "queue.Queue"

    @property
    def lost(self) -> int:
        """Events that not every consumer has handled, as far as the run tells."""
        return self.ring.delivery.lost if self.ring and self.ring.delivery else 0

    @property
    def differences(self) -> dict[str, tuple[str, ...]]:
        """For each side that was compared with the plain loop, the names of the results that differ."""
        if self.loop is None or self.ring is None:
            return {}
        found = {"ring": self.ring.results.differences(self.loop.results)}
        if self.queue is not None:
            found[self.queue_name] = self.queue.results.differences(self.loop.results)
        return found

    @property
    def exit_code(self) -> int:
        """0 when the run was whole, nothing was lost and all results are equal, else 1."""
        differences = self.differences
        whole = self.interrupted is None and "ring" in differences and not self.lost
        return 0 if whole and not any(differences.values()) else 1


class Demo:
    """Runs one step after the other.

    Args:
        outcome: what is filled.
        limits: when risk notes a breach.
        stream: where progress goes; None: nowhere.
    """

    def __init__(self, outcome: Outcome, limits: Limits, stream: TextIO | None) -> None:
        self.outcome = outcome
        self._limits = limits
        self._stream = stream

    def run(self, *, with_queue: bool = True) -> Outcome:
        """Run all steps, or as many as Ctrl-C leaves time for.

        Args:
            with_queue: also run the pipeline on queues.

        Returns:
            The outcome.

        Raises:
            HandlerError: when a consumer failed.
        """
        step = "ring"
        try:
            rows = self.outcome.tape.rows()
            published = self._ring(rows)
            step = "loop"
            self._loop(rows[:published])
            step = "queue"
            self._queue(rows, with_queue=with_queue)
        except KeyboardInterrupt:
            self.outcome.interrupted = self.outcome.interrupted or step
        return self.outcome

    def _ring(self, rows: list[Row]) -> int:
        progress = Progress(self._stream, "ring", "events", len(rows))
        try:
            run = self._pipeline(progress).run(rows, self.outcome.speed)
        except BaseException:
            progress.abandon()
            raise
        progress.done(run.published)
        self.outcome.ring = run
        self.outcome.interrupted = "ring" if run.interrupted else None
        return run.published

    def _loop(self, rows: list[Row]) -> None:
        progress = Progress(self._stream, "plain loop", "events", len(rows))
        start = time.perf_counter()
        results = Loop(self._limits).run(rows)
        self.outcome.loop = Side(results, time.perf_counter() - start)
        progress.done(len(rows))

    def _queue(self, rows: list[Row], *, with_queue: bool) -> None:
        self.outcome.queue_note = self._why_no_queue(with_queue=with_queue)
        if self.outcome.queue_note:
            return
        progress = Progress(self._stream, self.outcome.queue_name, "events", len(rows))
        try:
            self.outcome.queue = Side(*self._queues(progress).run(rows))
        except BaseException:
            self.outcome.queue_note = "interrupted"
            progress.abandon()
            raise
        progress.done(len(rows))

    def _pipeline(self, progress: Progress) -> Pipeline | ProcessPipeline:
        if self.outcome.processes:
            return ProcessPipeline(self._limits, progress, self.outcome.kill)
        return Pipeline(self._limits, progress, one_thread=self.outcome.one_thread)

    def _queues(self, progress: Progress) -> QueuePipeline | ProcessQueuePipeline:
        if self.outcome.processes:
            return ProcessQueuePipeline(self._limits, progress)
        return QueuePipeline(self._limits, progress, one_thread=self.outcome.one_thread)

    def _why_no_queue(self, *, with_queue: bool) -> str:
        if not with_queue:
            return "left out (--no-queue)"
        if self.outcome.interrupted:
            return "left out (interrupted)"
        return "" if self.outcome.speed is None else "left out (with --speed the tape's own clock sets the rate)"
