"""Consumer groups: handlers of every form, kept events, life cycle, declines, joins and leaves, and what is counted."""

from __future__ import annotations

import collections
import dataclasses
import functools
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.events import PATIENCE, PRODUCERS, Trade, is_whole, numbers, publish_trades, trades


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


def nothing(trade: Trade) -> None:
    """Handle an event."""


def recording(seen: list[int]) -> Callable[[Trade], None]:
    """A handler that takes down the numbers."""
    return lambda trade: seen.append(trade.number)


class BadLuckError(Exception):
    """What a handler fails with."""


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


# -- life cycle -------------------------------------------------------------------------------------------------------


class Lived:
    """A handler that takes down its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.timed_out = threading.Event()

    def on_start(self) -> None:
        self.calls.append("start")

    def on_shutdown(self) -> None:
        self.calls.append("shutdown")

    def on_batch_start(self, size: int) -> None:
        self.calls.append(size)

    def on_timeout(self, sequence: int) -> None:
        self.calls.append(("timeout", sequence))
        if self.calls.count(("timeout", sequence)) == 3:
            self.timed_out.set()

    def __call__(self, trade: Trade) -> None:
        self.calls.append("event")


@pytest.mark.parametrize("threads", [None, 1], ids=["threads", "one-thread"])
def test_life_cycle_calls_come_in_order(ring: ringbus.RingBuffer[Trade], threads: Any) -> None:
    lived = Lived()
    group = ring.consumer_group("group", threads=threads)
    group.add("lived", lived)
    publish_trades(ring, 2)
    with group:
        group.drain(PATIENCE)
    assert lived.calls == ["start", 2, "event", "event", "shutdown"]


def test_life_cycle_calls_come_in_order_on_demand(ring: ringbus.RingBuffer[Trade]) -> None:
    lived = Lived()
    group = ring.consumer_group("group")
    group.add("lived", lived)
    assert group.run_once() == 0
    publish_trades(ring, 2)
    assert group.run_once() == 2
    publish_trades(ring, 1)
    group.stop()
    assert lived.calls == ["start", 2, "event", "event", 1, "event", "shutdown"]
    with pytest.raises(ringbus.TopologyError):
        group.run_once()


@pytest.mark.parametrize("threads", [None, 1], ids=["threads", "one-thread"])
def test_on_timeout_is_called_again_and_again_while_nothing_comes(
    ring: ringbus.RingBuffer[Trade], threads: Any
) -> None:
    lived = Lived()
    group = ring.consumer_group("group", threads=threads)
    group.add("lived", lived, timeout=0.01)
    publish_trades(ring, 2)
    with group:
        assert lived.timed_out.wait(PATIENCE)
        lived.timed_out.clear()
        publish_trades(ring, 1)
        assert lived.timed_out.wait(PATIENCE)
    assert lived.calls.count(("timeout", 1)) >= 3
    assert lived.calls.count(("timeout", 2)) >= 3
    assert lived.calls.count("event") == 3


@pytest.mark.parametrize("hook", ["on_start", "on_shutdown", "on_batch_start", "on_timeout"])
def test_a_life_cycle_call_that_fails_is_a_failure(ring: ringbus.RingBuffer[Trade], hook: str) -> None:
    called = threading.Event()

    class Fails:
        def __call__(self, trade: Trade) -> None:
            """Handle an event."""

    def fail(self: object, *arguments: object) -> None:
        called.set()
        raise BadLuckError

    setattr(Fails, hook, fail)
    group = ring.consumer_group("group")
    group.add("fails", Fails(), timeout=0.01)
    publish_trades(ring, 1)
    group.start()
    if hook != "on_shutdown":
        assert called.wait(PATIENCE)
    with pytest.raises(ringbus.HandlerError, match="fails") as caught:
        group.stop()
    assert isinstance(caught.value.__cause__, BadLuckError)


# -- one thread, on demand --------------------------------------------------------------------------------------------


def test_one_thread_runs_all_handlers_in_the_order_of_the_graph(ring: ringbus.RingBuffer[Trade]) -> None:
    calls: list[tuple[str, int]] = []
    idents: set[int] = set()

    def handler(name: str) -> Callable[[Trade], None]:
        def handle(trade: Trade) -> None:
            calls.append((name, trade.number))
            idents.add(threading.get_ident())

        return handle

    group = ring.consumer_group("group", threads=1)
    group.add("last", handler("last"))
    group.add("left", handler("left"))
    group.add("right", handler("right"))
    group["last"].depends_on("left", "right")
    publish_trades(ring, 3)
    with group:
        publish_trades(ring, 50, first=3)
    assert len(idents) == 1
    assert threading.get_ident() not in idents
    for name in ("left", "right", "last"):
        assert [number for who, number in calls if who == name] == list(range(53))
    for number in range(53):
        assert calls.index(("last", number)) > max(calls.index(("left", number)), calls.index(("right", number)))


def test_run_once_handles_what_is_there_on_the_callers_thread(ring: ringbus.RingBuffer[Trade]) -> None:
    idents: set[int] = set()
    first: list[int] = []
    last: list[int] = []

    def handle(trade: Trade) -> None:
        first.append(trade.number)
        idents.add(threading.get_ident())

    group = ring.consumer_group("group")
    group.add("last", lambda trade: last.append(trade.number))
    group.add("first", handle)
    group["last"].depends_on("first")
    assert group.run_once() == 0
    publish_trades(ring, 5)
    assert group.run_once() == 10
    assert group.run_once() == 0
    assert first == last == list(range(5))
    assert idents == {threading.get_ident()}
    with pytest.raises(ringbus.TopologyError):
        group.start()


def test_run_once_raises_what_a_handler_raised(ring: ringbus.RingBuffer[Trade]) -> None:
    def fail(trade: Trade) -> None:
        raise BadLuckError

    group = ring.consumer_group("group")
    group.add("fails", fail)
    publish_trades(ring, 1)
    with pytest.raises(ringbus.HandlerError) as caught:
        group.run_once()
    assert isinstance(caught.value.__cause__, BadLuckError)


def test_a_handler_cannot_run_its_own_group(ring: ringbus.RingBuffer[Trade]) -> None:
    raised: list[BaseException] = []

    def recurse(trade: Trade) -> None:
        try:
            group.run_once()
        except ringbus.RingBusError as error:
            raised.append(error)

    group = ring.consumer_group("group")
    group.add("recurses", recurse)
    publish_trades(ring, 1)
    assert group.run_once() == 1
    assert [type(error) for error in raised] == [ringbus.ClaimError]


def test_a_group_that_runs_on_threads_is_not_run_on_demand(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    group.add("reader", nothing)
    with group, pytest.raises(ringbus.TopologyError, match="run_once"):
        group.run_once()


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_leaving_drains(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[int] = []
    group = ring.consumer_group("group")
    group.add("reader", lambda trade: seen.append(trade.number))
    with group:
        publish_trades(ring, 500)
    assert seen == list(range(500))
    assert group.state == "stopped"
    assert ring.minimum_sequence == 2**63 - 1
    publish_trades(ring, 20)


def test_halt_finishes_the_event_in_hand_and_no_other(ring: ringbus.RingBuffer[Trade]) -> None:
    began, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def handle(trade: Trade) -> None:
        began.set()
        assert go_on.wait(PATIENCE)
        seen.append(trade.number)

    group = ring.consumer_group("group")
    consumer = group.add("reader", handle)
    publish_trades(ring, 5)
    group.start()
    assert began.wait(PATIENCE)
    for runner in consumer.runners:
        runner.halt()
    go_on.set()
    group.halt()
    assert seen == [0]
    assert consumer.statistics().events == 1
    assert consumer.sequence == 0


def test_an_exception_in_the_body_halts_and_does_not_drain(ring: ringbus.RingBuffer[Trade]) -> None:
    go_on = threading.Event()
    seen: list[int] = []

    def handle(trade: Trade) -> None:
        go_on.wait(0.05)
        seen.append(trade.number)

    group = ring.consumer_group("group")
    group.add("reader", handle)
    publish_trades(ring, 8)
    with pytest.raises(BadLuckError), group:
        raise BadLuckError
    assert len(seen) < 8
    assert group.state == "stopped"


def test_a_handler_may_halt_its_group_but_not_stop_it(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[int] = []

    def handle(trade: Trade) -> None:
        seen.append(trade.number)
        if trade.number == 2:
            with pytest.raises(ringbus.ClaimError, match="halt"):
                group.stop()
            group.halt()

    group = ring.consumer_group("group")
    group.add("reader", handle)
    publish_trades(ring, 8)
    group.start()
    assert group.join(PATIENCE)
    group.halt()
    assert seen == [0, 1, 2]


def test_drain_waits_for_what_was_published_before(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[int] = []
    group = ring.consumer_group("group")
    group.add("first", nothing)
    group.add("last", lambda trade: seen.append(trade.number)).depends_on("first")
    with group:
        for number in range(30):
            publish_trades(ring, 1, first=number)
            group.drain(PATIENCE)
            assert seen == list(range(number + 1))


def test_stopping_again_is_harmless_and_starting_again_is_not(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    group.add("reader", nothing)
    with group:
        publish_trades(ring, 3)
    group.stop()
    group.halt()
    with pytest.raises(ringbus.TopologyError):
        group.start()
    with pytest.raises(ringbus.TopologyError, match="stopped"):
        group.add("other", nothing)


def test_handlers_that_fail_together_leave_the_ring_to_others(ring: ringbus.RingBuffer[Trade]) -> None:
    for turn in range(50):
        together = threading.Barrier(2)

        def fail(trade: Trade, together: threading.Barrier = together) -> None:
            together.wait(PATIENCE)
            raise BadLuckError

        group = ring.consumer_group(f"group {turn}")
        group.add("one", fail)
        group.add("other", fail)
        publish_trades(ring, 1)
        group.start()
        assert group.join(PATIENCE)
        assert ring.minimum_sequence == 2**63 - 1
        again = ring.consumer_group(f"again {turn}")
        again.add("reader", nothing)
        with again:
            publish_trades(ring, 20)


def test_a_group_without_consumers_does_not_start(ring: ringbus.RingBuffer[Trade]) -> None:
    with pytest.raises(ringbus.TopologyError, match="no consumers"):
        ring.consumer_group("group").start()


# -- lapped -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("producers", PRODUCERS)
@pytest.mark.parametrize("as_batch", [False, True], ids=["event", "batch"])
def test_a_consumer_that_does_not_gate_is_told_what_it_missed(producers: Any, as_batch: bool) -> None:
    ring = trades(8, producers)
    seen: list[int] = []

    def one_by_one(trade: Trade) -> None:
        assert is_whole(trade, trade.number)
        seen.append(trade.number)

    @ringbus.batch
    def by_array(events: Any) -> None:
        for record in events:
            one_by_one(Trade.from_record(record))

    group = ring.consumer_group("group")
    consumer = group.add("lapped", by_array if as_batch else one_by_one, gating=False)
    total = 20_000
    with group:
        publish_trades(ring, total)
        group.drain(PATIENCE)
    assert seen == sorted(set(seen))
    assert len(seen) + consumer.missed == total
    assert consumer.statistics().missed == consumer.missed
    assert consumer.statistics().events == len(seen)
    assert seen[-1] == total - 1


def test_a_consumer_that_does_not_gate_holds_nobody_up(ring: ringbus.RingBuffer[Trade]) -> None:
    began, go_on = threading.Event(), threading.Event()

    def handle(trade: Trade) -> None:
        began.set()
        assert go_on.wait(PATIENCE)

    group = ring.consumer_group("group")
    consumer = group.add("lapped", handle, gating=False)
    with group:
        publish_trades(ring, 1)
        assert began.wait(PATIENCE)
        publish_trades(ring, 1000, first=1)
        go_on.set()
    assert consumer.missed >= 1000 - 8


# -- joining and leaving ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("producers", PRODUCERS)
def test_consumers_join_and_leave_while_events_flow_without_a_loss_for_anybody(
    producers: Any, rng: random.Random
) -> None:
    ring = trades(64, producers)
    total = 30_000
    steady: list[int] = []
    behind: list[int] = []
    guests: dict[str, list[int]] = collections.defaultdict(list)
    ended = threading.Event()
    group = ring.consumer_group("dynamic", dynamic=True)
    group.add("steady", lambda trade: steady.append(trade.number))
    group.add("behind", lambda trade: behind.append(trade.number)).depends_on("steady")

    def produce() -> None:
        publish_trades(ring, total)
        ended.set()

    with group:
        thread = threading.Thread(target=produce, daemon=True)
        thread.start()
        live: list[str] = []
        turn = 0
        while not ended.is_set():
            if live and (len(live) == 5 or rng.random() < 0.5):
                group.remove(live.pop(rng.randrange(len(live))))
            else:
                name = f"guest {turn}"
                options: dict[str, Any] = {"depends_on": ("steady",)} if rng.random() < 0.5 else {}
                group.add(name, recording(guests[name]), **options)
                live.append(name)
                turn += 1
        thread.join(PATIENCE)
        for name in live[:2]:
            group.remove(name)
    assert steady == behind == list(range(total))
    for seen in guests.values():
        assert seen == list(range(seen[0], seen[0] + len(seen))) if seen else True
    assert all(not guests[name] or guests[name][-1] == total - 1 for name in live[2:])
    assert turn > 2


@pytest.mark.parametrize("producers", PRODUCERS)
def test_pollers_join_and_leave_while_events_flow_and_get_every_event_in_between(producers: Any) -> None:
    ring = trades(32, producers)
    total = 20_000
    steady = ring.poller("steady")
    seen: list[int] = []
    ended = threading.Event()

    def produce() -> None:
        publish_trades(ring, total)
        ended.set()

    def visit() -> None:
        while not ended.is_set():
            with ring.poller("guest") as guest:
                begin = guest.sequence + 1
                got = numbers(guest.take(50, 0.01))
                assert got == list(range(begin, begin + len(got)))

    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            visit()
        except BaseException as error:  # noqa: BLE001 (asserted on below)
            raised.append(error)

    threads = [threading.Thread(target=target, daemon=True) for target in (produce, guarded)]
    for thread in threads:
        thread.start()
    while len(seen) < total:
        seen += numbers(steady.take(100, PATIENCE))
    for thread in threads:
        thread.join(PATIENCE)
    assert raised == []
    assert seen == list(range(total))


def test_a_consumer_that_others_depend_on_cannot_be_removed(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[int] = []
    group = ring.consumer_group("group", dynamic=True)
    group.add("first", nothing)
    group.add("last", lambda trade: seen.append(trade.number)).depends_on("first")
    with group:
        publish_trades(ring, 3)
        with pytest.raises(ringbus.TopologyError, match="last depend on 'first'"):
            group.remove("first")
        publish_trades(ring, 3, first=3)
        group.drain(PATIENCE)
        group.remove("last")
        group.remove("first")
        publish_trades(ring, 20)
    assert seen == list(range(6))


def test_a_removed_name_may_come_again(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group", dynamic=True)
    group.add("stays", nothing)
    with group:
        for number in range(20):
            seen: list[int] = []
            group.add("guest", recording(seen))
            publish_trades(ring, 3, first=number)
            group.drain(PATIENCE)
            group.remove("guest")
            assert seen == [number, number + 1, number + 2]
    assert [consumer.name for consumer in group] == ["stays"]


def test_a_running_group_that_is_not_dynamic_keeps_its_consumers(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    group.add("reader", nothing)
    group.add("other", nothing)
    group.remove("other")
    with group, pytest.raises(ringbus.TopologyError, match="dynamic"):
        group.remove("reader")


def test_a_consumer_comes_back_to_the_place_that_was_held_for_it() -> None:
    ring = trades(8, require=("risk",))
    publish_trades(ring, 8)
    assert not ring.try_publish(symbol="a", price=1.0)
    seen: list[int] = []
    group = ring.consumer_group("group")
    group.add("risk", lambda trade: seen.append(trade.number))
    with group:
        publish_trades(ring, 8, first=8)
    assert seen == list(range(16))


@pytest.mark.parametrize(("start", "expected"), [("oldest", 0), (3, 3), (5, 5), ("latest", 5), (None, 0)])
def test_a_consumer_begins_where_it_is_told_as_far_as_its_place_was_held(start: Any, expected: int) -> None:
    ring = trades(8, require=("risk",))
    publish_trades(ring, 5)
    seen: list[int] = []
    group = ring.consumer_group("group")
    group.add("risk", lambda trade: seen.append(trade.number), start=start)
    publish_trades(ring, 1, first=5)
    with group:
        group.drain(PATIENCE)
    assert seen == list(range(expected, 6))


@pytest.mark.parametrize("start", [0, 2, 4])
def test_a_consumer_cannot_begin_where_nothing_was_held(ring: ringbus.RingBuffer[Trade], start: int) -> None:
    publish_trades(ring, 3)
    group = ring.consumer_group("group")
    with pytest.raises(ringbus.TopologyError, match="require="):
        group.add("reader", nothing, start=start)
    assert (len(group), ring.minimum_sequence) == (0, 2**63 - 1)


# -- names and graph --------------------------------------------------------------------------------------------------


def test_a_group_is_a_collection_of_its_consumers(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    assert (len(group), bool(group)) == (0, True)
    first = group.add("first", nothing)
    last = group.add("last", nothing).depends_on("first")
    assert (list(group), len(group), group["first"], group["last"]) == ([first, last], 2, first, last)
    assert "first" in repr(group)
    assert "last" in repr(last)
    with pytest.raises(KeyError):
        group["nobody"]


def test_a_name_is_unique_on_the_ring(ring: ringbus.RingBuffer[Trade]) -> None:
    one, other = ring.consumer_group("one"), ring.consumer_group("other")
    one.add("reader", nothing)
    for again in (one, other):
        with pytest.raises(ringbus.TopologyError, match="reader"):
            again.add("reader", nothing)
    with pytest.raises(ringbus.TopologyError, match="reader"):
        ring.poller("reader")
    assert list(ring.statistics().consumers) == ["reader"]


def test_a_name_is_free_when_its_consumer_has_left(ring: ringbus.RingBuffer[Trade]) -> None:
    poller = ring.poller("reader")
    poller.close()
    group = ring.consumer_group("group")
    group.add("reader", nothing)
    with group:
        publish_trades(ring, 3)
    again = ring.poller("reader")
    assert (poller.closed, again.closed) == (True, False)


def test_nobody_can_depend_on_a_consumer_that_has_left(ring: ringbus.RingBuffer[Trade]) -> None:
    poller = ring.poller("gone")
    poller.close()
    group = ring.consumer_group("group")
    with pytest.raises(ringbus.TopologyError, match="gone"):
        group.add("reader", nothing, depends_on=("gone",))
    with pytest.raises(ringbus.TopologyError, match="gone"):
        ring.poller("reader", depends_on=("gone",))
    consumer = group.add("reader", nothing)
    with pytest.raises(ringbus.TopologyError, match="gone"):
        consumer.depends_on("gone")
    assert poller.closed


def test_dependencies_add_up(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    for name in ("a", "b", "c"):
        group.add(name, nothing)
    seen: list[int] = []
    last = group.add("last", lambda trade: seen.append(trade.number), depends_on=("a",))
    assert last.depends_on("b").depends_on("c", "a") is last
    assert last.depends_on_names == ("a", "b", "c")
    publish_trades(ring, 4)
    runners: dict[str, Any] = {consumer.name: consumer.runners[0] for consumer in group}
    for done, name in enumerate(("a", "b", "c")):
        assert runners["last"].step() == 0, f"it did not wait, with {done} done"
        runners[name].step()
    assert runners["last"].step() == 4


def test_several_groups_see_the_same_events(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: dict[str, list[int]] = {"one": [], "other": []}
    one, other = ring.consumer_group("one"), ring.consumer_group("other", threads=1)
    one.add("one", lambda trade: seen["one"].append(trade.number))
    other.add("other", lambda trade: seen["other"].append(trade.number))
    with one, other:
        publish_trades(ring, 200)
    assert seen == {"one": list(range(200)), "other": list(range(200))}


@pytest.mark.parametrize("wait", ["busy_spin", ringbus.Sleeping(1e-5), ringbus.PhasedBackoff(), ringbus.Blocking(0)])
def test_each_consumer_waits_in_its_own_way(ring: ringbus.RingBuffer[Trade], wait: Any) -> None:
    seen: list[int] = []
    group = ring.consumer_group("group", wait="yielding")
    group.add("first", nothing, wait=wait)
    group.add("last", lambda trade: seen.append(trade.number), wait="blocking").depends_on("first")
    with group:
        publish_trades(ring, 100)
    assert seen == list(range(100))


# -- counts -----------------------------------------------------------------------------------------------------------


def test_what_a_consumer_has_done_is_counted(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("reader", nothing, max_batch=2)
    publish_trades(ring, 5)
    before = consumer.statistics()
    assert (before.lag, before.events, before.batches, before.mean_batch) == (5, 0, 0, 0.0)
    assert group.run_once() == 5
    publish_trades(ring, 1, first=5)
    now = consumer.statistics()
    assert (now.name, now.sequence, now.lag, now.events, now.batches) == ("reader", 4, 1, 5, 3)
    assert (now.mean_batch, now.waits, now.blocked_ns, now.missed) == (5 / 3, 0, 0, 0)
    assert (now.state, now.gating, now.latency) == ("live", True, None)
    assert ring.statistics().consumers["reader"] == now == group.statistics().consumers["reader"]
    group.stop()
    after = consumer.statistics()
    assert (after.state, after.events, after.sequence, after.lag) == ("left", 6, 5, 0)
    assert not ring.statistics().consumers


def test_waits_are_counted(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    handled = threading.Semaphore(0)
    consumer = group.add("reader", lambda trade: handled.release())
    began = time.monotonic_ns()
    with group:
        for number in range(5):
            publish_trades(ring, 1, first=number)
            assert handled.acquire(timeout=PATIENCE)
            group.drain(PATIENCE)
    counted = consumer.statistics()
    assert 1 <= counted.waits <= 12
    assert 0 < counted.blocked_ns <= time.monotonic_ns() - began


def test_events_before_a_halt_or_a_failure_are_counted(ring: ringbus.RingBuffer[Trade]) -> None:
    def fail(trade: Trade) -> None:
        if trade.number == 3:
            raise BadLuckError

    group = ring.consumer_group("group")
    consumer = group.add("fails", fail)
    publish_trades(ring, 8)
    with pytest.raises(ringbus.HandlerError):
        group.run_once()
    assert (consumer.sequence, consumer.statistics().events) == (2, 3)


def test_the_state_of_a_group_is_told(ring: ringbus.RingBuffer[Trade]) -> None:
    def fail(trade: Trade) -> None:
        raise BadLuckError

    group = ring.consumer_group("good")
    group.add("good", nothing)
    assert (group.state, group.statistics().state, group.statistics().name) == ("new", "new", "good")
    with group:
        assert group.state == group.statistics().state == "running"
    assert group.state == group.statistics().state == "stopped"
    bad = ring.consumer_group("bad")
    bad.add("bad", fail)
    publish_trades(ring, 1)
    with pytest.raises(ringbus.HandlerError), bad:
        bad.drain(PATIENCE)
    assert bad.state == bad.statistics().state == "failed"


def test_the_ring_is_counted(ring: ringbus.RingBuffer[Trade]) -> None:
    many = ring.producers == "multi"
    with ring.poller("reader"):
        publish_trades(ring, 3)
        with pytest.raises(ZeroDivisionError), ring.claim():
            1 / 0  # noqa: B018 (raises)
        counted = ring.statistics()
    assert (counted.capacity, counted.cursor, counted.producers) == (8, 3 if many else 2, ring.producers)
    assert (counted.remaining, counted.pads) == ((4, 1) if many else (5, 0))
    assert counted.slot_bytes == Trade.dtype.itemsize
    assert counted.pages == "ordinary"


def test_statistics_are_frozen(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("reader", nothing)
    for counted in (ring.statistics(), group.statistics(), consumer.statistics()):
        field = dataclasses.fields(counted)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(counted, field, None)
