"""What readers of a ring must get right: object rings, leaves that are refused, lapped readers."""

from __future__ import annotations

from typing import Any

import pytest

import ringbus


class Tick(ringbus.Event):
    number: int


class Quote(ringbus.Event):
    bid: float
    number: int


class Box:
    number = 0


def wipe(box: Box) -> None:
    box.number = -1


def object_ring(capacity: int = 4, **options: Any) -> ringbus.RingBuffer[Box]:
    return ringbus.RingBuffer(factory=Box, capacity=capacity, clear=wipe, **options)


@ringbus.batch
def batch(events: Any) -> None:
    raise AssertionError(events)


def test_objects_are_not_handed_out_in_batches() -> None:
    ring = object_ring()
    with pytest.raises(ringbus.ConfigurationError, match="one by one"):
        ring.consumer_group("g").add("batch", batch)
    assert not ring.statistics().consumers


def test_objects_are_not_taken_as_an_array() -> None:
    ring = object_ring()
    poller = ring.poller("p")
    ring.publish(number=1)
    with pytest.raises(ringbus.SchemaError, match="use take"):
        poller.take_array(4, timeout=0.0)
    assert [box.number for box in poller.take(4, timeout=0.0)] == [1]


@pytest.mark.parametrize("pull", [True, False])
def test_who_does_not_gate_cannot_read_objects(pull: bool) -> None:
    ring = object_ring()
    group = ring.consumer_group("g")
    join: Any = ring.poller if pull else lambda name, **options: group.add(name, print, **options)
    with pytest.raises(ringbus.ConfigurationError, match="cannot be copied"):
        join("p", gating=False)
    assert not ring.statistics().consumers


def test_objects_that_were_taken_are_cleared_at_the_next_call() -> None:
    ring = object_ring()
    poller = ring.poller("p")
    ring.publish(number=1)
    with pytest.raises(ZeroDivisionError), ring.claim():
        raise ZeroDivisionError
    [box] = poller.take(4, timeout=0.0)
    assert (box.number, poller.sequence) == (1, -1)
    assert poller.take(4, timeout=0.0) == []
    assert (box.number, poller.sequence) == (-1, 1)


def test_an_object_in_an_open_claim_is_not_cleared() -> None:
    ring = object_ring(capacity=1)
    early = ring.poller("early")
    with ring.claim() as box:
        box.number = 7
        ring.poller("late")
        early.close()
        assert box.number == 7


def test_a_consumer_that_may_not_leave_goes_on() -> None:
    ring = ringbus.RingBuffer(Tick, 4)
    group = ring.consumer_group("g", dynamic=True)
    seen: list[int] = []
    group.add("first", lambda tick: seen.append(tick.number))
    follower = ring.poller("follower", depends_on=("first",))
    with pytest.raises(ringbus.TopologyError, match="follower"):
        group.remove("first")
    ring.publish(number=1)
    assert group.run_once() == 1
    assert [tick.number for tick in follower.take(4, timeout=0.0)] == seen == [1]


def test_a_lapped_poller_counts_what_a_pad_overwrote() -> None:
    ring = ringbus.RingBuffer(Tick, 2)
    poller = ring.poller("p", gating=False)
    ring.publish(number=0)
    ring.publish(number=1)
    assert poller.next(timeout=0.0) is not None
    with pytest.raises(ZeroDivisionError), ring.claim(2):
        raise ZeroDivisionError
    assert poller.next(timeout=0.0) is None
    assert poller.missed == 1


def test_a_lapped_poller_counts_what_another_type_overwrote() -> None:
    ring = ringbus.RingBuffer(Tick | Quote, 2)
    poller = ring.poller("p", gating=False, kinds=(Quote,))
    for number in (0, 1):
        ring.publish(Quote, bid=1.0, number=number)
    assert poller.next(timeout=0.0) is not None
    for number in (2, 3):
        ring.publish(Tick, number=number)
    assert poller.next(timeout=0.0) is None
    assert poller.missed == 1


@pytest.mark.parametrize("gating", [True, False])
def test_the_batch_ends_with_the_last_event_where_a_pad_is_behind_it(gating: bool) -> None:
    ring = ringbus.RingBuffer(Tick, 8)
    group = ring.consumer_group("g")
    seen: list[tuple[int, bool]] = []
    group.add("h", lambda tick, sequence, end: seen.append((sequence, end)), gating=gating)
    ring.publish(number=1)
    ring.publish(number=2)
    with pytest.raises(ZeroDivisionError), ring.claim():
        raise ZeroDivisionError
    group.run_once()
    assert seen == [(0, False), (1, True)]
