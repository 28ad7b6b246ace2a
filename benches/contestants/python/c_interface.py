"""The C interface of ringbus (ringbus.h) from Python, and from functions that Numba compiles.

The library is loaded with its names open to all, so that machine code finds them.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int64, c_uint32, c_uint64, c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

import ringbus

_KINDS = {"block": 0, "spin": 1, "yield": 2}

LIBRARY = ctypes.CDLL(str(ringbus.get_library()), mode=ctypes.RTLD_GLOBAL)
LIBRARY.ringbus_last_error.restype = c_char_p


class Wait(ctypes.Structure):
    """`ringbus_wait`."""

    _fields_ = (("kind", c_uint32), ("spins", c_uint32), ("first_ns", c_uint64), ("second_ns", c_uint64))


class ConsumerOptions(ctypes.Structure):
    """`ringbus_consumer_options`."""

    _fields_ = (
        ("size", c_uint64),
        ("flags", c_uint64),
        ("absent_limit", c_uint64),
        ("start", c_uint64),
        ("start_at", c_int64),
        ("depends_on", POINTER(c_char_p)),
        ("depends_on_count", c_uint64),
        ("wait", Wait),
    )


class Slots(ctypes.Structure):
    """`ringbus_slots`."""

    _fields_ = (
        ("base", c_void_p),
        ("mask", c_uint64),
        ("stride", c_uint64),
        ("event_offset", c_uint64),
        ("stamp_offset", c_int64),
        ("type_offset", c_int64),
    )


class Attached:
    """A shared ring that this process takes part in by the C interface.

    Attributes:
        slots: where the slots are, for machine code: the first event, the mask, the stride.
    """

    def __init__(self, name: str) -> None:
        self._ring, slots = c_void_p(), Slots()
        _check(LIBRARY.ringbus_attach(name.encode(), None, byref(self._ring)))
        _check(LIBRARY.ringbus_get_slots(self._ring, byref(slots)))
        places = (slots.base + slots.event_offset, slots.mask, slots.stride)
        self.slots: npt.NDArray[np.int64] = np.array(places, np.int64)

    def producer(self, wait: str) -> int:
        """The address of a new producer."""
        handle, how = c_void_p(), Wait(_KINDS[wait])
        _check(LIBRARY.ringbus_producer_open(self._ring, byref(how), byref(handle)))
        return int(handle.value or 0)

    def consumer(self, name: str, wait: str) -> int:
        """The address of a new consumer."""
        handle, options = c_void_p(), ConsumerOptions(wait=Wait(_KINDS[wait]))
        options.size = ctypes.sizeof(options)
        _check(LIBRARY.ringbus_join(self._ring, name.encode(), byref(options), byref(handle)))
        return int(handle.value or 0)


def close_producer(producer: int) -> None:
    """Give a producer's place back."""
    _check(LIBRARY.ringbus_producer_close(c_void_p(producer)))


def leave(consumer: int) -> None:
    """Give a consumer's place back."""
    _check(LIBRARY.ringbus_leave(c_void_p(consumer)))


def _check(code: int) -> None:
    if code < 0:
        raise OSError(f"{code}: {LIBRARY.ringbus_last_error().decode()}")


def _external(name: str, result: Any, *arguments: Any) -> Any:
    return types.ExternalFunction(name, result(*arguments))


claim = _external("ringbus_claim", types.int64, types.int64, types.int64, types.int64)
"""`claim(producer, count, timeout_ns)`: the highest sequence."""
publish = _external("ringbus_publish", types.int32, types.int64, types.int64, types.int64)
"""`publish(producer, low, high)`."""
wait_for = _external("ringbus_wait_for", types.int64, types.int64, types.int64, types.int64, types.uintp)
"""`wait_for(consumer, limit, timeout_ns, address of the first sequence)`: how many."""
commit = _external("ringbus_commit", types.int32, types.int64, types.int64)
"""`commit(consumer, last)`."""
clock_gettime = _external("clock_gettime", types.int32, types.int32, types.uintp)
clock_nanosleep = _external("clock_nanosleep", types.int32, types.int32, types.int32, types.uintp, types.uintp)
