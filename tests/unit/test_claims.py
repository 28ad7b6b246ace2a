"""Claims that are open while the caller fills the slots: in place, whole, and seen by nobody if they fail."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ringbus
from support import readers
from support.events import PATIENCE, PRODUCERS, Trade, numbers, publish_trades, read_all, trades


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


class BadLuckError(Exception):
    """What the body of a claim fails with."""


def fail_in_a_claim(ring: ringbus.RingBuffer[Any], count: int | None = None) -> None:
    """Fill a claim with what nobody must see, and fail."""
    claim: Any = ring.claim() if count is None else ring.claim(count)
    with contextlib.suppress(BadLuckError), claim as claimed:
        if count is None:
            claimed.number = 999
        else:
            claimed["number"] = 999
        raise BadLuckError


# -- filling in place -------------------------------------------------------------------------------------------------


def test_an_event_is_filled_in_place_and_published_at_the_end(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    with ring.claim() as trade:
        trade.price = 63241.5
        trade.symbol = "BTC"
        assert reader.take(timeout=0) == []
    assert reader.take() == [Trade(symbol="BTC", price=63241.5)]


def test_an_array_is_filled_in_place_and_published_at_the_end(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    with ring.claim(3) as events:
        assert (events.shape, events.dtype) == ((3,), Trade.dtype)
        events["number"] = [5, 6, 7]
        events["symbol"] = b"BTC"
        assert reader.take(timeout=0) == []
    assert reader.take() == [Trade(symbol="BTC", price=0.0, number=number) for number in (5, 6, 7)]


def test_a_claim_knows_its_sequences(ring: ringbus.RingBuffer[Trade]) -> None:
    publish_trades(ring, 2)
    claim: Any = ring.claim(3)
    assert (claim.first, claim.last) == (None, None)
    with claim:
        assert (claim.first, claim.last) == (2, 4)
    assert (claim.first, claim.last) == (2, 4)


def test_slots_begin_with_their_defaults_whatever_they_held(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    for _ in range(8):
        ring.publish(symbol="x" * 16, price=9.0, quantity=9.0, number=9)
    reader.take()
    with ring.claim() as trade:
        assert trade == Trade(symbol="", price=0.0, quantity=1.0, number=-1)
    with ring.claim(3) as events:
        assert events.tolist() == [(b"", 0.0, 1.0, -1)] * 3
    reader.take()
    with ring.claim(8) as events:
        assert events.tolist() == [(b"", 0.0, 1.0, -1)] * 8


def test_without_a_reset_the_slots_keep_what_they_held(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    publish_trades(ring, 8)
    reader.take()
    with ring.claim(reset=False) as trade:
        assert trade.number == 0
    with ring.claim(7, reset=False) as events:
        assert events["number"].tolist() == list(range(1, 8))
    assert numbers(reader.take()) == list(range(8))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 8])
def test_an_array_over_the_end_of_the_ring_is_whole(ring: ringbus.RingBuffer[Trade], count: int) -> None:
    reader = read_all(ring)
    for lap in range(24):
        with ring.claim(count) as events:
            events["number"] = range(count * lap, count * (lap + 1))
            events["price"] = lap
        seen = reader.take()
        assert numbers(seen) == list(range(count * lap, count * (lap + 1)))
        assert {trade.price for trade in seen} == {float(lap)}


@pytest.mark.parametrize("count", [np.int64(3), np.uint8(3), np.int8(3)], ids=repr)
def test_a_count_may_be_an_integer_of_numpy(ring: ringbus.RingBuffer[Trade], count: Any) -> None:
    with ring.claim(count) as events:
        assert len(events) == 3


@pytest.mark.parametrize("count", [True, 2.0, "2", 0, -1, 9, 2**64], ids=repr)
def test_a_count_that_is_none_is_refused(ring: ringbus.RingBuffer[Trade], count: Any) -> None:
    for verb in (ring.claim, ring.try_claim):
        with pytest.raises(ringbus.CapacityError):
            verb(count)
    assert (ring.cursor, ring.remaining_capacity) == (-1, 8)


# -- afterwards -------------------------------------------------------------------------------------------------------


def test_a_kept_event_has_a_copy_of_its_own_afterwards(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    kept = []
    for number in range(20):
        with ring.claim() as trade:
            trade.number = number
            kept.append(trade)
        trade.price = 99.0
        assert [event.price for event in reader.take()] == [0.0]
    assert numbers(kept) == list(range(20))


def test_an_event_of_a_failed_claim_has_a_copy_of_its_own_too(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    with pytest.raises(BadLuckError), ring.claim() as trade:
        _fill_and_fail(trade)
    publish_trades(ring, 8 - ring.statistics().pads)
    assert trade.number == 999
    trade.number = 1000
    assert 1000 not in numbers(reader.take())


def _fill_and_fail(trade: Trade) -> None:
    trade.number = 999
    raise BadLuckError


def test_an_array_is_empty_afterwards(ring: ringbus.RingBuffer[Trade]) -> None:
    with ring.claim(3) as events:
        assert len(events) == 3
    assert len(events) == 0
    assert events["price"].size == 0


KEPT: list[Callable[[Any], Any]] = [
    lambda events: [events],
    lambda events: events["price"],
    lambda events: events[1:],
    lambda events: events[0],
    lambda events: events["price"][::2],
    lambda events: memoryview(events["number"]),
    lambda events: events.view(np.ndarray),
    iter,
]


@pytest.mark.parametrize("keep", KEPT, ids=["array", "column", "slice", "row", "part", "buffer", "view", "iterator"])
@pytest.mark.parametrize("before", [0, 6], ids=["in place", "over the end"])
def test_a_kept_view_is_found_and_nothing_is_published(
    ring: ringbus.RingBuffer[Trade], keep: Callable[[Any], Any], before: int
) -> None:
    reader = read_all(ring)
    publish_trades(ring, before)
    assert numbers(reader.take(timeout=0)) == list(range(before))
    kept = []
    with pytest.raises(ringbus.KeptViewError, match=r"\.copy\(\)") as caught, ring.claim(3) as events:
        kept.append(keep(events))
    assert caught.value.sequence == before
    assert reader.take(timeout=0) == []
    del kept, events, caught
    publish_trades(ring, 2, first=before)
    assert numbers(reader.take(timeout=0)) == [before, before + 1]


def test_a_copy_may_be_kept(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    with ring.claim(3) as events:
        events["number"] = [1, 2, 3]
        kept = events.copy()
        total = events["number"].sum()
    assert (kept["number"].tolist(), total) == ([1, 2, 3], 6)
    assert len(reader.take()) == 3


def test_an_exception_in_the_body_wins_over_a_kept_view(ring: ringbus.RingBuffer[Trade]) -> None:
    kept = []

    def keep_and_fail(events: Any) -> None:
        kept.append(events["price"])
        raise BadLuckError

    with pytest.raises(BadLuckError), ring.claim(3) as events:
        keep_and_fail(events)
    assert kept


# -- failing ----------------------------------------------------------------------------------------------------------


def test_a_failed_claim_makes_pads_or_rewinds(ring: ringbus.RingBuffer[Trade]) -> None:
    many = ring.producers == "multi"
    reader = read_all(ring)
    publish_trades(ring, 1)
    fail_in_a_claim(ring)
    fail_in_a_claim(ring, 3)
    assert ring.statistics().pads == (4 if many else 0)
    assert ring.cursor == (4 if many else 0)
    publish_trades(ring, 1, first=1)
    assert numbers(reader.take()) == [0, 1]
    assert reader.sequence == (5 if many else 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
def test_whatever_is_raised_nothing_is_published(ring: ringbus.RingBuffer[Trade], error: type[BaseException]) -> None:
    reader = read_all(ring)
    with pytest.raises(error), ring.claim() as trade:
        _fill_and_raise(trade, error)
    publish_trades(ring, 1)
    assert numbers(reader.take(timeout=0)) == [0]


def _fill_and_raise(trade: Trade, error: type[BaseException]) -> None:
    trade.number = 999
    raise error


def test_a_claim_that_is_left_by_return_is_published(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)

    def fill() -> int:
        with ring.claim() as trade:
            trade.number = 7
            return 1

    assert fill() == 1
    assert numbers(reader.take()) == [7]


def test_claims_that_fail_for_ever_never_fill_the_ring(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    for number in range(100):
        fail_in_a_claim(ring, 1 + number % 8)
        assert reader.take(timeout=0) == []
        assert ring.remaining_capacity == 8
    publish_trades(ring, 8)
    assert numbers(reader.take()) == list(range(8))


def mixed(ring: ringbus.RingBuffer[Any], arrays: bool) -> Callable[[], None]:
    """Publish 0 to 9 with claims that fail before, between and after them, runs of them too."""

    def feed() -> None:
        fail_in_a_claim(ring)
        for number in range(10):
            ring.publish(number=number, **({"symbol": "", "price": 0.0} if arrays else {}))
            for _ in range(number % 3):
                fail_in_a_claim(ring)
            if arrays and number % 4 == 3:
                fail_in_a_claim(ring, 4)
        fail_in_a_claim(ring)

    return feed


@pytest.mark.parametrize("producers", PRODUCERS)
@pytest.mark.parametrize("stamp", [False, True], ids=["plain", "stamped"])
@pytest.mark.parametrize("read", readers.ANY_SLOTS + readers.STRUCTURED, ids=lambda read: read.__name__)
def test_no_kind_of_consumer_sees_a_failed_claim(producers: Any, stamp: bool, read: Any) -> None:
    ring = trades(64, producers, stamp=stamp)
    assert read(ring, mixed(ring, arrays=True)) == list(range(10))
    assert (ring.statistics().pads > 0) == (producers == "multi")


class Order:
    """An object of an object ring."""

    number = -1


@pytest.mark.parametrize("producers", PRODUCERS)
@pytest.mark.parametrize("read", readers.ANY_SLOTS, ids=lambda read: read.__name__)
def test_no_kind_of_consumer_sees_an_object_of_a_failed_claim(producers: Any, read: Any) -> None:
    ring = ringbus.RingBuffer(factory=Order, capacity=64, producers=producers)
    assert read(ring, mixed(ring, arrays=False)) == list(range(10))


@pytest.mark.parametrize("read", readers.ANY_SLOTS + readers.STRUCTURED, ids=lambda read: read.__name__)
def test_failed_claims_alone_call_nothing(read: Any) -> None:
    ring = trades(64)
    assert read(ring, lambda: fail_in_a_claim(ring, 7)) == []


# -- one producer, many producers -------------------------------------------------------------------------------------


def test_a_single_producer_is_refused_while_its_claim_is_open() -> None:
    ring = trades(8, "single")
    reader = read_all(ring)
    verbs: list[Callable[[], object]] = [
        lambda: publish_trades(ring, 1),
        lambda: ring.try_publish(symbol="a", price=1.0),
        lambda: ring.publish(Trade(symbol="a", price=1.0)),
        lambda: ring.producer().publish(symbol="a", price=1.0),
        lambda: ring.publish_batch(np.zeros(1, Trade.dtype)),
        lambda: ring.claim().__enter__(),
        lambda: ring.claim(2).__enter__(),
        ring.try_claim,
    ]
    with ring.claim() as trade:
        trade.number = 5
        for verb in verbs:
            with pytest.raises(ringbus.ClaimError, match="multi"):
                verb()
        with_thread(verbs[0], ringbus.ClaimError)
    publish_trades(ring, 1, first=6)
    assert numbers(reader.take()) == [5, 6]


def with_thread(verb: Callable[[], object], expected: type[Exception]) -> None:
    """Call on another thread, where an error is expected."""
    raised: list[BaseException] = []

    def call() -> None:
        with pytest.raises(expected) as caught:
            verb()
        raised.append(caught.value)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert [type(error) for error in raised] == [expected]


def test_a_single_producer_may_be_another_thread_between_claims() -> None:
    ring = trades(64, "single")
    reader = read_all(ring)
    for number in range(10):
        thread = threading.Thread(target=publish_trades, args=(ring, 1, number), daemon=True)
        thread.start()
        thread.join(PATIENCE)
    assert numbers(reader.take()) == list(range(10))


def test_many_producers_may_hold_claims_at_once_and_close_them_in_any_order() -> None:
    ring = trades(16)
    reader = read_all(ring)
    outer, inner = contextlib.ExitStack(), contextlib.ExitStack()
    outer.enter_context(ring.claim()).number = 0
    inner.enter_context(ring.claim(3))["number"] = [1, 2, 3]
    publish_trades(ring, 1, first=4)
    inner.close()
    assert reader.take(timeout=0) == []
    outer.close()
    assert numbers(reader.take()) == [0, 1, 2, 3, 4]


# -- using a claim wrongly --------------------------------------------------------------------------------------------


def test_a_claim_that_is_never_entered_claims_nothing(ring: ringbus.RingBuffer[Trade]) -> None:
    for _ in range(20):
        ring.claim()
    assert (ring.cursor, ring.remaining_capacity) == (-1, 8)


def test_a_claim_is_used_once(ring: ringbus.RingBuffer[Trade]) -> None:
    claim = ring.claim()
    with claim, pytest.raises(ringbus.ClaimError, match="open already"):
        claim.__enter__()
    with pytest.raises(ringbus.ClaimError, match="used before"):
        claim.__enter__()
    with pytest.raises(ringbus.ClaimError, match="not open"):
        ring.claim().__exit__(None, None, None)
    with pytest.raises(ringbus.ClaimError, match="not open"):
        claim.__exit__(None, None, None)
    with pytest.raises(ringbus.ClaimError, match="used before"):
        claim.__enter__()
    assert ring.cursor == 0


def test_a_claim_that_is_dropped_while_it_is_open_is_given_back(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    claim = ring.claim()
    event = claim.__enter__()
    event.number = 999
    del claim
    publish_trades(ring, 1)
    assert numbers(reader.take(timeout=0)) == [0]
    assert event.number == 999


def test_try_claim_gives_none_when_there_is_no_room(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    publish_trades(ring, 6)
    assert ring.try_claim(3) is None
    assert ring.cursor == 5
    claim = ring.try_claim(2)
    assert claim is not None
    with claim as events:
        events["number"] = [6, 7]
    assert ring.try_claim() is None
    assert numbers(reader.take()) == list(range(8))


def test_try_claim_has_claimed_before_it_is_entered_and_gives_back_what_is_dropped(
    ring: ringbus.RingBuffer[Trade],
) -> None:
    reader = read_all(ring)
    claim = ring.try_claim(5)
    assert ring.remaining_capacity == 3
    del claim
    publish_trades(ring, 1)
    assert numbers(reader.take(timeout=0)) == [0]
    assert ring.remaining_capacity == 8


def test_a_ring_closed_inside_a_claim_still_takes_it(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    with ring.claim() as trade:
        trade.number = 3
        ring.close()
    assert numbers(reader.take()) == [3]
    assert reader.take() == []


# -- who is in the way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consumers", [0, 1])
def test_a_time_out_names_the_open_claim_that_everybody_waits_for(consumers: int) -> None:
    ring = trades(8)
    readers = [ring.poller(f"reader {number}") for number in range(consumers)]
    publish_trades(ring, 1)
    assert [numbers(reader.take()) for reader in readers] == [[0]] * consumers
    with ring.claim() as trade:
        trade.number = 1
        publish_trades(ring, 7, first=2)
        with pytest.raises(ringbus.WaitTimeout, match=r"held up by 'an open claim \(sequence 1\)'") as caught:
            ring.producer(timeout=0.001).publish(symbol="", price=0.0)
        assert caught.value.laggards == ("an open claim (sequence 1)",)


def test_a_time_out_names_the_consumer_where_it_is_behind_the_open_claim() -> None:
    ring = trades(8)
    with ring.poller("slow"):
        publish_trades(ring, 1)
        with ring.claim() as trade:
            trade.number = 1
            publish_trades(ring, 6, first=2)
            with pytest.raises(ringbus.WaitTimeout, match=r"slow \(8 behind\)"):
                ring.producer(timeout=0.001).publish(symbol="", price=0.0)
