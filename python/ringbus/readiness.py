"""Waiting on an event loop until a ring's publisher writes to an eventfd: no polling, no thread."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from ringbus import _core
from ringbus.errors import ConfigurationError


class Readiness:
    """One eventfd that a poller arms, and the wait for it on asyncio or trio."""

    def __init__(self, poller: _core.Poller) -> None:
        """Make the descriptor."""
        self._poller = poller
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    async def wait(self) -> None:
        """Return once the poller may have something, or its ring is closed.

        Raises:
            ConfigurationError: neither asyncio nor trio runs this.
        """
        if self._poller._arm(self._descriptor):
            await _checkpoint()
            return
        await _readable(self._descriptor)
        try:
            os.eventfd_read(self._descriptor)
        except BlockingIOError:
            return

    def notify(self) -> None:
        """End a wait."""
        if self._descriptor >= 0:
            os.eventfd_write(self._descriptor, 1)

    def close(self) -> None:
        """Close the descriptor; once."""
        if self._descriptor >= 0:
            self._poller._disarm(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


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
