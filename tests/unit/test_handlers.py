"""The forms that a handler may have, and what its answer says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.events import (
    PATIENCE,
    PRODUCERS,
    Trade,
    publish_trades,
    trades,
)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


# -- forms of handlers ------------------------------------------------------------------------------------------------


class Collector:
    """Handlers of several forms that collect numbers."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, trade: Trade) -> None:
        self.seen.append(trade.number)

    def method(self, trade: Trade, sequence: int) -> None:
        assert trade.number == sequence
        self.seen.append(trade.number)

    def everything(self, trade: Trade, sequence: int, end_of_batch: bool) -> None:
        assert trade.number == sequence
        assert isinstance(end_of_batch, bool)
        self.seen.append(trade.number)

    def bound_by_partial(self, more: list[int], trade: Trade) -> None:
        more.append(trade.number)
        self.seen.append(trade.number)

    def star(self, *arguments: Any) -> None:
        (trade,) = arguments
        self.seen.append(trade.number)

    def default(self, trade: Trade, sequence: int = -5) -> None:
        assert sequence == -5
        self.seen.append(trade.number)


FORMS: dict[str, Callable[[Collector], Callable[..., object]]] = {
    "object": lambda collector: collector,
    "method": lambda collector: collector.method,
    "three arguments": lambda collector: collector.everything,
    "partial": lambda collector: functools.partial(collector.bound_by_partial, []),
    "star": lambda collector: collector.star,
    "default": lambda collector: collector.default,
    "lambda": lambda collector: lambda trade: collector.seen.append(trade.number),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_handler_may_have_any_form(ring: ringbus.RingBuffer[Trade], form: str) -> None:
    collector = Collector()
    group = ring.consumer_group("group")
    group.add("reader", FORMS[form](collector))
    with group:
        publish_trades(ring, 50)
    assert collector.seen == list(range(50))


@pytest.mark.parametrize("form", ["method", "object", "partial"])
def test_a_batch_handler_may_have_any_form(ring: ringbus.RingBuffer[Trade], form: str) -> None:
    seen: list[int] = []

    class Total:
        def __call__(self, events: Any) -> None:
            seen.extend(events["number"].tolist())

    forms: dict[str, Any] = {
        "method": Total().__call__,
        "object": Total(),
        "partial": functools.partial(Total.__call__, Total()),
    }
    group = ring.consumer_group("group")
    group.add("reader", ringbus.batch(forms[form]))
    with group:
        publish_trades(ring, 50)
    assert seen == list(range(50))


def test_a_built_in_function_may_be_a_batch_handler(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("reader", ringbus.batch(len))
    with group:
        publish_trades(ring, 50)
    assert consumer.statistics().events == 50


def test_a_decorated_function_stays_what_it_is(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    seen: list[int] = []

    @group.consumer("first", max_batch=2)
    def first(trade: Trade) -> int:
        seen.append(trade.number)
        return trade.number

    @group.consumer("second", depends_on=("first",))
    def second(trade: Trade) -> None:
        assert trade.number in seen

    assert first(Trade(symbol="a", price=1.0, number=70)) == 70
    with group:
        publish_trades(ring, 20)
    assert seen == [70, *range(20)]


def test_a_batch_handler_gets_arrays_on_the_slots_cut_at_the_end_of_the_ring(ring: ringbus.RingBuffer[Trade]) -> None:
    runs: list[tuple[int, list[int]]] = []

    @ringbus.batch
    def handle(events: Any, first: int) -> None:
        assert events.dtype == Trade.dtype
        assert not events.flags.owndata
        events["quantity"] = 5.0
        runs.append((first, events["number"].tolist()))

    after: list[float] = []
    group = ring.consumer_group("group")
    group.add("arrays", handle)
    group.add("after", lambda trade: after.append(trade.quantity)).depends_on("arrays")
    publish_trades(ring, 6)
    group.run_once()
    publish_trades(ring, 6, first=6)
    group.run_once()
    assert runs == [(0, [0, 1, 2, 3, 4, 5]), (6, [6, 7]), (8, [8, 9, 10, 11])]
    assert after == [5.0] * 12


# -- declining --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_batch", [False, True], ids=["event", "batch"])
def test_a_decline_counts_as_a_failure(ring: ringbus.RingBuffer[Trade], as_batch: bool) -> None:
    handler: Any = ringbus.batch(lambda events: ringbus.DECLINE) if as_batch else lambda trade: ringbus.DECLINE
    group = ring.consumer_group("group")
    consumer = group.add("declines", handler)
    publish_trades(ring, 3)
    with pytest.raises(ringbus.HandlerError, match="declined") as caught, group:
        group.drain(PATIENCE)
    assert (caught.value.__cause__, caught.value.sequence, consumer.sequence) == (None, 0, -1)


@pytest.mark.parametrize("gating", [True, False], ids=["gating", "lapped"])
def test_a_decline_is_what_its_policy_makes_of_it(ring: ringbus.RingBuffer[Trade], gating: bool) -> None:
    told: list[tuple[type[BaseException], int, int]] = []
    seen: list[int] = []

    class Told:
        def handle(self, error: BaseException, sequence: int, event: Any, consumer: ringbus.Consumer) -> None:
            told.append((type(error), sequence, event.number))

    def handle(trade: Trade) -> object:
        seen.append(trade.number)
        return ringbus.DECLINE if trade.number % 3 == 0 else None

    group = ring.consumer_group("group", on_error=Told())
    group.add("declines", handle, gating=gating)
    publish_trades(ring, 7)
    with group:
        group.drain(PATIENCE)
    assert seen == list(range(7))
    assert told == [(ringbus.HandlerError, number, number) for number in (0, 3, 6)]


@pytest.mark.parametrize("answer", [None, True, False, 0, "DECLINE", NotImplemented, ...], ids=repr)
def test_any_other_answer_is_ignored(ring: ringbus.RingBuffer[Trade], answer: object) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("reader", lambda trade: answer)
    with group:
        publish_trades(ring, 20)
    assert consumer.statistics().events == 20
