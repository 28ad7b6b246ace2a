"""The event loops that asynchronous code is tested on: asyncio, trio, and both by anyio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import trio

import ringbus
from support.events import PATIENCE
from support.ticks import publish

Main: TypeAlias = Callable[[], Awaitable[Any]]


def on_asyncio(main: Any) -> Any:
    """Run on asyncio."""
    return asyncio.run(main())


def on_trio(main: Main) -> Any:
    """Run on trio."""
    return trio.run(main)


def on_anyio_on_trio(main: Main) -> Any:
    """Run on trio by anyio."""
    return anyio.run(main, backend="trio")


def on_anyio_on_asyncio(main: Main) -> Any:
    """Run on asyncio by anyio."""
    return anyio.run(main, backend="asyncio")


LOOPS: tuple[Callable[[Any], Any], ...] = (on_asyncio, on_trio, on_anyio_on_trio, on_anyio_on_asyncio)
"""What runs a coroutine function to its end."""


def limited(loop: Callable[[Any], Any]) -> Callable[[Main], Any]:
    """Run coroutine functions on a loop; none of them waits for ever."""

    def run(main: Main) -> Any:
        async def within() -> Any:
            with anyio.fail_after(PATIENCE):
                return await main()

        return loop(within)

    return run


def publishing(ring: ringbus.RingBuffer[Any], count: int) -> threading.Thread:
    """A thread that publishes, then closes the ring."""

    def run() -> None:
        publish(ring, count)
        ring.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


async def until(holds: Callable[[], object]) -> None:
    """Let other tasks run until something holds that has no event of its own."""
    while not holds():
        await anyio.lowlevel.checkpoint()
