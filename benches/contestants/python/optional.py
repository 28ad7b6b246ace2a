"""Carriers from PyPI (requirements/bench.txt): those that are not installed are left out."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from carriers import Carrier, MakeCarrier, QueueCarrier
from named import Named, asking, insisting
from options import Options
from pypi_rings import GlobalBuffer, MomentumX, Msgq, SharedMemoryPair, ShmComm, SlickQueue


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

        return asking(ask, wait)


class Zeroq(Named):
    """zeroq: a queue of fixed elements in shared memory, written in Rust."""

    def __init__(self, options: Options, size: int) -> None:
        super().__init__(options, size)
        self._queue = importlib.import_module("zeroq").Queue(self.name, size, self.capacity)

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
        return insisting(self._open().push)

    def receiver(self, wait: str) -> Callable[[], Any]:
        return asking(self._open().pop, wait)

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
        return insisting(self._port.try_send)

    def receiver(self, wait: str) -> Callable[[], Any]:
        self._port = importlib.import_module("cloudtoid_interprocess").Subscriber(self.name, self.bytes)
        if wait == "block":
            receive: Callable[[], Any] = self._port.receive
            return receive
        return asking(self._port.try_receive, wait)


def faster_fifo(options: Options, size: int) -> Carrier:
    """faster-fifo with its own pickling; a `get` that waits longer than it does by itself is a failure here."""
    fifo = importlib.import_module("faster_fifo")
    return QueueCarrier(fifo.Queue(max(options.capacity * 64, 8 * size) * 4))


SMALL = ("fields", "bytes", "fan4")
FIXED = ("fields", "bytes", "rows", "columns")
ALL = (*FIXED, "dict", "fan4")
"""What is sent: names of scenarios between processes."""

Peer = tuple[MakeCarrier, tuple[str, ...], tuple[str, ...]]
"""How it is made, how it can wait, what it carries in streams; nothing where it loses what is not read in time."""

PEERS: dict[tuple[str, str], Peer] = {
    ("faster-fifo", "faster_fifo"): (faster_fifo, ("block",), ALL),
    ("pyzmq", "zmq"): (Zmq, ("block", "spin"), ALL),
    ("iceoryx2", "iceoryx2"): (Iceoryx2, ("yield", "spin"), SMALL),
    ("zeroq", "zeroq"): (Zeroq, ("block", "spin"), SMALL),
    ("subetha-ipc", "subetha"): (Subetha, ("yield", "spin"), SMALL),
    ("cloudtoid-interprocess", "cloudtoid_interprocess"): (Cloudtoid, ("block", "spin"), ALL),
    ("momentumx", "momentumx"): (MomentumX, ("block", "spin"), FIXED),
    ("shm-comm", "shm_comm"): (ShmComm, ("block",), ("fields", "rows")),
    ("py-sharedmemory", "py_sharedmemory"): (SharedMemoryPair, ("block",), ("rows", "columns")),
    ("msgq-ipc", "msgq"): (Msgq, ("block", "spin"), ()),
    ("slick-queue-py", "slick_queue_py"): (SlickQueue, ("yield", "spin"), ()),
    ("global-buffer", "global_buffer"): (GlobalBuffer, ("block",), ()),
}
"""By distribution and module."""

NAMES = {"pyzmq": "pyzmq ipc", "subetha-ipc": "subetha", "cloudtoid-interprocess": "cloudtoid"}
"""What the tables call them, where it is not the distribution."""


def installed() -> dict[str, Peer]:
    """Those that are here, by their name with the version."""
    found: dict[str, Peer] = {}
    for (distribution, module), peer in PEERS.items():
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        if importlib.util.find_spec(module) is not None:
            found[f"{NAMES.get(distribution, distribution)} {version}"] = peer
    return found
