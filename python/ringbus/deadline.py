"""The moment at which a wait is over."""

from __future__ import annotations

import time


class Deadline:
    """So many seconds from now on; never, with None."""

    __slots__ = ("_end",)

    def __init__(self, timeout: float | None) -> None:
        """Begin to count."""
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end

    def left(self) -> float | None:
        """The seconds that are left, at least 0; None where it never ends."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def slice(self, longest: float) -> float:
        """The seconds that are left, but `longest` at the most."""
        left = self.left()
        return longest if left is None else min(longest, left)
