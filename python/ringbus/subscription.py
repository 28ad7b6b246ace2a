"""`async for event in ring.subscribe(name)`: a consumer on the caller's event loop."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Generic, Self, cast

from ringbus.errors import ForkedError
from ringbus.generics import E
from ringbus.poller import EventPoller
from ringbus.readiness import LoopReader

_BURST = 256
"""Events handed out before other tasks of the loop are let run."""


class Subscription(LoopReader, Generic[E]):
    """An asynchronous iterator over the events of a ring. Made by `RingBuffer.subscribe`.

    It ends when the ring is closed and everything was taken. It gates the producers until it is closed: by
    the end of the iteration, by `aclose`, or as an `async with`. Runs on asyncio and on trio (also by anyio).
    """

    def __init__(self, poller: EventPoller[E]) -> None:
        """Iterate over what the poller takes."""
        super().__init__(poller)
        self._burst = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Return the next event, an object of its own; it counts as done with at the next call."""
        while True:
            self._burst += 1
            if self._burst < _BURST:
                closed = self._poller.ring_closed
                event = self._poller._try_next()
                if event is not None:
                    return cast("E", event)
                if closed:
                    break
            self._burst = 0
            await self._readiness.wait()
        self.close()
        raise StopAsyncIteration

    def close(self) -> None:
        """Leave the ring: producers do not wait for it any more."""
        self._leave()

    async def aclose(self) -> None:
        """Leave the ring, as `close` does."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ForkedError:
            if error is None:
                raise

    def __del__(self) -> None:
        """Leave the ring when nobody iterates any more."""
        if hasattr(self, "_readiness"):
            with contextlib.suppress(ForkedError):
                self.close()
