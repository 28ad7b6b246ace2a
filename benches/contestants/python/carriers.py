"""Carriers: queues and pipes behind one pair of calls, from the standard library.

A carrier is made by one process and handed to the others; `sender` and `receiver` are called where they are used.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any, Protocol

import payloads
from crew import CONTEXT
from options import Answer, Options


class Carrier(Protocol):
    """One way from senders to receivers."""

    objects: bool
    """Whether it carries objects; otherwise bytes."""

    def announce(self) -> None:
        """Called by who will send, before anybody receives: the receivers find what they attach to."""

    def sender(self) -> Callable[[Any], object]:
        """The call that sends, and waits where it is full."""

    def receiver(self, wait: str) -> Callable[[], Any]:
        """The call that receives, and waits where it is empty."""

    def flush(self) -> None:
        """Called by a sender at its end: everything it sent is on its way."""

    def close(self) -> None:
        """Take away what would outlive the process."""


MakeCarrier = Callable[[Options, int], Carrier]
"""Makes a carrier of so many messages of so many bytes."""


class QueueCarrier:
    """Whatever has `put` and `get`."""

    def __init__(self, items: Any, *, objects: bool = True) -> None:
        self._items = items
        self.objects = objects

    def announce(self) -> None:
        return

    def sender(self) -> Callable[[Any], object]:
        put: Callable[[Any], object] = self._items.put
        return put

    def receiver(self, wait: str) -> Callable[[], Any]:
        get: Callable[[], Any] = self._items.get
        return get

    def flush(self) -> None:
        if hasattr(self._items, "join_thread"):
            self._items.close()
            self._items.join_thread()

    def close(self) -> None:
        return


class PipeCarrier:
    """`multiprocessing.Pipe`, one way, by pickled objects or by bytes."""

    def __init__(self, *, objects: bool) -> None:
        self._receiver, self._sender = CONTEXT.Pipe(duplex=False)
        self.objects = objects

    def announce(self) -> None:
        return

    def sender(self) -> Callable[[Any], object]:
        return self._sender.send if self.objects else self._sender.send_bytes

    def receiver(self, wait: str) -> Callable[[], Any]:
        receive = self._receiver.recv if self.objects else self._receiver.recv_bytes
        if wait == "block":
            return receive
        poll = self._receiver.poll

        def spin() -> Any:
            while not poll(0):
                pass
            return receive()

        return spin

    def flush(self) -> None:
        return

    def close(self) -> None:
        self._sender.close()
        self._receiver.close()


def bounded(options: Options, _size: int) -> Carrier:
    """`queue.Queue`."""
    return QueueCarrier(queue.Queue(options.capacity))


def simple(_options: Options, _size: int) -> Carrier:
    """`queue.SimpleQueue`, which is never full."""
    return QueueCarrier(queue.SimpleQueue())


def mp_queue(options: Options, size: int) -> Carrier:
    """`multiprocessing.Queue`, bounded by the bytes of as many messages as the ring has slots of 64 bytes."""
    return QueueCarrier(CONTEXT.Queue(max(options.capacity * 64 // size, 8)))


def mp_simple(_options: Options, _size: int) -> Carrier:
    """`multiprocessing.SimpleQueue`: a pipe and two locks."""
    return QueueCarrier(CONTEXT.SimpleQueue())


def pipe(_options: Options, _size: int) -> Carrier:
    """`Pipe` with pickled objects."""
    return PipeCarrier(objects=True)


def pipe_bytes(_options: Options, _size: int) -> Carrier:
    """`Pipe` with `send_bytes`."""
    return PipeCarrier(objects=False)


BETWEEN_THREADS: dict[str, MakeCarrier] = {"queue.Queue": bounded, "queue.SimpleQueue": simple}
BETWEEN_PROCESSES: dict[str, MakeCarrier] = {
    "multiprocessing.Queue": mp_queue,
    "multiprocessing.SimpleQueue": mp_simple,
    "multiprocessing.Pipe": pipe,
    "multiprocessing.Pipe, bytes": pipe_bytes,
}
SPINNING = ("multiprocessing.Pipe", "multiprocessing.Pipe, bytes")
"""Those that can be asked without waiting."""


def asyncio_fields(options: Options) -> Answer:
    """`asyncio.Queue` between two tasks of one loop."""

    async def main() -> Answer:
        items: asyncio.Queue[Any] = asyncio.Queue(options.capacity)
        await _pass(items, options.warm_up)
        begin = time.perf_counter()
        checksum = await _pass(items, options.events)
        return Answer(time.perf_counter() - begin, checksum, 1.0)

    return asyncio.run(main())


async def _pass(items: asyncio.Queue[Any], events: int) -> int:
    task = asyncio.create_task(_take(items, events))
    put, symbol, quantity = items.put, payloads.SYMBOL, payloads.QUANTITY
    for number in range(events):
        await put((symbol, number, float(number), quantity))
    return await task


async def _take(items: asyncio.Queue[Any], events: int) -> int:
    get, numbers, prices = items.get, 0, 0.0
    for _ in repeat(None, events):
        _symbol, number, price, _quantity = await get()
        numbers += number
        prices += price
    return numbers + int(prices)
