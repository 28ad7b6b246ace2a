"""Carriers from PyPI (requirements/bench.txt): those that are not installed are left out."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from carriers import Carrier, MakeCarrier, QueueCarrier
from options import Options

_NUMBERS = itertools.count()


def _fresh(kind: str) -> str:
    """A name that nobody else has."""
    return f"{kind}-{os.getpid()}-{next(_NUMBERS)}"


def _idle(wait: str) -> Callable[[], object]:
    """What a peer that can only be asked does between two questions."""
    return (lambda: None) if wait == "spin" else os.sched_yield


def _asking(ask: Callable[[], Any], wait: str) -> Callable[[], Any]:
    """Ask until there is something."""
    idle = _idle(wait)

    def get() -> Any:
        while (message := ask()) is None:
            idle()
        return message

    return get


def _insisting(offer: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Offer until it is taken."""

    def put(message: Any) -> None:
        while not offer(message):
            os.sched_yield()

    return put


class Named:
    """A carrier that is opened by its name in each process, when it is used there."""

    objects = False

    def __init__(self, options: Options, size: int) -> None:
        self.capacity, self.size = max(options.capacity * 64 // size, 8), size
        self.name = _fresh(type(self).__name__.lower())

    def flush(self) -> None:
        return

    def close(self) -> None:
        return


class Zmq(Named):
    """pyzmq: PUSH and PULL over ipc."""

    def __init__(self, options: Options, size: int) -> None:
        super().__init__(options, size)
        self.address = f"ipc://{Path(mkdtemp(prefix='ringbus-zmq-')) / 'socket'}"

    def sender(self) -> Callable[[Any], object]:
        zmq = importlib.import_module("zmq")
        socket = self._socket(zmq.PUSH)
        socket.set_hwm(self.capacity)
        socket.connect(self.address)
        send: Callable[[Any], object] = socket.send
        return send

    def receiver(self, wait: str) -> Callable[[], Any]:
        zmq = importlib.import_module("zmq")
        socket = self._socket(zmq.PULL)
        socket.set_hwm(self.capacity)
        socket.bind(self.address)
        receive: Callable[..., Any] = socket.recv
        if wait == "block":
            return receive

        def spin() -> Any:
            while True:
                try:
                    return receive(zmq.NOBLOCK)
                except zmq.Again:
                    pass

        return spin

    def _socket(self, kind: int) -> Any:
        self._context = importlib.import_module("zmq").Context()
        return self._context.socket(kind)

    def close(self) -> None:
        path = Path(self.address.removeprefix("ipc://"))
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


class Iceoryx2(Named):
    """iceoryx2: publish and subscribe with slices of bytes; a full subscriber holds the publisher up."""

    def __init__(self, options: Options, size: int) -> None:
        super().__init__(options, size)
        self._service = self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def _open(self) -> Any:
        iox = importlib.import_module("iceoryx2")
        iox.set_log_level_from_env_or(iox.LogLevel.Error)
        self._node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
        builder = self._node.service_builder(iox.ServiceName.new(self.name))
        builder = builder.publish_subscribe(iox.Slice[ctypes.c_uint8]).enable_safe_overflow(False)
        return builder.subscriber_max_buffer_size(self.capacity).max_publishers(1).max_subscribers(1).open_or_create()

    def sender(self) -> Callable[[Any], object]:
        iox = importlib.import_module("iceoryx2")
        self._service = self._open()
        builder = self._service.publisher_builder().initial_max_slice_len(self.size)
        self._port = builder.backpressure_strategy(iox.BackpressureStrategy.RetryUntilDelivered).create()
        loan, move = self._port.loan_slice_uninit, ctypes.memmove

        def put(message: Any) -> None:
            data = message if isinstance(message, bytes) else message.tobytes()
            sample = loan(len(data))
            move(sample.payload().data_ptr, data, len(data))
            sample.assume_init().send()

        return put

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._service = self._open()
        self._port = self._service.subscriber_builder().create()
        receive, string_at = self._port.receive, ctypes.string_at

        def ask() -> bytes | None:
            sample = receive()
            if sample is None:
                return None
            payload = sample.payload()
            data = string_at(payload.data_ptr, payload.number_of_elements)
            sample.delete()
            return data

        return _asking(ask, wait)


class Zeroq(Named):
    """zeroq: a queue of fixed elements in shared memory, written in Rust."""

    def __init__(self, options: Options, size: int) -> None:
        super().__init__(options, size)
        self._queue = importlib.import_module("zeroq").Queue(self.name, size, self.capacity)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def _open(self) -> Any:
        self._queue = importlib.import_module("zeroq").Queue(self.name, create=False)
        return self._queue

    def sender(self) -> Callable[[Any], object]:
        put: Callable[[Any], object] = self._open().put
        return lambda message: put(message if isinstance(message, bytes) else message.tobytes())

    def receiver(self, wait: str) -> Callable[[], Any]:
        opened = self._open()
        if wait == "block":
            get: Callable[[], Any] = opened.get
            return get
        empty, ask = importlib.import_module("zeroq").Empty, opened.get_nowait

        def spin() -> Any:
            while True:
                try:
                    return ask()
                except empty:
                    pass

        return spin


class Subetha(Named):
    """subetha: a ring of 64-byte slots between one producer and one consumer, in a file that both map."""

    def __init__(self, options: Options, size: int) -> None:
        super().__init__(options, size)
        self.path = f"/dev/shm/{self.name}"
        importlib.import_module("subetha").SpscRing(self.path, options.capacity)
        self.slots = options.capacity

    def _open(self) -> Any:
        self._ring = importlib.import_module("subetha").SpscRing.open(self.path, self.slots)
        return self._ring

    def sender(self) -> Callable[[Any], object]:
        return _insisting(self._open().push)

    def receiver(self, wait: str) -> Callable[[], Any]:
        return _asking(self._open().pop, wait)

    def close(self) -> None:
        for path in Path("/dev/shm").glob(f"{self.name}*"):
            path.unlink(missing_ok=True)


class Cloudtoid(Named):
    """cloudtoid-interprocess: a byte queue in shared memory, written in Rust; its receiver can wait."""

    def __init__(self, options: Options, size: int) -> None:
        super().__init__(options, size)
        self.bytes = max(options.capacity * 64, 8 * size)

    def sender(self) -> Callable[[Any], object]:
        self._port = importlib.import_module("cloudtoid_interprocess").Publisher(self.name, self.bytes)
        return _insisting(self._port.try_send)

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._port = importlib.import_module("cloudtoid_interprocess").Subscriber(self.name, self.bytes)
        if wait == "block":
            receive: Callable[[], Any] = self._port.receive
            return receive
        return _asking(self._port.try_receive, wait)


def faster_fifo(options: Options, size: int) -> Carrier:
    """faster-fifo with its own pickling; a `get` that waits longer than it does by itself is a failure here."""
    fifo = importlib.import_module("faster_fifo")
    return QueueCarrier(fifo.Queue(max(options.capacity * 64, 8 * size) * 4))


PEERS: dict[str, tuple[str, str, MakeCarrier, tuple[str, ...], bool]] = {
    "faster-fifo": ("faster-fifo", "faster_fifo", faster_fifo, ("block",), True),
    "pyzmq ipc": ("pyzmq", "zmq", Zmq, ("block", "spin"), True),
    "iceoryx2": ("iceoryx2", "iceoryx2", Iceoryx2, ("yield", "spin"), False),
    "zeroq": ("zeroq", "zeroq", Zeroq, ("block", "spin"), False),
    "subetha": ("subetha-ipc", "subetha", Subetha, ("yield", "spin"), False),
    "cloudtoid": ("cloudtoid-interprocess", "cloudtoid_interprocess", Cloudtoid, ("block", "spin"), True),
}
"""By name: distribution, module, how it is made, how it can wait, whether messages may be larger than 64 bytes."""


def installed() -> dict[str, tuple[MakeCarrier, tuple[str, ...], bool]]:
    """Those that are here, by their name with the version."""
    found: dict[str, tuple[MakeCarrier, tuple[str, ...], bool]] = {}
    for name, (distribution, module, make, waits, large) in PEERS.items():
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        if importlib.util.find_spec(module) is not None:
            found[f"{name} {version}"] = (make, waits, large)
    return found
