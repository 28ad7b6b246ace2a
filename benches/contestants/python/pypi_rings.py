"""More carriers from PyPI, in shared memory. Those that lose what is not read in time are for ping-pong alone."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from crew import CONTEXT
from named import Named, asking, idle
from options import Options


class MomentumX(Named):
    """momentumx in its synchronous mode: the sender waits for the receiver to give a buffer back."""

    BUFFERS = 64
    """It has room for some hundreds; more are not quicker."""
    POLL = 1e-5
    """Seconds between two looks of who waits; by itself it takes 10 ms."""

    def announce(self) -> None:
        momentumx = importlib.import_module("momentumx")
        buffers = min(self.capacity, self.BUFFERS)
        self._stream = momentumx.Producer(self.name, self.size, buffers, sync=True, polling_interval=self.POLL)

    def sender(self) -> Callable[[Any], object]:
        stream, claim = self._stream, self._stream.next_to_send

        def put(message: Any) -> None:
            while not stream.subscriber_count:
                os.sched_yield()
            buffer, size = claim(), len(message)
            memoryview(buffer)[:size] = message
            buffer.send(size)

        return put

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._stream = importlib.import_module("momentumx").Consumer(self.name, polling_interval=self.POLL)
        receive, blocking, rest = self._stream.receive, wait == "block", idle(wait)

        def get() -> bytes:
            while (buffer := receive(blocking=blocking)) is None:
                rest()
            data = bytes(memoryview(buffer))
            buffer.release()
            return data

        return get

    def close(self) -> None:
        if isinstance(self._stream, importlib.import_module("momentumx").Producer):
            self._stream.end()


class ShmComm(Named):
    """shm-comm: PUSH and PULL, by bytes; written in Python, its receivers take turns by a lock of a file."""

    def announce(self) -> None:
        self._port = importlib.import_module("shm_comm").Pusher(self.name, self.capacity + 1, self.size + 64)

    def sender(self) -> Callable[[Any], object]:
        send = self._port.send_bytes
        return lambda message: send(message if isinstance(message, bytes) else message.tobytes())

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._port = importlib.import_module("shm_comm").Puller(self.name)
        receive: Callable[[], Any] = self._port.recv_bytes
        return receive

    def close(self) -> None:
        self._port.close()


class SharedMemoryPair:
    """py-sharedmemory: objects in blocks of shared memory, their names through a queue of multiprocessing."""

    objects = True

    def __init__(self, options: Options, size: int) -> None:
        pair = importlib.import_module("py_sharedmemory").create_shared_memory_pair
        self.ends = pair(max(options.capacity * 64 // size, 8), ctx=CONTEXT)

    def announce(self) -> None:
        return

    def sender(self) -> Callable[[Any], object]:
        put: Callable[[Any], object] = self.ends[0].put
        return put

    def receiver(self, wait: str) -> Callable[[], Any]:
        get: Callable[[], Any] = self.ends[1].get
        return get

    def flush(self) -> None:
        self.ends[0].wait_for_all_ack()

    def close(self) -> None:
        for end in self.ends:
            end.close()


class Msgq(Named):
    """msgq: publish and subscribe; a receiver that is too far behind loses what it has not read."""

    def announce(self) -> None:
        self._port = importlib.import_module("msgq").pub_sock(self.name)

    def sender(self) -> Callable[[Any], object]:
        send: Callable[[Any], object] = self._port.send
        return send

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._port = importlib.import_module("msgq").sub_sock(self.name)
        receive = self._port.receive
        if wait == "spin":
            return asking(lambda: receive(non_blocking=True), wait)
        return asking(receive, wait)

    def close(self) -> None:
        for path in Path("/dev/shm").glob(f"msgq_{self.name}*"):
            path.unlink(missing_ok=True)


class SlickQueue(Named):
    """slick-queue-py: claimed and published by number; a receiver that is lapped loses what it has not read."""

    def _open(self) -> Any:
        module = importlib.import_module("slick_queue_py")
        return module.SlickQueue(name=self.name, size=self.capacity, element_size=self.size)

    def announce(self) -> None:
        self._queue = self._open()

    def sender(self) -> Callable[[Any], object]:
        queue = self._queue
        reserve, publish = queue.reserve, queue.publish

        def put(message: Any) -> None:
            number = reserve()
            queue[number][: len(message)] = message
            publish(number)

        return put

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._queue = self._open()
        read, place, rest = self._queue.read, 0, idle(wait)

        def get() -> Any:
            nonlocal place
            data, _size, place = read(place)
            while data is None:
                rest()
                data, _size, place = read(place)
            return data

        return get

    def close(self) -> None:
        self._queue.close()
        self._queue.unlink()


class GlobalBuffer(Named):
    """global-buffer: arrays of one shape; a receiver that is lapped loses what it has not read."""

    def announce(self) -> None:
        module = importlib.import_module("global_buffer")
        self._buffer = module.create(self.name, module.ArraySpec("u1", (self.size,)), self.capacity)

    def sender(self) -> Callable[[Any], object]:
        write = self._buffer.write
        return lambda message: write(np.frombuffer(message, np.uint8))

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._buffer = importlib.import_module("global_buffer").attach(self.name)
        get: Callable[[], Any] = self._buffer.next
        return get

    def close(self) -> None:
        importlib.import_module("global_buffer").unlink(self.name)
