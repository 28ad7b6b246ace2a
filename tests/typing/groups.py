"""What type checkers know of consumers: what handlers, pollers and subscriptions are given."""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import ringbus


class Trade(ringbus.Event):
    price: float
    number: ringbus.int32 = 0


class Quote(ringbus.Event):
    bid: float


class Price:
    """A handler that is an object."""

    def on_start(self) -> None:
        """Begin."""

    def __call__(self, trade: Trade, sequence: int, end_of_batch: bool) -> None:
        """Handle one."""


class Log:
    """A policy."""

    def handle(self, error: BaseException, sequence: int, event: object, consumer: ringbus.Consumer) -> None:
        """Go on."""


def trade_alone(trade: Trade) -> None: ...


def quote_alone(quote: Quote) -> None: ...


def either(event: Trade | Quote) -> None: ...


async def later(trade: Trade) -> None: ...


@ringbus.batch
def total(events: npt.NDArray[np.void], first_sequence: int) -> float:
    return float(events["price"].sum())


@ringbus.compiled
def count(trade: Trade, state: Any) -> None:
    state.count += 1


@ringbus.compiled(fastmath=True)
def weigh(trade: Trade, state: npt.NDArray[np.float64], sequence: int, end_of_batch: bool) -> int:
    state[0] += trade.price
    return 0


def walk(trade: Trade, state: Any, sequence: int) -> bool:
    trade.price = state.price
    return sequence < 1000


def compiled_handlers_and_sources() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    group = ring.consumer_group("g")
    assert_type(group.add("a", count, state={"count": 0}, cpu=0), ringbus.Consumer)
    group.add("b", weigh, state=np.zeros(1), workers=2, cpu=(0, 1))
    group.add("c", ctypes.CFUNCTYPE(ctypes.c_int)())
    assert_type(weigh(Trade(price=1.0), np.zeros(1), 0, True), int)
    with group, ring.source(walk, {"price": 0.0}, batch=8, limit=100) as source:
        assert_type(source, ringbus.Source)
        assert_type(source.join(1.0), bool)
        assert_type(source.published, int)
    group.add("d", count, state={"count": 0}, cpu="0")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


def handlers_take_the_events_of_the_ring() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    group = ring.consumer_group("g", threads=1, on_error="skip", at_exit="halt")
    assert_type(group, ringbus.ConsumerGroup[Trade])
    assert_type(group.add("a", trade_alone), ringbus.Consumer)
    group.add("b", lambda trade: trade.price)
    group.add("c", lambda trade, sequence: trade.price + sequence)
    group.add("d", lambda trade, sequence, end: trade.price if end else sequence)
    group.add("e", Price(), on_error=Log())
    group.add("f", either, max_batch=4, wait=ringbus.Sleeping(longest=1e-3))
    group.add("g", later)
    group.add("h", total, start="oldest")
    group.add("i", trade_alone, workers=2, key=lambda trade: trade.number)
    group.add("j", trade_alone, gating=False).depends_on("a", "b")


def a_handler_of_something_else_is_refused() -> None:
    group = ringbus.RingBuffer(Trade, 1024).consumer_group("g")
    group.add("a", quote_alone)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    group.add("b", lambda trade: trade.bid)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    group.add("c", 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    group.add("d", trade_alone, max_bach=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    group.add("e", trade_alone, workers="2")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    group.add("f", trade_alone, on_error="retry")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def a_decorator_gives_the_function_back() -> None:
    group = ringbus.RingBuffer(Trade, 1024).consumer_group("g")

    @group.consumer("price", depends_on=("book",), max_batch=8)
    def price(trade: Trade) -> int:
        return trade.number

    assert_type(price(Trade(price=1.0)), int)
    group.consumer("price", max_bach=8)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def handlers_of_one_of_several_types() -> None:
    group = ringbus.RingBuffer(Trade | Quote, 1024).consumer_group("g")
    group.add("a", trade_alone)
    group.add("b", quote_alone)
    group.add("c", either)
    group.add("d", total, kinds=(Trade,))


def kinds_say_what_a_handler_takes(ring: ringbus.RingBuffer[Trade | Quote]) -> None:
    group = ring.consumer_group("g")
    group.add("a", trade_alone, kinds=(Trade,))
    group.add("b", lambda quote: quote.bid, kinds=[Quote])
    group.add("c", either)
    group.add("d", total, kinds=(Trade,))
    group.add("e", quote_alone, kinds=(Trade,))  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


def a_poller_gives_events() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    with ring.poller("audit", gating=False) as poller:
        assert_type(poller, ringbus.EventPoller[Trade])
        assert_type(poller.poll(), int)
        assert_type(poller.poll(lambda trade: trade.price > 1.0), int)
        assert_type(poller.next(timeout=1.0), Trade | None)
        assert_type(poller.take(16, timeout=0.0), list[Trade])
        assert_type(poller.take_array(16), npt.NDArray[np.void] | None)
        for trade in poller:
            assert_type(trade, Trade)
        poller.poll(quote_alone)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_poller_of_one_of_several_types(ring: ringbus.RingBuffer[Trade | Quote]) -> None:
    assert_type(ring.poller("all"), ringbus.EventPoller[Trade | Quote])
    assert_type(ring.poller("quotes", kinds=(Quote,)), ringbus.EventPoller[Quote])
    assert_type(ring.subscribe("ui", kinds=(Quote,)), ringbus.Subscription[Quote])


async def a_subscription_gives_events() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    async for trade in ring.subscribe("ui"):
        assert_type(trade, Trade)
    async with ring.subscribe("ui") as subscription:
        assert_type(subscription, ringbus.Subscription[Trade])
        assert_type(await anext(subscription), Trade)


def statistics_are_named() -> None:
    ring = ringbus.RingBuffer(Trade, 1024)
    statistics = ring.statistics()
    assert_type(statistics.consumers["a"].lag, int)
    latency = statistics.consumers["a"].latency
    if latency is not None:
        assert_type(latency.p99_ns, int)


def groups_are_context_managers() -> tuple[type[BaseException], TracebackType] | int:
    with ringbus.RingBuffer(Trade, 1024).consumer_group("g") as group:
        assert_type(group["a"].sequence, int)
        return group.run_once()
