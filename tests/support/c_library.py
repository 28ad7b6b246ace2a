"""libringbus.so by ctypes: its structures and functions as `ringbus.h` has them, and handles that close themselves."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ringbus

HEADER = Path(ringbus.get_include()) / "ringbus.h"
CODES = {
    name: int(value)
    for name, value in re.findall(r"^    (RINGBUS_\w+) = (-?\d+)", HEADER.read_text("utf-8"), re.MULTILINE)
}
"""Every number of every enumeration of the header."""
FOREVER = -1
SECOND = 1_000_000_000

Handle = ctypes.c_void_p
_Int = ctypes.c_int64
_Code = ctypes.c_int32


class Wait(ctypes.Structure):
    """ringbus_wait."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("spins", ctypes.c_uint32),
        ("first_ns", ctypes.c_uint64),
        ("second_ns", ctypes.c_uint64),
    )


class AttachOptions(ctypes.Structure):
    """ringbus_attach_options."""

    _fields_ = (
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wait_ns", ctypes.c_int64),
        ("schema_hash", ctypes.c_uint64),
    )


class Info(ctypes.Structure):
    """ringbus_info."""

    _fields_ = (
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("capacity", ctypes.c_uint64),
        ("slot_bytes", ctypes.c_uint64),
        ("event_offset", ctypes.c_uint64),
        ("start", ctypes.c_int64),
        ("schema_hash", ctypes.c_uint64),
        ("instance", ctypes.c_uint64),
    )


class Slots(ctypes.Structure):
    """ringbus_slots."""

    _fields_ = (
        ("base", ctypes.c_void_p),
        ("mask", ctypes.c_uint64),
        ("stride", ctypes.c_uint64),
        ("event_offset", ctypes.c_uint64),
        ("stamp_offset", ctypes.c_int64),
        ("type_offset", ctypes.c_int64),
    )

    def slot(self, sequence: int) -> int:
        """The address of a slot."""
        return int(self.base) + (sequence & self.mask) * self.stride

    def event(self, sequence: int) -> int:
        """The address of an event."""
        return self.slot(sequence) + int(self.event_offset)


class ConsumerOptions(ctypes.Structure):
    """ringbus_consumer_options."""

    _fields_ = (
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("absent_limit", ctypes.c_uint64),
        ("start", ctypes.c_uint64),
        ("start_at", ctypes.c_int64),
        ("depends_on", ctypes.POINTER(ctypes.c_char_p)),
        ("depends_on_count", ctypes.c_uint64),
        ("wait", Wait),
    )


FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "abi_version": (ctypes.c_uint32, ()),
    "version": (ctypes.c_char_p, ()),
    "last_error": (ctypes.c_char_p, ()),
    "code_name": (ctypes.c_char_p, (_Int,)),
    "attach": (_Code, (ctypes.c_char_p, ctypes.POINTER(AttachOptions), ctypes.POINTER(Handle))),
    "detach": (_Code, (Handle,)),
    "get_info": (_Code, (Handle, ctypes.POINTER(Info))),
    "get_slots": (_Code, (Handle, ctypes.POINTER(Slots))),
    "schema": (ctypes.c_char_p, (Handle,)),
    "cursor": (_Int, (Handle,)),
    "remaining_capacity": (_Int, (Handle,)),
    "alert": (_Code, (Handle,)),
    "clear_alert": (_Code, (Handle,)),
    "producer_open": (_Code, (Handle, ctypes.POINTER(Wait), ctypes.POINTER(Handle))),
    "producer_close": (_Code, (Handle,)),
    "claim": (_Int, (Handle, _Int, _Int)),
    "try_claim": (_Int, (Handle, _Int)),
    "publish": (_Code, (Handle, _Int, _Int)),
    "abort": (_Code, (Handle, _Int, _Int)),
    "join": (_Code, (Handle, ctypes.c_char_p, ctypes.POINTER(ConsumerOptions), ctypes.POINTER(Handle))),
    "leave": (_Code, (Handle,)),
    "part": (_Code, (Handle,)),
    "poll": (_Int, (Handle, _Int, ctypes.POINTER(_Int))),
    "wait_for": (_Int, (Handle, _Int, _Int, ctypes.POINTER(_Int))),
    "commit": (_Code, (Handle, _Int)),
    "read": (_Code, (Handle, _Int, ctypes.c_void_p)),
    "sequence": (_Int, (Handle,)),
    "missed": (_Int, (Handle,)),
}
"""Each function of the header without its prefix: what it returns, and what it takes."""


