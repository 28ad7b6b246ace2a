"""The life cycle of a group: its hooks, one thread, on demand, and how it stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.events import (
    PATIENCE,
    PRODUCERS,
    BadLuckError,
    Trade,
    nothing,
    publish_trades,
    trades,
)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


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
