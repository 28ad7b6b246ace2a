"""The threads and the tasks that the runners of a group run on."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ringbus import _core
from ringbus.asynchronous import AsyncProcessor
from ringbus.deadline import Deadline
from ringbus.errors import ConfigurationError
from ringbus.runners import Runner
from ringbus.threads import RunnerThread, pinned

if TYPE_CHECKING:
    from ringbus.group import ConsumerGroup

_LOOK = 0.005
"""Seconds between looks at tasks of another thread's loop."""


class Crew:
    """Starts and joins them. Does not keep the group alive, as they must not.

    Attributes:
        threads: those that were started.
        tasks: those that were started.
        started: the runners, kept by their threads and tasks alone.
        lock: held while a thread is started, or the last one is counted off.
    """

    def __init__(self, group: ConsumerGroup[Any]) -> None:
        """Begin without any."""
        self._group = weakref.ref(group)
        self._name = group.name
        self._failures = group.failures
        self._alive = 0
        self._cpus: dict[str, int] = {}
        self.threads: list[RunnerThread] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.started: weakref.WeakSet[Runner] = weakref.WeakSet()
        self.lock = threading.RLock()

    def pin(self, runners: Sequence[Runner], cpus: Sequence[int]) -> None:
        """Bind the threads of these runners to processors, in turn."""
        self._cpus |= {runner.name: cpus[number % len(cpus)] for number, runner in enumerate(runners)}

    def start(self, runners: Iterable[Runner]) -> None:
        """Start a thread for each, or a task."""
        for runner in runners:
            self.started.add(runner)
            if isinstance(runner, AsyncProcessor):
                self._start_task(runner)
            else:
                self._start_thread(pinned(runner.run, self._cpus.get(runner.name)), runner.name)

    def start_all(self, runners: Sequence[Any], *, on_one: bool) -> None:
        """Start each, or one thread for all, which runs them in this order."""
        if not on_one:
            self.start(runners)
            return
        self.started.update(runners)
        self._start_thread(lambda: _core.run_serial(runners), "all")

    def check_can_start(self, runners: Iterable[Runner], *, on_one: bool) -> None:
        """Check that async handlers have a loop, and none is to share a thread.

        Raises:
            ConfigurationError: one has not, or is.
        """
        for runner in runners:
            if isinstance(runner, AsyncProcessor):
                if on_one:
                    raise ConfigurationError(f"{runner.name!r} is an async handler", "leave threads=1 out")
                runner.loop()

    def _start_task(self, runner: AsyncProcessor) -> None:
        task = runner.start()
        self.tasks.append(task)
        self._alive += 1
        task.add_done_callback(self._failures.noted(self._group))

    def _start_thread(self, run: Callable[[], None], name: str) -> None:
        target = self._failures.guarded(self._group, run, name)
        thread = RunnerThread(target, self._thread_name(name))
        with self.lock:  # so that nobody joins a thread that is not started yet
            self.threads.append(thread)
            self._alive += 1
            try:
                thread.start()
            except BaseException:
                if thread.ident is None:
                    self.threads.remove(thread)
                    self._alive -= 1
                raise

    def _thread_name(self, name: str) -> str:
        return f"ringbus-{self._name}-{name}"

    def count_off(self) -> bool:
        """One thread or task has ended; whether it was the last."""
        self._alive -= 1
        return self._alive == 0

    def moves(self, runner: Runner) -> bool:
        """Whether somebody still moves it on: a thread that ended without a failure was halted."""
        if isinstance(runner, AsyncProcessor):
            return any(not task.done() for task in self.tasks)
        return any(thread.is_alive() for thread in self.threads)

    def alive(self) -> list[str]:
        """The names of the threads that run."""
        return [thread.name for thread in self.threads if thread.is_alive()]

    def on_own_thread(self) -> bool:
        """Whether one of its threads calls this."""
        return threading.current_thread() in self.threads

    def on_own_loop(self) -> bool:
        """Whether the event loop of this thread has tasks of it that are not done."""
        loop = running_loop() if self.tasks else None
        return loop is not None and any(not task.done() and task.get_loop() is loop for task in self.tasks)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the threads and then the tasks to end; False on a time-out."""
        deadline = Deadline(timeout)
        self.join_threads(timeout)
        return not self.alive() and self.join_tasks(deadline)

    def join_threads(self, timeout: float | None = None) -> None:
        """Wait for the threads to end, but for the one that calls this."""
        with self.lock:
            threads = list(self.threads)
        _join(threads, timeout)

    def join_tasks(self, deadline: Deadline | None = None) -> bool:
        """Wait for the tasks, on a thread that is not their loop's; False on a time-out."""
        deadline = deadline or Deadline(None)
        while any(not task.done() and not task.get_loop().is_closed() for task in self.tasks):
            if deadline.is_over:
                return False
            time.sleep(deadline.slice(_LOOK))
        return True

    async def end_tasks(self, *, cancel: bool) -> None:
        """Wait for the tasks on their own loop, cancelled first or not."""
        for task in self.tasks if cancel else ():
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def let_go(self, runners: Iterable[Runner]) -> None:
        """Wait for the threads of some runners to end, and forget all that have ended."""
        names = {self._thread_name(runner.name) for runner in runners}
        _join([thread for thread in self.threads if thread.name in names])
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        self.tasks = [task for task in self.tasks if not task.done()]


def _join(threads: Iterable[RunnerThread], timeout: float | None = None) -> None:
    deadline = Deadline(timeout)
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(deadline.left())


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs the caller, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
