"""What type checkers know of events: the constructor, the fields, and what is refused."""

from __future__ import annotations

import enum
from decimal import Decimal
from types import UnionType
from typing import Any, ClassVar, assert_type

import numpy as np
import numpy.typing as npt

import ringbus


class Side(enum.Enum):
    BUY = 1
    SELL = 2


class Trade(ringbus.Event):
    symbol: str = ringbus.text(16)
    price: float
    quantity: float
    notional: float = 0.0

    def compute(self) -> float:
        self.notional = self.price * self.quantity
        return self.notional


class Fill(Trade):
    fee: ringbus.float32 = 0.0
    lots: ringbus.uint16 = 1
    side: Side = ringbus.field("i1", default=Side.BUY)
    money: Decimal = ringbus.decimal(2, default=0)
    note: bytes = ringbus.blob(8, default=b"")
    when: np.datetime64 = ringbus.field("datetime64[ns]", default=np.datetime64(0, "ns"))
    levels: npt.NDArray[np.float64] = ringbus.array("f8", 3, default=[0.0, 0.0, 0.0])
    venue: ClassVar[str] = "X"


class Sized(ringbus.Event):
    size: ringbus.int32
    flag: bool
    name: str = ringbus.text(8)


def fields_are_given_by_name() -> None:
    assert_type(Trade(symbol="X", price=1.0, quantity=2.0), Trade)
    Trade(symbol="X", price=1, quantity=2, notional=3)
    Fill(symbol="X", price=1.0, quantity=2.0, fee=0.5, lots=3, side=Side.SELL, money=Decimal(1), note=b"x")
    Trade("X", 1.0, 2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Trade(symbol="X", price=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Trade(symbol="X", prise=1.0, quantity=2.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Trade(symbol=1, price=1.0, quantity=2.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Trade(symbol="X", price="1", quantity=2.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Fill(symbol="X", price=1.0, quantity=2.0, venue="Y")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_declaration_without_a_default_makes_a_field_required() -> None:
    Sized(size=1, flag=True, name="a")
    Sized(size=1, flag=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Sized(size=1.5, flag=True, name="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def fields_have_their_types(trade: Trade, fill: Fill, sized: Sized) -> None:
    assert_type(trade.symbol, str)
    assert_type(trade.price, float)
    assert_type(fill.price, float)
    assert_type(fill.fee, float)
    assert_type(fill.lots, int)
    assert_type(fill.side, Side)
    assert_type(fill.money, Decimal)
    assert_type(fill.note, bytes)
    assert_type(fill.levels, npt.NDArray[np.float64])
    assert_type(sized.size, int)
    assert_type(sized.flag, bool)
    assert_type(trade.compute(), float)
    assert_type(trade.published_ns, int)
    trade.price = 2
    trade.price = "2"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    trade.prise = 2.0  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    trade.published_ns = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def what_every_event_has(trade: Trade) -> None:
    assert_type(Trade.dtype, np.dtype[np.void])
    assert_type(trade.copy(), Trade)
    assert_type(trade.asdict(), dict[str, Any])
    assert_type(trade.record(), np.void)
    assert_type(Trade.from_record(trade.record()), Trade)
    assert_type(trade == trade.copy(), bool)


def takes_a_union(kinds: UnionType | type[ringbus.Event]) -> None: ...


def classes_make_a_union() -> None:
    takes_a_union(Trade | Sized)
    takes_a_union(Trade)
    takes_a_union(int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
