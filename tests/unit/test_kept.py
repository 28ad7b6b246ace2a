"""Events and views that a handler keeps: copied, or halted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.events import (
    PATIENCE,
    PRODUCERS,
    BadLuckError,
    Trade,
    is_whole,
    publish_trades,
    trades,
)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


# -- kept events ------------------------------------------------------------------------------------------------------

KEEPERS: dict[str, Callable[[list[Any]], Callable[..., object]]] = {
    "a list": lambda kept: kept.append,
    "a closure": lambda kept: lambda trade: kept.append(lambda: trade),
    "a container": lambda kept: lambda trade: kept.append({"trade": (trade,)}),
    "a bound method": lambda kept: lambda trade: kept.append(trade.copy.__self__),
    "a generator": lambda kept: lambda trade: kept.append(one(trade)),
    "with its sequence": lambda kept: lambda trade, sequence, end: kept.append(trade),
}


def one(trade: Trade) -> Any:
    """A generator that has hold of an event."""
    yield trade


def unpacked(kept: Any) -> Trade:
    """The event in what a keeper kept."""
    if isinstance(kept, dict):
        (kept,) = kept["trade"]
    elif not isinstance(kept, Trade):
        kept = kept() if callable(kept) else next(kept)
    assert isinstance(kept, Trade)
    return kept


@pytest.mark.parametrize("threads", [None, 1], ids=["threads", "one-thread"])
@pytest.mark.parametrize("gating", [True, False], ids=["gating", "lapped"])
@pytest.mark.parametrize("keeper", KEEPERS)
def test_an_event_that_is_kept_stays_what_it_was(keeper: str, gating: bool, threads: Any) -> None:
    ring = trades(8)
    kept: list[Any] = []
    group = ring.consumer_group("group", threads=threads)
    group.add("keeps", KEEPERS[keeper](kept), gating=gating)
    with group:
        for number in range(0, 60, 4):
            publish_trades(ring, 4, first=number)
            group.drain(PATIENCE)
    events = [unpacked(what) for what in kept]
    assert all(is_whole(trade, number) for number, trade in enumerate(events))
    assert len({id(trade) for trade in events}) == len(events) == 60


def test_an_event_in_a_traceback_stays_what_it_was(ring: ringbus.RingBuffer[Trade]) -> None:
    errors: list[BaseException] = []

    class Keep:
        def handle(self, error: BaseException, sequence: int, event: Any, consumer: ringbus.Consumer) -> None:
            assert is_whole(event, sequence)
            errors.append(error)

    def fail(trade: Trade) -> None:
        raise BadLuckError

    group = ring.consumer_group("group", on_error=Keep())
    group.add("fails", fail)
    with group:
        publish_trades(ring, 50)
    frames = [error.__traceback__.tb_frame for error in errors if error.__traceback__]
    assert all(is_whole(frame.f_locals["trade"], number) for number, frame in enumerate(frames))
    assert len(frames) == 50


def test_an_event_that_is_not_kept_is_the_same_object_again(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: set[int] = set()
    group = ring.consumer_group("group")
    group.add("reader", lambda trade: seen.add(id(trade)))
    with group:
        publish_trades(ring, 50)
    assert len(seen) == 1


def test_a_change_in_the_handler_is_seen_behind_it_and_one_afterwards_is_not(ring: ringbus.RingBuffer[Trade]) -> None:
    kept: list[Trade] = []
    seen: list[float] = []

    def change(trade: Trade) -> None:
        for earlier in kept:
            earlier.price = -1.0
        trade.price = 100.0 + trade.number
        kept.append(trade)

    group = ring.consumer_group("group", threads=1)
    group.add("changes", change)
    group.add("behind", lambda trade: seen.append(trade.price)).depends_on("changes")
    with group:
        publish_trades(ring, 30)
    assert seen == [100.0 + number for number in range(30)]
    assert {trade.price for trade in kept[:-1]} == {-1.0}


def test_a_kept_event_outlives_its_ring() -> None:
    kept: list[Trade] = []
    ring = trades(8)
    group = ring.consumer_group("group")
    group.add("keeps", kept.append)
    with group:
        publish_trades(ring, 20)
    del ring, group
    assert all(is_whole(trade, number) for number, trade in enumerate(kept))


# -- kept views -------------------------------------------------------------------------------------------------------

VIEWS: dict[str, Callable[[Any], Any]] = {
    "the array": lambda events: events,
    "a column": lambda events: events["price"],
    "a slice": lambda events: events[:1],
    "a row": lambda events: events[0],
    "every second": lambda events: events["number"][::2],
    "a buffer": lambda events: memoryview(events["number"]),
}


@pytest.mark.parametrize("on_error", ["halt", "skip"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_kept_view_of_a_batch_always_halts(ring: ringbus.RingBuffer[Trade], view: str, on_error: Any) -> None:
    kept: list[Any] = []
    group = ring.consumer_group("group", on_error=on_error)
    consumer = group.add("keeps", ringbus.batch(lambda events: kept.append(VIEWS[view](events))))
    publish_trades(ring, 3)
    with pytest.raises(ringbus.KeptViewError, match=r"'?\"?keeps.*\.copy\(\)") as caught, group:
        group.drain(PATIENCE)
    assert caught.value.sequence == 0
    assert len(kept) == 1
    assert consumer.sequence == -1


@pytest.mark.parametrize("outcome", ["raises", "declines"])
def test_a_view_that_is_kept_by_a_handler_that_fails_halts_too(ring: ringbus.RingBuffer[Trade], outcome: str) -> None:
    kept: list[Any] = []

    @ringbus.batch
    def handle(events: Any) -> object:
        kept.append(events["price"])
        if outcome == "raises":
            raise BadLuckError
        return ringbus.DECLINE

    group = ring.consumer_group("group", on_error="skip")
    group.add("keeps", handle)
    publish_trades(ring, 3)
    with pytest.raises(ringbus.KeptViewError), group:
        group.drain(PATIENCE)
    assert len(kept) == 1


def test_a_batch_that_fails_and_keeps_nothing_goes_on_under_skip(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[int] = []

    @ringbus.batch
    def handle(events: Any) -> None:
        column = events["number"]
        seen.extend(column.tolist())
        raise BadLuckError

    group = ring.consumer_group("group", on_error="skip")
    group.add("fails", handle)
    with group:
        publish_trades(ring, 50)
    assert seen == list(range(50))


def test_a_policy_gets_a_copy_of_the_batch_and_may_keep_the_error(ring: ringbus.RingBuffer[Trade]) -> None:
    told: list[tuple[BaseException, int, Any]] = []

    class Keep:
        def handle(self, error: BaseException, sequence: int, event: Any, consumer: ringbus.Consumer) -> None:
            told.append((error, sequence, event))

    @ringbus.batch
    def handle(events: Any) -> None:
        raise BadLuckError(len(events))

    group = ring.consumer_group("group", on_error=Keep())
    group.add("fails", handle)
    with group:
        publish_trades(ring, 50)
    assert [number for _, _, events in told for number in events["number"].tolist()] == list(range(50))
    assert all(isinstance(error, BadLuckError) for error, _, _ in told)
    assert [sequence for _, sequence, _ in told] == [int(events["number"][0]) for _, _, events in told]


def test_copies_of_a_batch_may_be_kept(ring: ringbus.RingBuffer[Trade]) -> None:
    kept: list[Any] = []
    group = ring.consumer_group("group")
    group.add("keeps", ringbus.batch(lambda events: kept.append((events.copy(), events["price"].sum()))))
    with group:
        publish_trades(ring, 50)
    assert [number for events, _ in kept for number in events["number"].tolist()] == list(range(50))


def test_a_batch_of_one_that_does_not_gate_may_be_kept() -> None:
    ring = trades(8)
    kept: list[Any] = []
    group = ring.consumer_group("group")
    group.add("keeps", ringbus.batch(kept.append), gating=False)  # type: ignore[type-var, unused-ignore] # a built-in
    with group:
        for number in range(0, 40, 4):
            publish_trades(ring, 4, first=number)
            group.drain(PATIENCE)
    assert [number for events in kept for number in events["number"].tolist()] == list(range(40))
