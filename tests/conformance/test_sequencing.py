"""Statements 1 to 15: what is claimed, published, available and free.

Python has no bare sequencer or barrier. Sequences are seen by `cursor` and by what a batch returns, availability by
`is_available`, a consumer that stays where it is by a poller that nobody asks, and `wait_for` by `take`.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ringbus
from support.variants import (
    Gate,
    Number,
    Variant,
    facts_of,
    nothing,
    only,
    open_claims,
    opened_at_end,
    publish,
    taken,
)

INT64_MAX = 2**63 - 1

structured = only("arrays of slots need structured memory", lambda variant: variant.structured)
many_open = only("several open claims need many producers", lambda variant: variant.many)
six_open = only(
    "a single producer has one claim open, of one object at a time",
    lambda variant: variant.many or variant.structured,
)


# -- 1 ----------------------------------------------------------------------------------------------------------------


def test_01_the_first_claim_of_a_new_ring_is_sequence_0(variant: Variant) -> None:
    ring = variant.ring(16)
    assert ring.cursor == -1
    with ring.claim() as event:
        event.value = 1
    assert ring.cursor == 0
    assert ring.is_available(0)
    assert not ring.is_available(1)


@structured
def test_01_a_first_claim_of_four_ends_at_3(variant: Variant) -> None:
    ring = variant.ring(16)
    with ring.claim(4) as events:
        assert len(events) == 4
    assert ring.cursor == 3
    assert ring.is_available(3)
    assert not ring.is_available(4)
    assert variant.ring(16).publish_batch(np.zeros(4, Number.dtype)) == 3


@only("objects are claimed one by one", lambda variant: not variant.structured)
def test_01_four_claims_of_one_object_end_at_3(variant: Variant) -> None:
    ring = variant.ring(16)
    publish(ring, 4)
    assert ring.cursor == 3


# -- 2 ----------------------------------------------------------------------------------------------------------------


def has_room(variant: Variant, count: int, published: int) -> bool:
    """Whether `count` slots can be claimed, on a ring of 16 of its own with a consumer at -1."""
    ring = variant.ring(16)
    poller = ring.poller("idle")
    publish(ring, published)
    free = ring.remaining_capacity >= count
    if variant.structured:
        taken = ring.try_claim(count) is not None
    else:
        taken = sum(ring.try_publish(value=value) for value in range(count)) == count
    assert poller.sequence == -1
    assert taken == free
    return taken


@pytest.mark.parametrize(
    ("count", "published", "expected"), [(1, 0, True), (16, 0, True), (15, 1, True), (16, 1, False)]
)
def test_02_there_is_room_up_to_what_the_consumer_has_not_seen(
    variant: Variant, count: int, published: int, expected: bool
) -> None:
    assert has_room(variant, count, published) is expected


def test_02_there_is_no_room_for_17_on_a_ring_of_16(variant: Variant) -> None:
    ring = variant.ring(16)
    with ring.poller("idle"):
        assert ring.remaining_capacity < 17
        with pytest.raises(ringbus.CapacityError, match="17"):
            ring.try_claim(17)


# -- 3 ----------------------------------------------------------------------------------------------------------------


def test_03_a_full_ring_refuses_and_times_out_until_the_consumer_moves_by_one(variant: Variant) -> None:
    ring = variant.ring(16)
    poller = ring.poller("slow")
    publish(ring, 16)
    assert ring.remaining_capacity == 0
    assert ring.try_publish(value=16) is False
    assert ring.try_claim() is None
    with pytest.raises(ringbus.WaitTimeout, match="slow"), ring.claim(timeout=0.001):
        pytest.fail("a full ring gave a slot")
    with pytest.raises(ringbus.WaitTimeout, match="slow"):
        ring.producer(timeout=0.001).publish(value=16)
    assert taken(poller, 1) == [0]
    assert [ring.try_publish(value=16), ring.try_publish(value=17)] == [True, False]
    with pytest.raises(ringbus.WaitTimeout):
        ring.producer(timeout=0.001).publish(value=17)
    assert taken(poller) == list(range(1, 17))


# -- 4 ----------------------------------------------------------------------------------------------------------------


def test_04_the_remaining_capacity_falls_with_each_publish(variant: Variant) -> None:
    ring = variant.ring(16)
    with ring.poller("idle"):
        seen = [ring.remaining_capacity]
        for value in range(16):
            ring.publish(value=value)
            seen.append(ring.remaining_capacity)
    assert seen == list(range(16, -1, -1))


@many_open
def test_04_open_claims_count_as_taken(variant: Variant) -> None:
    ring = variant.ring(16)
    with ring.poller("idle"):
        claims = open_claims(ring, 6)
        assert ring.remaining_capacity == 10
        more = 10 if variant.together else 1  # a process has at most seven open claims on a shared ring
        claims += open_claims(ring, more)
        assert ring.remaining_capacity == 10 - more
        for claim in claims:
            claim.close()
        assert ring.remaining_capacity == 10 - more


@pytest.mark.parametrize("before", [0, 7, 15])
def test_04_an_open_claim_counts_as_taken_before_it_is_published(variant: Variant, before: int) -> None:
    ring = variant.ring(16)
    with ring.poller("idle"):
        publish(ring, before)
        with ring.claim() as event:
            event.value = before
            assert ring.remaining_capacity == 16 - before - 1
        assert ring.remaining_capacity == 16 - before - 1


@structured
def test_04_every_slot_of_an_open_claim_of_many_counts_as_taken(variant: Variant) -> None:
    ring = variant.ring(16)
    with ring.poller("idle"), ring.claim(6):
        assert ring.remaining_capacity == 10


# -- 5 ----------------------------------------------------------------------------------------------------------------


def available(ring: ringbus.RingBuffer[object], count: int) -> list[bool]:
    return [ring.is_available(sequence) for sequence in range(count)]


@six_open
def test_05_what_is_claimed_is_available_only_when_it_is_published(variant: Variant) -> None:
    ring = variant.ring(16)
    if variant.many:
        claims = open_claims(ring, 6)
        assert available(ring, 7) == [False] * 7
        for claim in claims:
            claim.close()
    else:
        with ring.claim(6):
            assert available(ring, 7) == [False] * 7
    assert available(ring, 7) == [True] * 6 + [False]


@structured
def test_05_a_claim_of_six_is_available_as_a_whole(variant: Variant) -> None:
    ring = variant.ring(16)
    with ring.poller("reader") as poller:
        with ring.claim(6) as events:
            events["value"] = range(6)
            assert available(ring, 7) == [False] * 7
            assert taken(poller) == []
        assert available(ring, 7) == [True] * 6 + [False]
        assert taken(poller) == list(range(6))


def test_05_one_open_claim_is_not_available(variant: Variant) -> None:
    ring = variant.ring(16)
    with ring.poller("reader") as poller:
        with ring.claim() as event:
            event.value = 5
            assert not ring.is_available(0)
            assert taken(poller) == []
        assert ring.is_available(0)
        assert taken(poller) == [5]


# -- 6 ----------------------------------------------------------------------------------------------------------------


def test_06_a_sequence_that_was_overwritten_is_not_available(variant: Variant) -> None:
    ring = variant.ring(16)
    publish(ring, 1)
    assert ring.is_available(0)
    publish(ring, 15)
    assert ring.is_available(0)
    publish(ring, 1)
    assert not ring.is_available(0)
    assert [ring.is_available(sequence) for sequence in range(1, 18)] == [True] * 16 + [False]


# -- 7 ----------------------------------------------------------------------------------------------------------------


def test_07_a_consumer_may_read_up_to_the_last_published(variant: Variant) -> None:
    ring = variant.ring(16)
    poller = ring.poller("reader")
    publish(ring, 5)
    assert taken(poller) == list(range(5))
    assert poller.sequence == 4
    publish(ring, 5, first=5)
    assert taken(poller) == list(range(5, 10))
    assert poller.sequence == 9


@many_open
def test_07_of_ten_claimed_a_consumer_may_read_what_is_published(variant: Variant) -> None:
    ring = variant.ring(16)
    poller = ring.poller("reader")
    count = 10 if variant.together else 7  # a process has at most seven open claims on a shared ring
    claims = open_claims(ring, count)
    assert taken(poller) == []
    for claim in claims[:5]:
        claim.close()
    assert taken(poller) == list(range(5))
    assert poller.sequence == 4
    for claim in claims[5:]:
        claim.close()
    assert taken(poller) == list(range(5, count))
    assert poller.sequence == count - 1


# -- 8 ----------------------------------------------------------------------------------------------------------------


@many_open
def test_08_a_consumer_stops_before_a_gap(variant: Variant) -> None:
    ring = variant.ring(16)
    poller = ring.poller("reader")
    claims = open_claims(ring, 7)
    claims[3].close()
    claims[5].close()
    assert available(ring, 7) == [False, False, False, True, False, True, False]
    assert taken(poller) == []
    for number, readable in [(0, [0]), (2, []), (1, [1, 2, 3]), (4, [4, 5]), (6, [6])]:
        claims[number].close()
        assert taken(poller) == readable
    assert poller.sequence == 6


# -- 9 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, -(2**40), 17, 2**70])
@pytest.mark.parametrize("verb", ["claim", "try_claim"])
def test_09_a_claim_out_of_range_is_an_error_and_changes_nothing(variant: Variant, verb: str, count: int) -> None:
    ring = variant.ring(16)
    with ring.poller("reader") as poller:
        publish(ring, 3)
        before = facts_of(ring)
        with pytest.raises(ringbus.CapacityError, match=r"1 to 16") as caught:
            getattr(ring, verb)(count)
        assert caught.value.value == count
        assert facts_of(ring) == before
        publish(ring, 1, first=3)
        assert taken(poller) == [0, 1, 2, 3]


# -- 10 ---------------------------------------------------------------------------------------------------------------


def test_10_the_slots_hold_the_last_lap(variant: Variant) -> None:
    ring = variant.ring(32)
    with ring.poller("keeps up") as poller:
        for first in range(0, 32 + 1000, 8):
            publish(ring, 8, first)
            assert taken(poller) == list(range(first, first + 8))
        found = []
        for _ in range(32):
            # What a slot holds is seen by claiming it without a reset.
            with ring.claim(reset=False) as event:
                found.append(event.value)
            taken(poller)
    assert found == list(range(1000, 1032))


# -- 11 ---------------------------------------------------------------------------------------------------------------


def test_11_a_ring_of_32_takes_32_without_waiting_and_no_more(variant: Variant) -> None:
    ring = variant.ring(32)
    with ring.poller("idle") as poller:
        assert [ring.try_publish(value=number + 29) for number in range(33)] == [True] * 32 + [False]
        assert taken(poller) == list(range(29, 61))


# -- 12 ---------------------------------------------------------------------------------------------------------------


def test_12_a_claim_of_5_on_a_ring_of_4_is_an_error_and_changes_nothing(variant: Variant) -> None:
    ring = variant.ring(4)
    with ring.poller("idle"):
        before = facts_of(ring)
        with pytest.raises(ringbus.CapacityError, match="publish_batch"):
            ring.claim(5)
        assert facts_of(ring) == before


@structured
def test_12_a_batch_of_5_goes_into_a_ring_of_4_by_parts(variant: Variant) -> None:
    ring = variant.ring(4)
    rows = np.zeros(5, Number.dtype)
    rows["value"] = range(5)
    gate = variant.at_consumers(Gate)
    group = ring.consumer_group("parts")
    group.add("reader", gate)
    with group, opened_at_end(gate):
        with pytest.raises(ringbus.WaitTimeout) as caught:
            ring.publish_batch(rows, timeout=0.01)
        assert "4 of 5" in "".join(caught.value.__notes__)
        gate.open()
        assert ring.publish_batch(rows, timeout=None) == 8
    assert gate.seen == [0, 1, 2, 3, 0, 1, 2, 3, 4]


# -- 13 ---------------------------------------------------------------------------------------------------------------


def test_13_the_slowest_consumer_gates_until_it_has_left(variant: Variant) -> None:
    ring = variant.ring(16)
    slow, quick = ring.poller("slow"), ring.poller("quick")
    publish(ring, 10)
    assert ring.minimum_sequence == -1
    assert taken(slow, 4) == list(range(4))
    assert taken(quick, 8) == list(range(8))
    assert (slow.sequence, quick.sequence) == (3, 7)
    assert ring.minimum_sequence == 3
    slow.close()
    assert ring.minimum_sequence == 7


# -- 14 ---------------------------------------------------------------------------------------------------------------


def test_14_a_consumer_starts_after_the_cursor(variant: Variant) -> None:
    ring = variant.ring(16)
    publish(ring, 11)
    with ring.poller("late") as poller:
        assert poller.sequence == 10
        consumer = ring.consumer_group("later").add("later", nothing)
        assert consumer.sequence == 10
        assert ring.minimum_sequence == 10
        publish(ring, 1, first=11)
        assert taken(poller) == [11]


# -- 15 ---------------------------------------------------------------------------------------------------------------


def test_15_without_consumers_nobody_gates(variant: Variant) -> None:
    ring = variant.ring(16)
    assert ring.minimum_sequence == INT64_MAX == sys.maxsize
    ring.poller("guest").close()
    assert ring.minimum_sequence == INT64_MAX


def test_15_leaving_twice_is_harmless(variant: Variant) -> None:
    ring = variant.ring(16)
    stays, leaves = ring.poller("stays"), ring.poller("leaves")
    leaves.close()
    leaves.close()
    assert ring.minimum_sequence == stays.sequence == -1
    assert list(ring.statistics().consumers) == ["stays"]


def test_15_removing_an_unknown_consumer_changes_nothing(variant: Variant) -> None:
    ring = variant.ring(16)
    group = ring.consumer_group("group", dynamic=True)
    consumer = group.add("known", nothing)
    with pytest.raises(KeyError, match="unknown"):
        group.remove("unknown")
    assert list(group) == [consumer]
    assert ring.minimum_sequence == -1
