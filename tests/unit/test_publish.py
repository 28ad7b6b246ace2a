"""Publishing by fields, by instance, by translator and by batch: whole events, and nothing published on an error."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import ringbus
from support.events import (
    PATIENCE,
    PRODUCERS,
    Halted,
    Quote,
    Trade,
    is_whole,
    numbers,
    publish_trades,
    read_all,
    trades,
)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Trade]:
    """A ring of 8 trades."""
    return trades(8, request.param)


class BadLuckError(Exception):
    """What a translator fails with."""


def fill(trade: Trade) -> None:
    """Translate into a trade."""
    trade.symbol = "filled"
    trade.price = 2.5


def rows(count: int, first: int = 0) -> np.ndarray[Any, Any]:
    """Trades as an array."""
    array = np.zeros(count, Trade.dtype)
    array["number"] = range(first, first + count)
    array["price"] = array["number"] * 0.5
    array["symbol"] = [f"s{number}".encode() for number in range(first, first + count)]
    return array


# -- by fields, instance, translator ----------------------------------------------------------------------------------


def test_fields_are_published_and_others_take_their_default(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    assert ring.publish(symbol="BTC-USD", price=63241.5) is None
    assert reader.take() == [Trade(symbol="BTC-USD", price=63241.5, quantity=1.0, number=-1)]


def test_a_publish_writes_the_whole_slot_whatever_it_held_a_lap_ago(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    for _ in range(8):
        ring.publish(symbol="x" * 16, price=9.0, quantity=9.0, number=9)
    reader.take()
    ring.publish(symbol="a", price=1.0)
    ring.publish(lambda trade: None)
    ring.publish(Trade(symbol="a", price=1.0))
    by_fields, by_translator, by_instance = reader.take()
    assert by_fields == by_instance == Trade(symbol="a", price=1.0)
    assert by_translator == Trade(symbol="", price=0.0)


def test_an_instance_is_copied(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    trade = Trade(symbol="a", price=1.0)
    ring.publish(trade)
    trade.price = 2.0
    ring.publish(trade)
    assert [event.price for event in reader.take()] == [1.0, 2.0]


def test_a_translator_fills_the_event(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    ring.publish(fill)
    ring.publish(Trade, fill)
    assert reader.take() == [Trade(symbol="filled", price=2.5)] * 2


def test_what_a_translator_returns_is_ignored(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    ring.publish(lambda trade: ringbus.DECLINE)
    assert len(reader.take()) == 1


def test_an_event_that_a_translator_keeps_is_its_own(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    kept: list[Trade] = []

    def keep(trade: Trade) -> None:
        fill(trade)
        trade.number = len(kept)
        kept.append(trade)

    for _ in range(3):
        ring.publish(keep)
    assert numbers(kept) == [0, 1, 2]
    kept[0].price = 99.0
    assert [event.price for event in reader.take()] == [2.5] * 3


def test_a_translator_that_raises_publishes_nothing(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)

    def fail(trade: Trade) -> None:
        trade.price = 5.0
        raise BadLuckError

    with pytest.raises(BadLuckError):
        ring.publish(fail)
    with pytest.raises(BadLuckError):
        ring.try_publish(fail)
    assert (ring.cursor, ring.remaining_capacity, ring.statistics().pads) == (-1, 8, 0)
    ring.publish(fill)
    assert [event.price for event in reader.take()] == [2.5]


def test_a_translator_may_publish_itself(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)

    def outer(trade: Trade) -> None:
        trade.symbol = "outer"
        ring.publish(lambda inner: setattr(inner, "symbol", "inner"))
        trade.price = 4.0

    ring.publish(outer)
    assert [(event.symbol, event.price) for event in reader.take()] == [("inner", 0.0), ("outer", 4.0)]


def test_a_value_whose_float_publishes_leaves_both_events_whole(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)

    class Sly:
        def __float__(self) -> float:
            ring.publish(symbol="inner", price=1.0, number=1)
            return 2.0

    ring.publish(symbol="outer", price=Sly(), number=2)  # type: ignore[call-arg, arg-type, unused-ignore] # on purpose
    assert reader.take() == [
        Trade(symbol="inner", price=1.0, number=1),
        Trade(symbol="outer", price=2.0, number=2),
    ]


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"price": 1.0}, ringbus.SchemaError, "symbol"),
        ({"symbol": "a", "price": 1.0, "quantty": 2.0}, ringbus.SchemaError, "quantity"),
        ({"symbol": "a", "price": "1"}, ringbus.FieldError, "price"),
        ({"symbol": "a" * 17, "price": 1.0}, ringbus.FieldError, "16"),
        ({"symbol": "a", "price": 1.0, "number": 2**63}, ringbus.FieldError, "number"),
    ],
)
def test_fields_that_do_not_fit_publish_nothing(
    ring: ringbus.RingBuffer[Trade], fields: dict[str, Any], error: type[Exception], says: str
) -> None:
    reader = read_all(ring)
    for verb in (ring.publish, ring.try_publish, ring.producer().publish):
        with pytest.raises(error, match=says):
            verb(**fields)
    assert (ring.cursor, ring.remaining_capacity) == (-1, 8)
    assert reader.take(timeout=0) == []


@pytest.mark.parametrize(
    "arguments",
    [(1,), ("a",), (None,), (Halted(),), (Quote,), (Trade, 1), (fill, fill), (Trade, fill, fill), ([],)],
    ids=repr,
)
def test_what_is_no_event_is_refused(ring: ringbus.RingBuffer[Trade], arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ringbus.SchemaError):
        ring.publish(*arguments)
    assert ring.cursor == -1


def test_an_event_and_fields_together_are_refused(ring: ringbus.RingBuffer[Trade]) -> None:
    with pytest.raises(ringbus.SchemaError):
        ring.publish(Trade(symbol="a", price=1.0), price=2.0)
    with pytest.raises(ringbus.SchemaError):
        ring.publish(fill, price=2.0)
    assert ring.cursor == -1


def test_an_event_larger_than_the_fast_path_is_published_whole() -> None:
    class Page(ringbus.Event):
        text: str = ringbus.text(3000)
        number: int = 5

    ring = ringbus.RingBuffer(Page, 4)
    reader = read_all(ring)
    ring.publish(text="a" * 3000)
    ring.publish(Page(text="b", number=6))
    ring.publish(lambda page: setattr(page, "text", "c" * 2999))
    assert [(page.text, page.number) for page in reader.take()] == [("a" * 3000, 5), ("b", 6), ("c" * 2999, 5)]


# -- handing on -------------------------------------------------------------------------------------------------------


def test_a_handler_may_hand_its_event_on_to_another_ring(ring: ringbus.RingBuffer[Trade]) -> None:
    other = trades(64)
    reader = read_all(other)
    group = ring.consumer_group("bridge")
    group.add("bridge", other.publish)
    with group:
        publish_trades(ring, 50)
    assert all(is_whole(trade, number) for number, trade in enumerate(reader.take(64)))
    assert other.cursor == 49


def test_a_handler_may_publish_to_its_own_ring() -> None:
    ring = trades(64)
    group = ring.consumer_group("echo")
    seen: list[int] = []

    def echo(trade: Trade) -> None:
        seen.append(trade.number)
        if trade.number < 10:
            assert ring.try_publish(symbol="echo", price=0.0, number=trade.number + 100)

    group.add("echo", echo)
    with group:
        publish_trades(ring, 10)
        group.drain(PATIENCE)
    assert sorted(seen) == [*range(10), *range(100, 110)]


# -- full rings and time-outs -----------------------------------------------------------------------------------------


def test_try_publish_says_whether_there_was_room(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    ways: list[Any] = [
        lambda: ring.try_publish(symbol="a", price=1.0),
        lambda: ring.try_publish(fill),
        lambda: ring.try_publish(Trade(symbol="a", price=1.0)),
        lambda: ring.try_publish(Trade, symbol="a", price=1.0),
    ]
    assert [way() for way in ways * 2] == [True] * 8
    assert [way() for way in ways] == [False] * 4
    assert len(reader.take()) == 8
    assert ring.cursor == 7


def test_the_time_out_of_a_handle_is_its_own(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    publish_trades(ring, 8)
    hasty = ring.producer(timeout=0.01)
    assert (hasty.timeout, ring.timeout) == (0.01, None)
    for verb in (
        lambda: hasty.publish(symbol="a", price=1.0),
        lambda: hasty.publish(fill),
        lambda: hasty.claim().__enter__(),
        lambda: hasty.claim(3).__enter__(),
        lambda: hasty.publish_batch(rows(2)),
    ):
        with pytest.raises(ringbus.WaitTimeout, match=r"reader \(8 behind\)") as caught:
            verb()
        assert caught.value.seconds == pytest.approx(0.01, abs=0.01)
    assert numbers(reader.take()) == list(range(8))
    hasty.publish(symbol="a", price=1.0)


def test_the_time_out_of_a_ring_is_that_of_its_verbs() -> None:
    ring = trades(2, timeout=0.01)
    with ring.poller("slow"):
        publish_trades(ring, 2)
        with pytest.raises(ringbus.WaitTimeout, match="slow"):
            publish_trades(ring, 1)
        with pytest.raises(ringbus.WaitTimeout, match="slow"):
            ring.claim().__enter__()


def test_a_blocked_publish_goes_on_when_the_consumer_does(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    thread = threading.Thread(target=publish_trades, args=(ring, 100), daemon=True)
    thread.start()
    seen: list[int] = []
    while len(seen) < 100:
        seen += numbers(reader.take(3, PATIENCE))
    thread.join(PATIENCE)
    assert seen == list(range(100))


def test_without_consumers_a_ring_overwrites(ring: ringbus.RingBuffer[Trade]) -> None:
    publish_trades(ring, 100)
    assert (ring.cursor, ring.remaining_capacity) == (99, 8)


@pytest.mark.parametrize("start", [1, 7, 2**31 - 3, 2**32 - 3, 2**62 - 2**32 - 100])
@pytest.mark.parametrize("producers", PRODUCERS)
def test_a_ring_may_start_at_any_sequence(producers: Any, start: int) -> None:
    ring = trades(8, producers, start=start)
    assert ring.cursor == start - 1
    reader = read_all(ring)
    assert ring.publish_batch(rows(5)) == start + 4
    publish_trades(ring, 3, first=5)
    assert not ring.try_publish(fill)
    assert numbers(reader.take()) == list(range(8))
    publish_trades(ring, 2, first=8)
    assert numbers(reader.take()) == [8, 9]
    assert reader.sequence == ring.cursor == start + 9


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_is_copied_in_order(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    array = rows(5)
    assert ring.publish_batch(array) == 4
    array["number"] = 99
    assert numbers(reader.take()) == list(range(5))
    for lap in range(20):
        assert ring.publish_batch(rows(5, 5 * lap)) == 5 * lap + 9
        assert [(e.number, e.symbol) for e in reader.take()] == [(n, f"s{n}") for n in range(5 * lap, 5 * lap + 5)]


@pytest.mark.parametrize("part", [slice(None, None, 2), slice(None, None, -1), slice(1, 6, 3), slice(3, 3)], ids=str)
def test_a_batch_may_be_any_view_of_an_array(ring: ringbus.RingBuffer[Trade], part: slice) -> None:
    reader = read_all(ring)
    array = rows(7)
    last = ring.publish_batch(array[part])
    assert numbers(reader.take(timeout=0)) == array[part]["number"].tolist()
    assert last == ring.cursor


def test_an_empty_batch_publishes_nothing_and_gives_the_cursor(ring: ringbus.RingBuffer[Trade]) -> None:
    assert ring.publish_batch(rows(0)) == -1
    publish_trades(ring, 3)
    assert ring.publish_batch(rows(0)) == 2 == ring.cursor


def test_a_batch_larger_than_the_ring_goes_in_as_many_claims_as_it_takes(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("reader")
    seen: list[int] = []
    group.add("reader", lambda trade: seen.append(trade.number))
    with group:
        assert ring.publish_batch(rows(1000)) == 999
    assert seen == list(range(1000))


def test_a_batch_that_times_out_says_how_many_were_published(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    with pytest.raises(ringbus.WaitTimeout) as caught:
        ring.publish_batch(rows(11), timeout=0.01)
    assert caught.value.__notes__ == ["8 of 11 events were published"]
    assert caught.value.seconds == 0.01
    assert "longer than 0.01 s" in str(caught.value)
    assert numbers(reader.take()) == list(range(8))
    assert ring.publish_batch(rows(11)[8:]) == 10
    assert numbers(reader.take()) == [8, 9, 10]


def test_a_batch_of_a_narrower_type_is_converted(ring: ringbus.RingBuffer[Trade]) -> None:
    reader = read_all(ring)
    narrow = np.zeros(3, [("number", "i4"), ("price", "f4"), ("quantity", "u1"), ("symbol", "S4")])
    narrow["number"] = [1, 2, 3]
    narrow["symbol"] = b"abcd"
    ring.publish_batch(narrow)
    assert [(e.number, e.symbol, e.quantity) for e in reader.take()] == [(n, "abcd", 0.0) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), Trade.dtype),
        np.zeros((), Trade.dtype),
        np.zeros(3),
        np.zeros(3, Quote.dtype),
        np.zeros(3, [("number", "f8"), ("price", "f8"), ("quantity", "f8"), ("symbol", "S16")]),
        np.zeros(3, [("number", "i8"), ("price", "f8"), ("quantity", "f8"), ("symbol", "S17")]),
        [1, 2],
    ],
    ids=["two axes", "no axis", "numbers", "quotes", "floats for ints", "longer text", "list"],
)
def test_a_batch_that_does_not_fit_publishes_nothing(ring: ringbus.RingBuffer[Trade], array: Any) -> None:
    with pytest.raises(ringbus.SchemaError):
        ring.publish_batch(array)
    assert ring.cursor == -1


# -- closing ----------------------------------------------------------------------------------------------------------


def test_a_closed_ring_takes_nothing(ring: ringbus.RingBuffer[Trade]) -> None:
    producer = ring.producer()
    with ring:
        publish_trades(ring, 2)
    assert ring.closed
    for verb in (
        lambda: publish_trades(ring, 1),
        lambda: producer.publish(fill),
        lambda: ring.try_publish(fill),
        lambda: ring.publish_batch(rows(2)),
        lambda: ring.claim().__enter__(),
        ring.try_claim,
    ):
        with pytest.raises(ringbus.ClosedError):
            verb()
    assert ring.cursor == 1
