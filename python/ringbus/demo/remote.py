"""The consumers of the pipeline as handlers in processes of their own, each of which may be killed at any time.

A handler keeps its state once a batch, before the ring learns that the batch is done. So a successor finds a state that
is as new as the ring's word or newer, and what it is handed again is either already in that state, and left alone, or
computed again from the same state to the same values; nobody further down has seen it before.
"""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from typing import Generic

from ringbus.demo.events import SECOND_NS, Limits
from ringbus.demo.handlers import Book, Risk
from ringbus.demo.shared import EXPOSURE, JUMP, BarsState, BookState, Kept, Quote, RiskState, S, Trade


class Hand(ABC, Generic[S]):
    """What is the same for each consumer: where it goes on, and what it does not do twice.

    Args:
        kept: the state of its predecessor, or the one to begin with.
    """

    def __init__(self, kept: Kept[S]) -> None:
        self._kept: Kept[S] = kept
        self._done = kept.state.sequence

    def take(self, event: Trade | Quote, sequence: int, end_of_batch: bool) -> None:
        """Handle an event, unless the predecessor had kept what it found there."""
        if sequence <= self._done:
            return
        if type(event) is Quote:
            self.quote(event)
        else:
            self.trade(event)
        if end_of_batch:
            self.save()
            self._kept.keep(sequence)

    @abstractmethod
    def trade(self, trade: Trade) -> None:
        """Handle a trade."""

    def quote(self, quote: Quote) -> None:
        """Handle a quote: nothing, for a consumer of trades."""

    def save(self) -> None:
        """Bring the state up to date."""


class BookHand(Hand[BookState]):
    """Book, and its position and cash in every event."""

    def __init__(self, kept: Kept[BookState]) -> None:
        super().__init__(kept)
        state = kept.state
        self._book = Book(state.position, state.cash2, state.middle2)

    def trade(self, trade: Trade) -> None:
        """Add a trade to the position."""
        self._book.trade(trade)
        trade.position, trade.cash2 = self._book.position, self._book.cash2

    def quote(self, quote: Quote) -> None:
        """Mark the position to a new middle price."""
        self._book.quote(quote)
        quote.position, quote.cash2 = self._book.position, self._book.cash2

    def save(self) -> None:
        """Bring the state up to date."""
        state, book = self._kept.state, self._book
        state.position, state.cash2, state.middle2 = book.position, book.cash2, book.middle2


class BarsHand(Hand[BarsState]):
    """One-second bars: every trade says what its bar looks like so far."""

    def trade(self, trade: Trade) -> None:
        """Add a trade to its bar."""
        bar, price, quantity = self._kept.state, trade.price, trade.quantity
        second = trade.time // SECOND_NS
        if second != bar.second:
            self._turn(second, price)
        bar.high = trade.high = max(bar.high, price)
        bar.low = trade.low = min(bar.low, price)
        bar.volume = trade.volume = bar.volume + quantity
        bar.notional = trade.notional = bar.notional + price * quantity
        bar.trades = trade.trades = bar.trades + 1
        trade.open, trade.reference = bar.open, bar.reference

    def _turn(self, second: int, price: int) -> None:
        bar = self._kept.state
        if bar.trades:
            bar.reference = bar.notional // bar.volume
        bar.second, bar.open, bar.high, bar.low = second, price, price, price
        bar.volume = bar.notional = bar.trades = 0


class RiskHand(Hand[RiskState]):
    """Risk, and the limits that were passed and the checksum so far in every event."""

    def __init__(self, kept: Kept[RiskState]) -> None:
        super().__init__(kept)
        state = kept.state
        limits = Limits(state.limit2, state.jump_bp)
        self._risk = Risk(limits, state.checksum, exposed=state.exposed, jumped=state.jumped)

    def trade(self, trade: Trade) -> None:
        """Check the exposure and the price of a trade."""
        self._risk.trade(trade)
        self._write(trade)

    def quote(self, quote: Quote) -> None:
        """Check the exposure at a new middle price."""
        self._risk.quote(quote)
        self._write(quote)

    def _write(self, event: Trade | Quote) -> None:
        event.checksum = self._risk.checksum
        if self._risk.breaches:
            event.breaches = sum(EXPOSURE if breach.rule == "exposure" else JUMP for breach in self._risk.breaches)
            self._risk.breaches.clear()

    def save(self) -> None:
        """Bring the state up to date."""
        state, risk = self._kept.state, self._risk
        state.checksum, state.exposed, state.jumped = risk.checksum, risk.exposed, risk.jumped


def state_name(ring: str, consumer: str) -> str:
    """Name the ring of a consumer's states."""
    return f"{ring}-{consumer}"


def ring_name(pid: int) -> str:
    """Name the ring of a demo."""
    return f"demo-{pid}"


def _predecessor(consumer: str, kind: type[S]) -> Kept[S]:
    """The state that the process before this one left, or the owner of the ring made."""
    return Kept(state_name(ring_name(os.getppid()), consumer), kind)


@functools.cache
def _book() -> BookHand:
    return BookHand(_predecessor("book", BookState))


@functools.cache
def _bars() -> BarsHand:
    return BarsHand(_predecessor("bars", BarsState))


@functools.cache
def _risk() -> RiskHand:
    return RiskHand(_predecessor("risk", RiskState))


def book(event: Trade | Quote, sequence: int, end_of_batch: bool) -> None:
    """Handle an event as book."""
    event.book += 1
    _book().take(event, sequence, end_of_batch)


def bars(trade: Trade, sequence: int, end_of_batch: bool) -> None:
    """Handle a trade as bars."""
    trade.bars += 1
    _bars().take(trade, sequence, end_of_batch)


def risk(event: Trade | Quote, sequence: int, end_of_batch: bool) -> None:
    """Handle an event as risk."""
    event.risk += 1
    _risk().take(event, sequence, end_of_batch)
