"""Consumers that come, go and are lapped while events flow."""

from __future__ import annotations

import collections
import random
import threading
from typing import Any

import pytest

import ringbus
from support.events import (
    PATIENCE,
    PRODUCERS,
    Trade,
    is_whole,
    nothing,
    numbers,
    publish_trades,
    recording,
    trades,
)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


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
