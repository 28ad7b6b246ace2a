"""Rings of reusable Python objects: made once, filled in place, cleared after the last consumer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ringbus
from support.events import PATIENCE, PRODUCERS, Trade


class Order:
    """A mutable object with two attributes."""

    __slots__ = ("cargo", "number")

    def __init__(self) -> None:
        self.number = -1
        self.cargo: object = None


class BadLuckError(Exception):
    """What user code fails with."""


def orders(capacity: int = 8, producers: Any = "multi", **options: Any) -> ringbus.RingBuffer[Order]:
    """A ring of orders."""
    return ringbus.RingBuffer(factory=Order, capacity=capacity, producers=producers, **options)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Order]:
    """A ring of 8 orders."""
    return orders(producers=request.param)


# -- objects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("producers", PRODUCERS)
def test_each_slot_has_one_object_that_is_used_again(producers: Any) -> None:
    made: list[Order] = []

    def make() -> Order:
        made.append(Order())
        return made[-1]

    ring = ringbus.RingBuffer(factory=make, capacity=4, producers=producers)
    assert len(made) == 4
    with ring.poller("reader") as poller:
        for number in range(12):
            ring.publish(number=number)
            (order,) = poller.take()
            assert order is made[number % 4]
            assert order.number == number
    assert len(made) == 4


def test_an_object_is_filled_by_attributes_or_by_a_translator(ring: ringbus.RingBuffer[Order]) -> None:
    seen: list[tuple[int, object]] = []
    group = ring.consumer_group("reader")
    group.add("reader", lambda order: seen.append((order.number, order.cargo)))

    def fill(order: Order) -> None:
        order.number, order.cargo = 2, "b"

    with group:
        ring.publish(number=1, cargo="a")
        ring.publish(fill)
        with ring.claim() as order:
            order.number = 3
            order.cargo = "c"
        assert ring.try_publish(number=4, cargo="d")
        claim = ring.try_claim()
        assert claim is not None
        with claim as order:
            order.number = 5
            order.cargo = "e"
    assert seen == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]


def test_the_same_object_goes_down_the_whole_graph(ring: ringbus.RingBuffer[Order]) -> None:
    seen: list[object] = []
    group = ring.consumer_group("chain")
    group.add("first", lambda order: setattr(order, "cargo", order.number * 2))
    group.add("last", lambda order: seen.append(order.cargo)).depends_on("first")
    with group:
        for number in range(50):
            ring.publish(number=number)
    assert seen == [2 * number for number in range(50)]


@pytest.mark.parametrize("translate", [True, False], ids=["translator", "attributes"])
def test_an_error_while_an_object_is_filled_publishes_nothing(ring: ringbus.RingBuffer[Order], translate: bool) -> None:
    def fail(order: Order) -> None:
        order.number = 999
        raise BadLuckError

    with ring.poller("reader") as poller:
        for verb in (ring.publish, ring.try_publish):
            if translate:
                with pytest.raises(BadLuckError):
                    verb(fail)
            else:
                with pytest.raises(AttributeError, match="numbr"):
                    verb(number=999, numbr=1)
        ring.publish(number=1)
        assert [order.number for order in poller.take()] == [1]
        assert ring.statistics().pads == (2 if ring.producers == "multi" else 0)


def test_a_translator_on_a_single_producer_ring_cannot_publish() -> None:
    ring = orders(producers="single")

    def greedy(order: Order) -> None:
        ring.publish(number=1)

    with pytest.raises(ringbus.ClaimError, match="one producer"):
        ring.publish(greedy)
    ring.publish(number=2)
    assert ring.cursor == 0


@pytest.mark.parametrize(
    "verb",
    [
        lambda ring: ring.publish(Order()),
        lambda ring: ring.publish(1),
        lambda ring: ring.publish(str, str),
        lambda ring: ring.publish(Trade(symbol="a", price=1.0)),
        lambda ring: ring.claim(2),
        lambda ring: ring.claim(Trade),
        lambda ring: ring.try_claim(2),
        lambda ring: ring.publish_batch([1, 2]),
    ],
)
def test_what_needs_structured_slots_is_refused(ring: ringbus.RingBuffer[Order], verb: Callable[[Any], Any]) -> None:
    with pytest.raises(ringbus.SchemaError):
        verb(ring)
    assert (ring.cursor, ring.remaining_capacity) == (-1, 8)


def test_an_array_of_objects_cannot_be_taken(ring: ringbus.RingBuffer[Order]) -> None:
    with ring.poller("reader") as poller:
        ring.publish(number=1)
        with pytest.raises(ringbus.SchemaError, match="take"):
            poller.take_array(timeout=0)
        assert [order.number for order in poller.take(timeout=0)] == [1]


def test_a_batch_handler_of_objects_is_refused(ring: ringbus.RingBuffer[Order]) -> None:
    with pytest.raises(ringbus.ConfigurationError, match="batch"):
        ring.consumer_group("group").add("batch", ringbus.batch(lambda events: None))
    assert not ring.statistics().consumers


def test_a_consumer_that_is_lapped_cannot_read_objects_whole_and_is_refused(ring: ringbus.RingBuffer[Order]) -> None:
    with pytest.raises(ringbus.ConfigurationError, match="gating=False"):
        ring.consumer_group("group").add("lapped", lambda order: None, gating=False)
    with pytest.raises(ringbus.ConfigurationError, match="gating=False"):
        ring.poller("lapped", gating=False)
    with pytest.raises(ringbus.ConfigurationError, match="gating=False"):
        ring.subscribe("lapped", gating=False)
    assert not ring.statistics().consumers


def test_a_factory_that_fails_makes_no_ring() -> None:
    def fail() -> Order:
        raise BadLuckError

    with pytest.raises(BadLuckError):
        ringbus.RingBuffer(factory=fail, capacity=8)


@pytest.mark.parametrize(
    "options",
    [
        {"event": Trade, "factory": Order},
        {"factory": 5},
        {"factory": Order, "clear": 5},
        {"event": Trade, "clear": print},
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ringbus.ConfigurationError):
        ringbus.RingBuffer(capacity=8, **options)


def test_latencies_of_objects_are_counted_where_the_ring_stamps() -> None:
    ring = orders(stamp=True)
    group = ring.consumer_group("group")
    group.add("reader", lambda order: None)
    with group, ring.poller("poller") as poller:
        for number in range(5):
            ring.publish(number=number)
        poller.take()
        group.drain(PATIENCE)
        counted = ring.statistics().consumers
    for name in ("reader", "poller"):
        latency = counted[name].latency
        assert latency is not None
        assert latency.count == 5


# -- clear ------------------------------------------------------------------------------------------------------------


def clearing(producers: Any = "multi", capacity: int = 8) -> tuple[ringbus.RingBuffer[Order], list[int]]:
    """A ring that clears its orders, and the numbers of those that were cleared."""
    cleared: list[int] = []

    def clear(order: Order) -> None:
        cleared.append(order.number)
        order.cargo = None

    return orders(capacity, producers, clear=clear), cleared


def test_a_consumer_may_have_the_name_that_clearing_has_elsewhere() -> None:
    ring = orders(8)
    with ring.poller("(clear)"):
        assert list(ring.statistics().consumers) == ["(clear)"]
        for number in range(8):
            ring.publish(number=number)
        with pytest.raises(ringbus.WaitTimeout, match=r"\(clear\) \(8 behind\)"):
            ring.producer(timeout=0.001).publish(number=8)


@pytest.mark.parametrize("producers", PRODUCERS)
def test_an_object_is_cleared_once_and_after_the_slowest_consumer(producers: Any) -> None:
    ring, cleared = clearing(producers)
    group = ring.consumer_group("group")
    quick = group.add("quick", lambda order: None)
    slow = group.add("slow", lambda order: None, max_batch=2)
    for number in range(5):
        ring.publish(number=number)
    runners: dict[str, Any] = {consumer.name: consumer.runners[0] for consumer in (quick, slow)}
    steps = {name: runner.step for name, runner in runners.items()}
    assert steps["quick"]() == 5
    assert cleared == []
    assert steps["slow"]() == 2
    assert cleared == [0, 1]
    group.remove("quick")
    assert cleared == [0, 1]
    assert steps["slow"]() == 2
    assert cleared == [0, 1, 2, 3]
    assert steps["slow"]() == 1
    assert cleared == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("way", ["take", "next", "poll", "iteration"])
def test_an_object_that_a_poller_gave_is_cleared_at_the_next_call(way: str) -> None:
    ring, cleared = clearing()
    poller = ring.poller("reader")
    for number in range(2):
        ring.publish(number=number)
    if way == "poll":
        poller.poll(lambda order: None)
        assert cleared == [0, 1]
        return
    asks: dict[str, Callable[[], Any]] = {
        "take": lambda: poller.take(1)[0],
        "next": poller.next,
        "iteration": lambda: next(poller),
    }
    order = asks[way]()
    assert (order.number, cleared) == (0, [])
    order = asks[way]()
    assert (order.number, cleared) == (1, [0])
    assert poller.take(timeout=0) == []
    assert cleared == [0, 1]


def test_what_only_one_that_leaves_has_not_seen_is_cleared_when_it_leaves() -> None:
    ring, cleared = clearing()
    quick, slow = ring.poller("quick"), ring.poller("slow")
    for number in range(5):
        ring.publish(number=number)
    assert len(quick.take()) == 5
    assert quick.take(timeout=0) == []
    assert cleared == []
    slow.close()
    assert cleared == [0, 1, 2, 3, 4]
    assert quick.sequence == 4


def test_a_slot_is_not_written_again_before_it_was_cleared() -> None:
    ring, cleared = clearing(capacity=2)
    written: list[int] = []

    def fill(order: Order, number: int) -> None:
        assert order.cargo is None, "the object was not cleared"
        order.number, order.cargo = number, object()
        written.append(number)

    group = ring.consumer_group("group")
    group.add("first", lambda order: None)
    group.add("last", lambda order: None).depends_on("first")
    with group:
        for number in range(200):
            ring.publish(lambda order, number=number: fill(order, number))
    assert cleared == written == list(range(200))


def test_a_claim_that_failed_is_not_cleared() -> None:
    ring, cleared = clearing()
    with ring.poller("reader") as poller:
        with contextlib.suppress(BadLuckError), ring.claim():
            raise BadLuckError
        ring.publish(number=1)
        assert poller.poll(lambda order: None) == 1
    assert cleared == [1]


def test_the_cleaner_is_no_consumer_that_anybody_sees() -> None:
    ring, _ = clearing()
    with ring.poller("reader"):
        ring.publish(number=1)
        assert list(ring.statistics().consumers) == ["reader"]


@pytest.mark.parametrize("on_error", ["halt", "skip"])
def test_a_clear_that_fails_is_a_failure_of_the_consumer_that_was_last(on_error: Any) -> None:
    cleared: list[int] = []

    def clear(order: Order) -> None:
        cleared.append(order.number)
        if order.number == 1:
            raise BadLuckError

    ring = orders(clear=clear)
    group = ring.consumer_group("group", on_error=on_error)
    group.add("reader", lambda order: None, max_batch=1)
    for number in range(3):
        ring.publish(number=number)
    expected: Any = contextlib.nullcontext() if on_error == "skip" else pytest.raises(ringbus.HandlerError)
    with expected as caught, group:
        group.drain(PATIENCE)
    if on_error == "skip":
        assert cleared == [0, 1, 2]
    else:
        assert isinstance(caught.value.__cause__, BadLuckError)


def test_clearing_goes_on_while_producers_wait_for_it() -> None:
    ring, cleared = clearing(capacity=4)
    reader = ring.poller("reader")
    done = threading.Event()

    def produce() -> None:
        for number in range(100):
            ring.publish(number=number)
        done.set()

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    seen: list[int] = []
    while len(seen) < 100:
        seen += [order.number for order in reader.take(3, PATIENCE)]
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)
    assert reader.take(timeout=0) == []
    assert seen == cleared == list(range(100))
