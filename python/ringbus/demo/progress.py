"""Progress on standard error: one moving line on a terminal, now and then a line of its own elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

_TERMINAL_SECONDS: Final = 0.1
_PLAIN_SECONDS: Final = 5.0
_PLAIN_FIRST_SECONDS: Final = 1.0


class Progress:
    """Says how far one step of the demo is.

    Threads: `show` is called by one thread at a time, `done` when it has ended.

    Args:
        stream: where to; None says nothing.
        what: the step.
        unit: what is counted.
        total: how many there will be; None when that is not known.
    """

    def __init__(self, stream: TextIO | None, what: str, unit: str, total: int | None = None) -> None:
        self._stream = stream
        self._what = what
        self._unit = unit
        self._total = total
        self._moving = stream is not None and stream.isatty()
        self._start = time.monotonic()
        self._next = self._start + (0.0 if self._moving else _PLAIN_FIRST_SECONDS)

    def show(self, count: int) -> None:
        """Say how far it is, if it was not said a moment ago.

        Args:
            count: how many are done.
        """
        now = time.monotonic()
        if self._stream is None or now < self._next:
            return
        self._next = now + (_TERMINAL_SECONDS if self._moving else _PLAIN_SECONDS)
        rate = count / max(now - self._start, 1e-9)
        self._write(f"{self._what}: {self._count(count)}, {rate:,.0f}/s")

    def done(self, count: int, unit: str | None = None) -> None:
        """Say that it has ended.

        Args:
            count: how many were done.
            unit: what was counted in the end, if not what was counted on the way.
        """
        if self._stream is not None:
            seconds = time.monotonic() - self._start
            self._write(f"{self._what}: {count:,} {unit or self._unit} in {seconds:.2f} s", last=True)

    def abandon(self) -> None:
        """Leave the moving line as it is and go to the next one."""
        if self._stream is not None and self._moving:
            print(file=self._stream, flush=True)

    def _count(self, count: int) -> str:
        if self._total is None:
            return f"{count:,} {self._unit}"
        return f"{count / max(self._total, 1):4.0%}, {count:,} of {self._total:,} {self._unit}"

    def _write(self, text: str, *, last: bool = False) -> None:
        if self._moving:
            print(f"\r{text:<78}", end="\n" if last else "", file=self._stream, flush=True)
        else:
            print(text, file=self._stream, flush=True)
