"""Waiting on an event loop until a ring's publisher writes to a descriptor: no polling, no thread.

Of a private ring it is an eventfd, of a shared one a fifo, which publishers in other processes find by its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Any

from ringbus import _core
from ringbus.errors import ConfigurationError

_ONE = (1).to_bytes(8, sys.byteorder)
"""What an eventfd counts, and a fifo carries."""
_DRAIN = 4096
"""Bytes of one read: all that a fifo is likely to hold."""


class Readiness:
    """A descriptor that a poller arms, and the wait for it on asyncio or trio."""

    def __init__(self, poller: _core.Poller) -> None:
        """Make the descriptor."""
        self._poller = poller
        self._descriptor = poller._open_watch()

    async def wait(self) -> None:
        """Return once the poller may have something, or its ring is closed.

        Raises:
            ConfigurationError: neither asyncio nor trio runs this.
        """
        if self._poller._arm(self._descriptor):
            await _checkpoint()
            return
        await _readable(self._descriptor)
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


async def _readable(descriptor: int) -> None:
    trio = _trio()
    if trio is not None:
        await trio.wait_readable(descriptor)
        return
    loop = _asyncio()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
