"""What goes through the pipeline, and what comes out of it.

All numbers are integers, so that two ways to compute them can be compared exactly. Prices and quantities are in the
tape's own steps; a name that ends in `2` says that the number is doubled, because the middle of bid and ask may be half
a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

import ringbus

if TYPE_CHECKING:
    from ringbus.demo.tape import Tape

SECOND_NS: Final = 1_000_000_000


class AnyTrade(ringbus.Event):
    """A trade, and what the consumers found out about it."""

    time: ringbus.int64
    price: ringbus.int64
    quantity: ringbus.int64
    sold: bool
    exposure2: ringbus.int64 = 0
    profit2: ringbus.int64 = 0
    reference: ringbus.int64 = 0


class AnyQuote(ringbus.Event):
    """A best bid and ask, and what the consumers found out about it."""

    time: ringbus.int64
    bid: ringbus.int64
    bid_quantity: ringbus.int64
    ask: ringbus.int64
    ask_quantity: ringbus.int64
    exposure2: ringbus.int64 = 0
    profit2: ringbus.int64 = 0


@final
class Trade(AnyTrade):
    """The trade of the pipeline in one process."""


@final
class Quote(AnyQuote):
    """The quote of the pipeline in one process."""


class Bar(NamedTuple):
    """The trades of one second.

    Args:
        second: the second, since 1970.
        open: the first price.
        high: the highest price.
        low: the lowest price.
        close: the last price.
        volume: the sum of the quantities.
        notional: the sum of price times quantity.
        trades: how many there were.
    """

    second: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int
    trades: int

    @property
    def vwap(self) -> int:
        """The volume-weighted average price, rounded down to the tape's step."""
        return self.notional // self.volume


class Breach(NamedTuple):
    """A limit that was passed; counted once, until the value is back inside.

    Args:
        event: the number of the event, from 0.
        time: its receive time in ns.
        rule: "exposure" or "jump".
        value: the exposure, doubled, or the price that jumped.
        bound: the limit, doubled, or the price that it jumped from.
    """

    event: int
    time: int
    rule: str
    value: int
    bound: int


@dataclass(frozen=True)
class Limits:
    """When `risk` speaks up.

    Args:
        exposure2: the largest position times price, doubled, in the tape's steps.
        jump_bp: how far a trade may be from the average price of the last finished bar, in 1/100 of a percent.
    """

    exposure2: int
    jump_bp: int

    @classmethod
    def of(cls, tape: Tape, exposure: int = 5_000_000, jump_bp: int = 5) -> Limits:
        """Scale the limits to a tape.

        Args:
            tape: the tape.
            exposure: the largest position times price, in the currency that prices are in.
            jump_bp: as in Limits.
        """
        return cls(2 * exposure * 10 ** (tape.price_places + tape.quantity_places), jump_bp)


@dataclass(frozen=True)
class Results:
    """Everything that a run over a tape gives; two are equal when every number in them is.

    Args:
        events: how many events went through.
        position: what was bought less what was sold, by those who crossed the spread.
        cash: what they were paid less what they paid.
        profit2: cash plus the position at the last middle price, doubled.
        bars: the one-second bars.
        breaches: the limits that were passed, in order.
        checksum: over exposure and profit after every event, and over the reference price of every trade: the hash of
            a tuple of them and of the checksum so far, from 0.
    """

    events: int
    position: int
    cash: int
    profit2: int
    bars: tuple[Bar, ...]
    breaches: tuple[Breach, ...]
    checksum: int

    def differences(self, other: Results) -> tuple[str, ...]:
        """Return the names of the fields in which another one differs."""
        return tuple(name for name in self.__dataclass_fields__ if getattr(self, name) != getattr(other, name))
