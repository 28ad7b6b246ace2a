"""The C library from Python by ctypes, in the process that made the ring: a producer in C, a consumer in Python."""

import ctypes

import ringbus


class Trade(ringbus.Event):
    price: float
    quantity: int


class Slots(ctypes.Structure):  # ringbus_slots
    _fields_ = (
        ("base", ctypes.c_void_p),
        ("mask", ctypes.c_uint64),
        ("stride", ctypes.c_uint64),
        ("event_offset", ctypes.c_uint64),
        ("stamp_offset", ctypes.c_int64),
        ("type_offset", ctypes.c_int64),
    )


class CTrade(ctypes.Structure):
    _fields_ = (("price", ctypes.c_double), ("quantity", ctypes.c_int64))


library = ctypes.CDLL(ringbus.get_library())
library.ringbus_claim.restype = ctypes.c_int64
library.ringbus_claim.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
library.ringbus_publish.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
library.ringbus_last_error.restype = ctypes.c_char_p


def checked(code: int) -> int:
    if code < 0:
        raise RuntimeError(library.ringbus_last_error().decode())
    return code


trades = ringbus.RingBuffer(Trade, 1024, name="example-17", replace=True)
ring, producer, slots = ctypes.c_void_p(), ctypes.c_void_p(), Slots()
checked(library.ringbus_attach(b"example-17", None, ctypes.byref(ring)))
checked(library.ringbus_get_slots(ring, ctypes.byref(slots)))
checked(library.ringbus_producer_open(ring, None, ctypes.byref(producer)))

with trades.poller("python") as poller:
    high = checked(library.ringbus_claim(producer, 3, -1))
    for sequence in range(high - 2, high + 1):
        event = slots.base + (sequence & slots.mask) * slots.stride + slots.event_offset
        trade = CTrade.from_address(event)
        trade.price, trade.quantity = 100.0 + sequence, 1
    checked(library.ringbus_publish(producer, high - 2, high))
    print([trade.price for trade in poller.take(10, timeout=5)])

checked(library.ringbus_producer_close(producer))
checked(library.ringbus_detach(ring))
trades.unlink()