class CError(Exception):
    """A code that a function returned, by its name, and what ringbus_last_error said."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


def load(path: str) -> ctypes.CDLL:
    """Load the library at `path`, each function with its types."""
    library = ctypes.CDLL(path)
    for name, (returned, taken) in FUNCTIONS.items():
        function = getattr(library, f"ringbus_{name}")
        function.restype, function.argtypes = returned, taken
    return library


LIBRARY = load(ringbus.get_library())


def call(name: str, *arguments: Any) -> int:
    """Call a function; what it returned, where that is no code."""
    result = int(getattr(LIBRARY, f"ringbus_{name}")(*arguments))
    if result < 0:
        raise CError(LIBRARY.ringbus_code_name(result).decode(), LIBRARY.ringbus_last_error().decode())
    return result


class Consumer:
    """A consumer of the C interface."""

    def __init__(self, ring: Ring, name: str, options: ConsumerOptions) -> None:
        self.handle, self._slots, self._first = Handle(), ring.slots, _Int()
        call("join", ring.handle, name.encode(), options, self.handle)

    def poll(self, limit: int = 1000) -> list[int]:
        """The sequences that are there now."""
        return self._shown(call("poll", self.handle, limit, self._first))

    def wait_for(self, limit: int = 1000, timeout_ns: int = 10 * SECOND) -> list[int]:
        """The sequences that are there, after a wait."""
        return self._shown(call("wait_for", self.handle, limit, timeout_ns, self._first))

    def _shown(self, count: int) -> list[int]:
        return list(range(self._first.value, self._first.value + count))

    def commit(self, last: int) -> None:
        """Is done with what was shown up to `last`."""
        call("commit", self.handle, last)

    def values(self, sequences: Sequence[int]) -> list[int]:
        """The 64-bit numbers that begin these events."""
        return [ctypes.c_int64.from_address(self._slots.event(sequence)).value for sequence in sequences]

    def take(self, limit: int = 1000) -> list[int]:
        """The numbers of what is there after a wait, done with."""
        sequences = self.wait_for(limit)
        values = self.values(sequences)
        self.commit(sequences[-1])
        return values

    def read(self, sequence: int) -> int:
        """The number that begins the event, from a copy of its slot."""
        slot = (ctypes.c_uint64 * (self._slots.stride // 8))()
        call("read", self.handle, sequence, slot)
        return ctypes.c_int64.from_buffer(slot, self._slots.event_offset).value


class Producer:
    """A producer of the C interface."""

    def __init__(self, ring: Ring, wait: Wait | None) -> None:
        self.handle, self._slots = Handle(), ring.slots
        call("producer_open", ring.handle, wait, self.handle)

    def claim(self, count: int = 1, timeout_ns: int = 10 * SECOND) -> tuple[int, int]:
        """The first and the last sequence of a claim."""
        high = call("claim", self.handle, count, timeout_ns)
        return high - count + 1, high

    def try_claim(self, count: int = 1) -> int:
        """The last sequence of a claim that did not wait."""
        return call("try_claim", self.handle, count)

    def publish(self, *values: int) -> None:
        """Publish events that begin with these numbers, in one claim."""
        low, high = self.claim(len(values))
        for sequence, value in zip(range(low, high + 1), values, strict=True):
            ctypes.c_int64.from_address(self._slots.event(sequence)).value = value
        call("publish", self.handle, low, high)


class Ring:
    """A ring of the C interface."""

    def __init__(self, name: str, options: AttachOptions | None) -> None:
        self.handle, self.slots, self.info = Handle(), Slots(), Info(size=ctypes.sizeof(Info))
        call("attach", name.encode(), options, self.handle)
        call("get_slots", self.handle, self.slots)
        call("get_info", self.handle, self.info)

    @contextmanager
    def consumer(
        self, name: str, *, depends_on: Sequence[str] = (), wait: Wait | None = None, **options: int
    ) -> Iterator[Consumer]:
        """Join as a consumer, until the `with` ends."""
        names = (ctypes.c_char_p * len(depends_on))(*(name.encode() for name in depends_on))
        options = {"size": ctypes.sizeof(ConsumerOptions), "depends_on_count": len(depends_on), **options}
        consumer = Consumer(self, name, ConsumerOptions(**options, depends_on=names, wait=wait or Wait()))
        yield consumer
        call("leave", consumer.handle)

    @contextmanager
    def producer(self, wait: Wait | None = None) -> Iterator[Producer]:
        """Become a producer, until the `with` ends."""
        producer = Producer(self, wait)
        yield producer
        call("producer_close", producer.handle)


@contextmanager
def attached(name: str, **options: int) -> Iterator[Ring]:
    """Attach to a ring, until the `with` ends."""
    ring = Ring(name, AttachOptions(**{"size": ctypes.sizeof(AttachOptions), **options}))
    yield ring
    call("detach", ring.handle)
