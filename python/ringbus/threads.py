"""The threads of a group."""

from __future__ import annotations

import threading
from collections.abc import Callable


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
