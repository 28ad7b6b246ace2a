"""Event classes with fields of every kind, for the tests of schemas."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import numpy as np

import ringbus
from ringbus.event import EventMeta

INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}


class Side(enum.Enum):
    """A side."""

    BUY = 1
    SELL = -1


class Level(enum.IntEnum):
    """A level."""

    LOW = 0
    HIGH = 255


class Rights(enum.Flag):
    """Rights, as flags."""

    READ = 1
    WRITE = 2


class Trade(ringbus.Event):
    """A trade."""

    symbol: str = ringbus.text(16)
    price: float
    quantity: float
    notional: float = 0.0


class Everything(ringbus.Event):
    """A field of every kind, each with a default."""

    name: str = ringbus.text(8, default="")
    data: bytes = ringbus.blob(6, default=b"")
    real: float = 0.0
    short: ringbus.float32 = 0.0
    whole: int = 0
    tiny: ringbus.int8 = 0
    flag: bool = False
    side: Side = Side.BUY
    level: Level = ringbus.field("u1", default=Level.LOW)
    rights: Rights = Rights.READ
    money: Decimal = ringbus.decimal(2, default=0)
    when: np.datetime64 = ringbus.field("datetime64[ns]", default=np.datetime64(0, "ns"))
    span: np.timedelta64 = ringbus.field("timedelta64[ns]", default=np.timedelta64(0, "ns"))
    half: np.float16 = ringbus.field("f2", default=np.float16(0))
    wave: complex = ringbus.field("c16", default=0j)
    label: str = ringbus.field("U4", default="")
    pair: np.void = ringbus.field([("x", "i4"), ("y", "i4")], default=(0, 0))
    grid: np.ndarray = ringbus.array("i4", (2, 3), default=np.zeros((2, 3), "i4"))
    line: np.ndarray = ringbus.array(float, 3, default=[0, 0, 0])


class Raises:
    """A number that fails to become one."""

    def __float__(self) -> float:
        raise ZeroDivisionError("from __float__")

    def __index__(self) -> int:
        raise ZeroDivisionError("from __index__")


class Half:
    """What becomes a half."""

    def __float__(self) -> float:
        return 0.5


def declared(annotation: object, value: object = None, name: str = "thing") -> Any:
    """An event class with one field."""
    body: dict[str, Any] = {"__annotations__": {name: annotation}, "__module__": __name__}
    if value is not None:
        body[name] = value
    return EventMeta("Bad", (ringbus.Event,), body)
