"""What goes through the pipeline when each consumer has a process of its own, and what each keeps for its successor.

The events carry everything that a consumer finds out, so that whoever comes last can tell the results from them alone,
and how often each consumer has had them in hand. What a consumer needs to go on is a state: an event of a small ring of
its own that nobody reads while all is well. A ring without consumers keeps the newest events, and a publish is whole or
not there at all, whenever its process is killed.
"""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar, final

import ringbus
from ringbus.demo.events import AnyQuote, AnyTrade

STATES: Final = 8
"""The slots of a ring of states: more than there are restarts, each of which may leave one that was not published."""

EXPOSURE: Final = 1
JUMP: Final = 2


@final
class Trade(AnyTrade):
    """A trade as in one process, its bar, what book counts, and how often each consumer had it in hand."""

    book: ringbus.uint8 = 0
    bars: ringbus.uint8 = 0
    risk: ringbus.uint8 = 0
    breaches: ringbus.uint8 = 0
    position: ringbus.int64 = 0
    cash2: ringbus.int64 = 0
    open: ringbus.int64 = 0
    high: ringbus.int64 = 0
    low: ringbus.int64 = 0
    volume: ringbus.int64 = 0
    notional: ringbus.int64 = 0
    trades: ringbus.int64 = 0
    checksum: ringbus.int64 = 0


@final
class Quote(AnyQuote):
    """A quote as in one process, what book counts, and how often each consumer had it in hand."""

    book: ringbus.uint8 = 0
    risk: ringbus.uint8 = 0
    breaches: ringbus.uint8 = 0
    position: ringbus.int64 = 0
    cash2: ringbus.int64 = 0
    checksum: ringbus.int64 = 0


@final
class BookState(ringbus.Event):
    """What book needs to go on after the event of that sequence."""

    sequence: ringbus.int64 = -1
    position: ringbus.int64 = 0
    cash2: ringbus.int64 = 0
    middle2: ringbus.int64 = 0


@final
class BarsState(ringbus.Event):
    """The bar that is open after the event of that sequence, and the average price of the one before."""

    sequence: ringbus.int64 = -1
    second: ringbus.int64 = -1
    open: ringbus.int64 = 0
    high: ringbus.int64 = 0
    low: ringbus.int64 = 0
    volume: ringbus.int64 = 0
    notional: ringbus.int64 = 0
    trades: ringbus.int64 = 0
    reference: ringbus.int64 = 0


@final
class RiskState(ringbus.Event):
    """The limits, and what risk needs to go on after the event of that sequence."""

    limit2: ringbus.int64
    jump_bp: ringbus.int64
    sequence: ringbus.int64 = -1
    checksum: ringbus.int64 = 0
    exposed: bool = False
    jumped: bool = False


class State(Protocol):
    """What is kept: it says up to which event it counts."""

    sequence: int


S = TypeVar("S", BookState, BarsState, RiskState)


class Kept(Generic[S]):
    """The state of a consumer, in a ring of its own.

    Args:
        name: the ring's name.
        kind: the type of the state.
    """

    def __init__(self, name: str, kind: type[S]) -> None:
        self._ring: ringbus.RingBuffer[S] = ringbus.attach(name, kind)
        self._ring.recover()  # what a predecessor was about to publish when it was killed is stepped over
        with ringbus.attach(name, kind, read_only=True).poller("last", gating=False, start="oldest") as poller:
            self.state: S = poller.take(STATES, 0.0)[-1]

    @classmethod
    def begin(cls, name: str, state: S) -> ringbus.RingBuffer[S]:
        """Make the ring, with the state to begin from; it is there until it is unlinked."""
        ring: ringbus.RingBuffer[S] = ringbus.RingBuffer(type(state), capacity=STATES, name=name, replace=True)
        ring.publish(state)
        return ring

    def keep(self, sequence: int) -> None:
        """Publish the state as that after the event of this sequence."""
        self.state.sequence = sequence
        self._ring.publish(self.state)
