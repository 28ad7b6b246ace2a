"""Pollers: events on the caller's own loop, gating or lapped, from a place of the caller's choice."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.events import PATIENCE, PRODUCERS, Trade, is_whole, numbers, publish_trades, trades


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


# -- poll -------------------------------------------------------------------------------------------------------------


def test_poll_hands_out_what_is_there_and_never_waits(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[Trade] = []
    with ring.poller("reader") as poller:
        assert poller.poll(seen.append) == 0
        publish_trades(ring, 5)
        assert poller.poll(seen.append) == 5
        assert poller.poll(seen.append) == 0
        assert poller.sequence == 4
    assert numbers(seen) == list(range(5))


def test_poll_without_a_handler_counts_what_it_passes(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as poller:
        publish_trades(ring, 5)
        assert poller.poll(limit=3) == 3
        assert poller.poll() == 2
        assert poller.poll() == 0


def test_poll_keeps_to_its_limit(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[Trade] = []
    with ring.poller("reader") as poller:
        publish_trades(ring, 5)
        assert [poller.poll(seen.append, limit) for limit in (0, 2, 2, 2)] == [0, 2, 2, 1]
    assert numbers(seen) == list(range(5))


@pytest.mark.parametrize(("answer", "handed"), [(None, 5), (True, 5), (1, 5), (False, 1), (0, 1), ("", 1)], ids=repr)
def test_a_false_answer_ends_the_poll_after_its_event(
    ring: ringbus.RingBuffer[Trade], answer: object, handed: int
) -> None:
    with ring.poller("reader") as poller:
        publish_trades(ring, 5)
        assert poller.poll(lambda trade: answer) == handed
        assert poller.sequence == handed - 1
        assert len(poller.take(timeout=0)) == 5 - handed


def test_an_event_whose_handler_raises_is_handed_out_and_no_other_is_lost(ring: ringbus.RingBuffer[Trade]) -> None:
    seen: list[int] = []

    def handle(trade: Trade) -> None:
        seen.append(trade.number)
        if trade.number == 2:
            raise ValueError(trade.number)

    with ring.poller("reader") as poller:
        publish_trades(ring, 5)
        with pytest.raises(ValueError, match="2"):
            poller.poll(handle)
        assert poller.poll(handle) == 2
    assert seen == list(range(5))


# -- take, next, iteration --------------------------------------------------------------------------------------------


def test_take_gives_up_to_its_limit_and_is_done_with_them(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as poller:
        publish_trades(ring, 5)
        assert numbers(poller.take(2)) == [0, 1]
        assert (poller.sequence, ring.remaining_capacity) == (1, 5)
        assert numbers(poller.take()) == [2, 3, 4]
        assert poller.take(0) == []


@pytest.mark.parametrize(
    "wait",
    [
        lambda poller: poller.take(timeout=0.001) or None,
        lambda poller: poller.take(timeout=0) or None,
        lambda poller: poller.take_array(timeout=0.001),
        lambda poller: poller.next(timeout=0.001),
        lambda poller: poller.next(timeout=0),
    ],
)
def test_a_wait_that_times_out_gives_nothing(ring: ringbus.RingBuffer[Trade], wait: Callable[[Any], object]) -> None:
    with ring.poller("reader") as poller:
        assert wait(poller) is None
        publish_trades(ring, 1)
        assert wait(poller) is not None
        assert wait(poller) is None


@pytest.mark.parametrize("wait", ["blocking", "busy_spin", "yielding", "sleeping", "phased_backoff"])
def test_a_wait_ends_with_the_first_event(ring: ringbus.RingBuffer[Trade], wait: str) -> None:
    with ring.poller("there", wait=wait) as there, ring.poller("back", wait=wait) as back:
        answered: list[Trade | None] = []

        def answer() -> None:
            for _ in range(20):
                answered.append(there.next(PATIENCE))
                publish_trades(ring, 1, first=100)
                there.next(PATIENCE)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        for number in range(20):
            publish_trades(ring, 1, first=number)
            assert numbers(back.take(1, PATIENCE)) == [number]
            assert numbers(back.take(1, PATIENCE)) == [100]
        thread.join(PATIENCE)
    assert [trade and trade.number for trade in answered] == list(range(20))


def test_next_is_done_with_its_event_at_the_next_call(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as poller:
        publish_trades(ring, 2)
        assert numbers([poller.next()]) == [0]
        assert (poller.sequence, ring.remaining_capacity) == (-1, 6)
        assert numbers([poller.next()]) == [1]
        assert poller.sequence == 0
        assert poller.next(timeout=0) is None
        assert poller.sequence == 1


def test_take_array_gives_a_copy(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as poller:
        kept = []
        for lap in range(10):
            publish_trades(ring, 5, first=5 * lap)
            array = poller.take_array(timeout=0)
            assert array is not None
            assert array.dtype == Trade.dtype
            assert ring.remaining_capacity == 8
            kept.append(array)
        publish_trades(ring, 3)
        array = poller.take_array(2)
        assert array is not None
        assert array["number"].tolist() == [0, 1]
        array = poller.take_array(0)
        assert array is None
    assert [n for array in kept for n in array["number"].tolist()] == list(range(50))


def test_what_a_poller_gives_is_good_for_as_long_as_it_is_kept(ring: ringbus.RingBuffer[Trade]) -> None:
    kept: list[Any] = []
    with ring.poller("reader") as poller:
        for number in range(0, 60, 3):
            publish_trades(ring, 3, first=number)
            kept += poller.take(1)
            kept.append(poller.next())
            poller.poll(kept.append)
    assert all(is_whole(trade, number) for number, trade in enumerate(kept))


def test_iteration_ends_when_the_ring_is_closed_and_everything_was_taken(ring: ringbus.RingBuffer[Trade]) -> None:
    poller = ring.poller("reader")

    def produce() -> None:
        with ring:
            publish_trades(ring, 100)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    assert numbers(poller) == list(range(100))
    assert list(poller) == []
    thread.join(PATIENCE)
    assert poller.take() == []
    assert poller.next() is None


def test_what_was_published_before_the_close_can_be_taken(ring: ringbus.RingBuffer[Trade]) -> None:
    poller = ring.poller("reader")
    publish_trades(ring, 5)
    ring.close()
    assert numbers(poller.take(2)) == [0, 1]
    assert numbers(poller) == [2, 3, 4]


@pytest.mark.parametrize(
    "verb",
    [
        lambda poller: poller.take(timeout=-1),
        lambda poller: poller.next(timeout=float("nan")),
        lambda poller: poller.take_array(timeout=-0.5),
    ],
)
def test_a_time_out_below_zero_is_refused(ring: ringbus.RingBuffer[Trade], verb: Callable[[Any], object]) -> None:
    with ring.poller("reader") as poller:
        with pytest.raises(ringbus.ConfigurationError, match="timeout"):
            verb(poller)
        publish_trades(ring, 1)
        assert numbers(poller.take()) == [0]


@pytest.mark.parametrize("max_batch", [0, -1])
def test_a_batch_below_one_is_refused(ring: ringbus.RingBuffer[Trade], max_batch: int) -> None:
    with pytest.raises(ringbus.ConfigurationError, match="max_batch"):
        ring.poller("reader", max_batch=max_batch)
    assert not ring.statistics().consumers


# -- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb",
    [
        lambda poller: poller.poll(),
        lambda poller: poller.poll(print),
        lambda poller: poller.take(),
        lambda poller: poller.take_array(),
        lambda poller: poller.next(),
        next,
    ],
)
def test_a_closed_poller_refuses(ring: ringbus.RingBuffer[Trade], verb: Callable[[Any], object]) -> None:
    poller = ring.poller("reader")
    publish_trades(ring, 3)
    with poller:
        assert ring.remaining_capacity == 5
    assert poller.closed
    with pytest.raises(ringbus.ClosedError, match="reader"):
        verb(poller)


def test_a_closed_poller_lets_producers_go_on(ring: ringbus.RingBuffer[Trade]) -> None:
    poller = ring.poller("reader")
    publish_trades(ring, 8)
    full = threading.Event()

    def produce() -> None:
        assert not ring.try_publish(symbol="a", price=1.0)
        full.set()
        publish_trades(ring, 20)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    assert full.wait(PATIENCE)
    poller.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert ring.cursor == 27


def test_a_poller_that_is_dropped_lets_producers_go_on(ring: ringbus.RingBuffer[Trade]) -> None:
    poller = ring.poller("reader")
    publish_trades(ring, 8)
    assert ring.remaining_capacity == 0
    del poller
    assert ring.remaining_capacity == 8
    ring.poller("reader").close()


def test_a_name_is_free_again_when_its_poller_has_left(ring: ringbus.RingBuffer[Trade]) -> None:
    for _ in range(100):
        with ring.poller("reader"), pytest.raises(ringbus.TopologyError, match="reader"):
            ring.poller("reader")
    assert not ring.statistics().consumers


@pytest.mark.parametrize("name", ["", "x" * 1000, "a\0b"], ids=["empty", "long", "zero"])
def test_a_name_that_cannot_be_is_refused(ring: ringbus.RingBuffer[Trade], name: str) -> None:
    with pytest.raises(ringbus.TopologyError):
        ring.poller(name)
    assert not ring.statistics().consumers


def test_there_is_a_limit_to_consumers_and_it_says_so(ring: ringbus.RingBuffer[Trade]) -> None:
    pollers = [ring.poller(f"reader {number}") for number in range(64)]
    with pytest.raises(ringbus.TopologyError, match="close consumers"):
        ring.poller("one too many")
    pollers.pop().close()
    with ring.poller("as many as there may be"):
        publish_trades(ring, 3)
    assert {len(poller.take()) for poller in pollers} == {3}


def test_a_poller_is_not_pickled(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as poller, pytest.raises(ringbus.ConfigurationError, match="place on a ring"):
        pickle.dumps(poller)


# -- lapped -----------------------------------------------------------------------------------------------------------


def test_a_poller_that_does_not_gate_is_told_what_it_missed(ring: ringbus.RingBuffer[Trade]) -> None:
    poller = ring.poller("lapped", gating=False)
    publish_trades(ring, 5)
    assert numbers(poller.take()) == list(range(5))
    assert poller.missed == 0
    publish_trades(ring, 100, first=5)
    seen = poller.take()
    assert all(is_whole(trade, trade.number) for trade in seen)
    assert numbers(seen) == list(range(105 - len(seen), 105))
    assert 0 < len(seen) <= 8
    assert poller.missed == 100 - len(seen)
    assert ring.statistics().consumers["lapped"].missed == poller.missed


def test_a_poller_that_does_not_gate_holds_nobody_up(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("lapped", gating=False) as poller:
        assert ring.minimum_sequence == 2**63 - 1
        publish_trades(ring, 8)
        assert ring.try_publish(symbol="a", price=1.0)
        assert not ring.statistics().consumers["lapped"].gating
        assert poller.sequence == -1


@pytest.mark.parametrize("producers", PRODUCERS)
@pytest.mark.parametrize("way", ["take", "next", "take_array", "poll"])
def test_what_a_lapped_poller_gets_is_never_torn_and_what_it_misses_is_counted(producers: Any, way: str) -> None:
    ring = trades(16, producers)
    total = 30_000
    seen: list[int] = []

    def take(trade: Trade) -> None:
        assert is_whole(trade, trade.number)
        seen.append(trade.number)

    def read(poller: Any) -> bool:
        """Read some; False when the ring is closed and everything was taken."""
        closed = poller.ring_closed
        if way == "poll":
            return bool(poller.poll(take)) or not closed
        if way == "next":
            events = [event for event in [poller.next()] if event is not None]
        elif way == "take":
            events = poller.take()
        else:
            array = poller.take_array()
            events = [] if array is None else [Trade.from_record(record) for record in array]
        for event in events:
            take(event)
        return bool(events)

    def produce() -> None:
        with ring:
            publish_trades(ring, total)

    with ring.poller("lapped", gating=False) as poller:
        thread = threading.Thread(target=produce, daemon=True)
        thread.start()
        while read(poller):
            continue
        thread.join(PATIENCE)
        assert seen == sorted(set(seen))
        assert len(seen) + poller.missed == total
        assert seen[-1] == total - 1


# -- where it begins --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, "latest", "oldest", 3])
def test_a_poller_begins_after_the_cursor(ring: ringbus.RingBuffer[Trade], start: Any) -> None:
    publish_trades(ring, 3)
    with ring.poller("reader", start=start) as poller:
        publish_trades(ring, 2, first=3)
        assert numbers(poller.take()) == [3, 4]


@pytest.mark.parametrize(("start", "expected"), [(None, 0), ("oldest", 0), (0, 0), (2, 2), (5, 5), ("latest", 5)])
def test_a_place_that_is_held_allows_any_start_from_there_on(start: Any, expected: int) -> None:
    ring = trades(8, require=("late",))
    publish_trades(ring, 5)
    with ring.poller("late", start=start) as poller:
        assert poller.sequence == expected - 1
        publish_trades(ring, 1, first=5)
        assert numbers(poller.take()) == list(range(expected, 6))


def test_a_place_that_is_held_gates_until_its_consumer_comes(ring: ringbus.RingBuffer[Trade]) -> None:
    held = trades(8, require=("a", "b"))
    publish_trades(held, 8)
    assert held.minimum_sequence == -1
    assert {name: row.state for name, row in held.statistics().consumers.items()} == {"a": "held", "b": "held"}
    assert not held.try_publish(symbol="a", price=1.0)
    with held.poller("a") as a, held.poller("b") as b:
        assert numbers(a.take()) == numbers(b.take()) == list(range(8))
    publish_trades(held, 20)


@pytest.mark.parametrize("start", [0, 2, 4, 7, -1, 2**62])
def test_a_start_that_is_not_held_is_refused(ring: ringbus.RingBuffer[Trade], start: int) -> None:
    publish_trades(ring, 3)
    with pytest.raises(ringbus.TopologyError, match="require="):
        ring.poller("reader", start=start)
    assert not ring.statistics().consumers
    assert ring.minimum_sequence == 2**63 - 1


@pytest.mark.parametrize("start", ["newest", 1.5, (), ""], ids=repr)
def test_a_start_that_is_none_is_refused(ring: ringbus.RingBuffer[Trade], start: Any) -> None:
    with pytest.raises(ringbus.ConfigurationError, match="latest"):
        ring.poller("reader", start=start)


def test_require_takes_names(ring: ringbus.RingBuffer[Trade]) -> None:
    with pytest.raises(ringbus.ConfigurationError, match=r"\('risk',\)"):
        trades(8, require="risk")
    with pytest.raises(ringbus.ConfigurationError, match="risk"):
        trades(8, require=("risk", "risk"))


# -- behind others ----------------------------------------------------------------------------------------------------


def test_a_poller_may_wait_for_other_consumers(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    group.add("price", lambda trade: setattr(trade, "price", -trade.price))
    first = ring.poller("first")
    behind = ring.poller("behind", depends_on=("price", "first"))
    publish_trades(ring, 4)
    assert behind.take(timeout=0) == []
    assert group.run_once() == 4
    assert behind.take(timeout=0) == []
    first.take(3)
    assert [trade.price for trade in behind.take(timeout=0)] == [-0.0, -1.0, -2.0]


def test_a_handler_may_wait_for_a_poller(ring: ringbus.RingBuffer[Trade]) -> None:
    first = ring.poller("first")
    group = ring.consumer_group("group")
    seen: list[int] = []
    group.add("behind", lambda trade: seen.append(trade.number)).depends_on("first")
    publish_trades(ring, 4)
    assert group.run_once() == 0
    first.take(3)
    assert group.run_once() == 3
    assert seen == [0, 1, 2]


def test_a_poller_that_others_wait_for_cannot_leave(ring: ringbus.RingBuffer[Trade]) -> None:
    first = ring.poller("first")
    behind = ring.poller("behind", depends_on=("first",))
    with pytest.raises(ringbus.TopologyError, match="remove those first"):
        first.close()
    assert not first.closed
    behind.close()
    first.close()


def test_a_poller_cannot_wait_for_nobody_or_itself(ring: ringbus.RingBuffer[Trade]) -> None:
    for names in (("nobody",), ("reader",)):
        with pytest.raises(ringbus.TopologyError):
            ring.poller("reader", depends_on=names)
    assert not ring.statistics().consumers
    with pytest.raises(ringbus.ConfigurationError, match=r"\('nobody',\)"):
        ring.poller("reader", depends_on="nobody")


# -- counts -----------------------------------------------------------------------------------------------------------


def test_a_poller_is_counted(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader", max_batch=3) as poller:
        publish_trades(ring, 5)
        poller.take(2)
        row = ring.statistics().consumers["reader"]
        assert (row.name, row.sequence, row.lag, row.events, row.batches) == ("reader", 1, 3, 2, 1)
        assert (row.mean_batch, row.missed, row.state, row.gating, row.waits) == (2.0, 0, "live", True, 0)
        poller.take()
        assert poller.events == 5
        poller.take(timeout=0.01)
        row = ring.statistics().consumers["reader"]
        assert (row.lag, row.events, row.waits) == (0, 5, 1)
        assert row.blocked_ns >= 10_000_000
    assert not ring.statistics().consumers


def test_poll_is_done_with_each_event_as_it_hands_out_the_next(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.poller("reader") as poller:
        publish_trades(ring, 8)
        room: list[int] = []
        poller.poll(lambda trade: room.append(ring.remaining_capacity))
        assert room == list(range(8))
        assert (poller.sequence, ring.remaining_capacity) == (7, 8)
