"""Waiting on an event loop until a ring's publisher writes to a descriptor: no polling, no thread.

Of a private ring it is an eventfd, of a shared one a fifo, which publishers in other processes find by its name.
The dead write nothing: a wait on a shared ring that lasts looks for them at an interval, as a thread's does.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
from typing import Any

from ringbus import _core
from ringbus.errors import ConfigurationError

_ONE = (1).to_bytes(8, sys.byteorder)
"""What an eventfd counts, and a fifo carries."""
_DRAIN = 4096
"""Bytes of one read: all that a fifo is likely to hold."""
_LOOK_EVERY = 0.025
"""Seconds between looks for the dead."""


class Readiness:
    """A descriptor that a poller arms, and the wait for it on asyncio or trio."""

    def __init__(self, poller: _core.Poller) -> None:
        """Make the descriptor."""
        self._poller = poller
        self._late = False
        self._descriptor = poller._open_watch()

    async def wait(self) -> None:
        """Return once the poller may have something, or its ring is closed, or it is time to call this again.

        Raises:
            ConfigurationError: neither asyncio nor trio runs this.
            PeerDiedError: a consumer that this one follows has died.
        """
        late, self._late = self._late, False
        if self._poller._arm(self._descriptor, late):
            await _checkpoint()
            return
        if not await _readable(self._descriptor, _LOOK_EVERY if self._poller.shared else None):
            self._late = True
            return
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, _DRAIN)

    def notify(self) -> None:
        """End a wait."""
        if self._descriptor >= 0:
            os.write(self._descriptor, _ONE)

    def close(self) -> None:
        """Close the descriptor; once."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            self._poller._close_watch(descriptor)

    def __del__(self) -> None:
        """Close the descriptor of a wait that nobody can begin any more."""
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


class LoopReader:
    """A consumer on an event loop: a poller, and the wait for it."""

    def __init__(self, poller: _core.Poller) -> None:
        """Read what the poller takes."""
        self._poller = poller
        self._readiness = Readiness(poller)

    @property
    def name(self) -> str:
        """Its name on the ring."""
        return self._poller.name

    @property
    def sequence(self) -> int:
        """The last sequence it is done with."""
        return self._poller.sequence

    @property
    def missed(self) -> int:
        """Events it was lapped by."""
        return self._poller.missed

    def _leave(self) -> None:
        self._readiness.close()
        if not self._poller.closed:
            self._poller.close()


def _trio() -> Any:
    """Trio's low level, if trio runs this task."""
    trio = sys.modules.get("trio")
    return trio.lowlevel if trio is not None and trio.lowlevel.in_trio_run() else None


def _asyncio() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError("no event loop that ringbus knows runs this", "use asyncio or trio") from None


async def _checkpoint() -> None:
    """Let other tasks run once."""
    trio = _trio()
    if trio is not None:
        await trio.checkpoint()
    else:
        _asyncio()
        await asyncio.sleep(0)


async def _readable(descriptor: int, seconds: float | None) -> bool:
    """Wait until it is readable; False when it is not after `seconds`."""
    trio = _trio()
    if trio is not None:
        with sys.modules["trio"].move_on_after(math.inf if seconds is None else seconds) as scope:
            await trio.wait_readable(descriptor)
        return not scope.cancelled_caught
    loop = _asyncio()
    ready: asyncio.Future[bool] = loop.create_future()

    def wake(readable: bool) -> None:
        if not ready.done():
            ready.set_result(readable)

    loop.add_reader(descriptor, wake, True)
    timer = None if seconds is None else loop.call_later(seconds, wake, False)
    try:
        return await ready
    finally:
        loop.remove_reader(descriptor)
        if timer is not None:
            timer.cancel()
