"""Helpers of a measure, as threads or as processes: each is ready before the time begins, and answers at its end."""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

CONTEXT = multiprocessing.get_context("spawn")


class Line(Protocol):
    """One end of a line to a helper."""

    def send(self, what: Any, /) -> None:
        """Say something."""

    def recv(self) -> Any:
        """Hear something."""


class _ThreadLine:
    """A line inside the process."""

    def __init__(self, out: queue.SimpleQueue[Any], into: queue.SimpleQueue[Any]) -> None:
        self.send: Callable[[Any], None] = out.put
        self.recv: Callable[[], Any] = into.get


class Member:
    """A helper that has been started: `target(*arguments, line)`."""

    def __init__(self, target: Callable[..., None], arguments: tuple[Any, ...], *, process: bool) -> None:
        self._worker: Any
        self.line: Line
        there: Any
        if process:
            self.line, there = CONTEXT.Pipe()
            self._worker = CONTEXT.Process(target=target, args=(*arguments, there), daemon=True)
        else:
            one, other = queue.SimpleQueue[Any](), queue.SimpleQueue[Any]()
            self.line, there = _ThreadLine(one, other), _ThreadLine(other, one)
            self._worker = threading.Thread(target=target, args=(*arguments, there), daemon=True)
        self._worker.start()
        if process:
            there.close()

    def hear(self) -> Any:
        """What it says next."""
        return self.line.recv()

    def tell(self, what: Any) -> None:
        """Say something to it."""
        self.line.send(what)

    def join(self) -> None:
        """Wait for its end."""
        self._worker.join()


def hear_all(members: list[Member]) -> list[Any]:
    """What each says next."""
    return [member.hear() for member in members]


def tell_all(members: list[Member], what: Any) -> None:
    """Say the same to each."""
    for member in members:
        member.tell(what)
