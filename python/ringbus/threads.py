"""The threads of groups and sources, and the processors that they are bound to."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from ringbus.errors import ConfigurationError


class RunnerThread(threading.Thread):
    """A daemon whose end is known for certain.

    Before Python 3.13 a `join` that Ctrl-C interrupts marks its thread as ended while it runs on (gh-90882), and a
    group that believed it would give the slots back that a handler still reads.
    """

    def __init__(self, target: Callable[[], None], name: str) -> None:
        """Make it; `start` starts it."""
        super().__init__(target=target, name=name, daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        """Run the target."""
        try:
            super().run()
        finally:
            self._ended.set()

    def is_alive(self) -> bool:
        """Whether it was started and its target has not returned."""
        return self.ident is not None and not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the target, and then of the thread."""
        if self._ended.wait(timeout):
            super().join(timeout)


def cpus_of(name: str, cpu: int | Sequence[int] | None) -> tuple[int, ...]:
    """The processors that `cpu` names; none where it is None.

    Args:
        name: the consumer or source, for messages.
        cpu: a number, or one for each worker in turn.

    Raises:
        ConfigurationError: this process may not run there.
    """
    if cpu is None:
        return ()
    cpus = (cpu,) if isinstance(cpu, int) else tuple(cpu)
    allowed = os.sched_getaffinity(0)
    if not cpus or not set(cpus) <= allowed:
        remedy = f"this process may run on {', '.join(map(str, sorted(allowed)))}"
        raise ConfigurationError(f"{name!r} has cpu={cpu!r}", remedy)
    return cpus


def pinned(run: Callable[[], None], cpu: int | None) -> Callable[[], None]:
    """`run`, on a thread that is bound to the processor first; None binds it to none."""
    if cpu is None:
        return run

    def run_there() -> None:
        os.sched_setaffinity(0, {cpu})  # of this thread alone
        run()

    return run_there
