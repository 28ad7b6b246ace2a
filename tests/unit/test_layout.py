"""How slots lie in memory, as far as Python can see it: bytes of a slot, strides of views, alignment, headers.

A slot is its headers (publish time 8 B, type tag 2 B) and the event, aligned as the event's widest field wants it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ringbus


class Flag(ringbus.Event):
    on: bool


class Small(ringbus.Event):
    number: ringbus.int16


class Price(ringbus.Event):
    price: float


class Mixed(ringbus.Event):
    name: str = ringbus.text(5)
    price: float
    flag: bool = False


class Wide(ringbus.Event):
    block: Any = ringbus.array("f8", (9,))


class Long(ringbus.Event):
    value: Any = ringbus.field(np.longdouble, default=0.0)


def slot_bytes(event: Any, *, stamp: bool = False) -> int:
    return ringbus.RingBuffer(event, 8, stamp=stamp).statistics().slot_bytes


@pytest.mark.parametrize(
    ("event", "bare", "stamped"),
    [(Flag, 8, 16), (Small, 8, 16), (Price, 8, 16), (Mixed, 24, 32), (Wide, 72, 80), (Long, 16, 32)],
)
def test_a_slot_is_its_headers_and_the_event_aligned(event: Any, bare: int, stamped: int) -> None:
    assert slot_bytes(event) == bare
    assert slot_bytes(event, stamp=True) == stamped


@pytest.mark.parametrize(("stamp", "expected"), [(False, 8 + 72), (True, 16 + 72)])
def test_a_slot_of_several_types_has_a_tag_and_takes_the_largest(stamp: bool, expected: int) -> None:
    assert slot_bytes(Flag | Price | Wide, stamp=stamp) == expected


def test_a_slot_of_several_types_is_aligned_as_the_strictest_wants_it() -> None:
    assert slot_bytes(Price | Long) == 16 + 16
    assert slot_bytes(Price | Long) % Long.dtype.alignment == 0


def test_a_slot_of_an_object_ring_holds_no_event() -> None:
    assert ringbus.RingBuffer(factory=object, capacity=8).statistics().slot_bytes == 8


@pytest.mark.parametrize("stamp", [False, True])
@pytest.mark.parametrize("event", [Flag, Small, Price, Mixed, Wide, Long, Price | Wide, Flag | Long], ids=str)
def test_a_view_of_slots_steps_from_slot_to_slot_and_is_aligned(event: Any, stamp: bool) -> None:
    ring = ringbus.RingBuffer(event, 8, stamp=stamp)
    for known in ring.event_types:
        with ring.claim(4, known) as rows:
            assert rows.dtype == known.dtype
            assert rows.strides == (ring.statistics().slot_bytes,)
            assert rows.flags.aligned
            assert rows.flags.writeable
            assert rows.__array_interface__["data"][0] % known.dtype.alignment == 0


@pytest.mark.parametrize("event", [Price, Long])
def test_the_first_slot_lies_on_a_line_of_its_own(event: Any) -> None:
    with ringbus.RingBuffer(event, 8).claim(1) as rows:
        assert rows.__array_interface__["data"][0] % 128 == 0


def test_the_slots_of_a_view_are_those_of_the_ring() -> None:
    ring = ringbus.RingBuffer(Price, 8)
    places = []
    for _ in range(16):
        with ring.claim(1) as rows:
            places.append(rows.__array_interface__["data"][0])
    assert places[8:] == places[:8]
    assert [place - places[0] for place in places[:8]] == [8 * index for index in range(8)]


def test_a_view_that_would_wrap_is_dense_and_copied_in() -> None:
    ring = ringbus.RingBuffer(Mixed, 8, stamp=True)
    poller = ring.poller("p")
    for number in range(6):
        ring.publish(name="x", price=float(number))
    poller.take(6, timeout=0.0)
    with ring.claim(4) as rows:
        assert rows.strides == (Mixed.dtype.itemsize,)
        rows["price"] = [6.0, 7.0, 8.0, 9.0]
    assert [event.price for event in poller.take(8, timeout=0.0)] == [6.0, 7.0, 8.0, 9.0]


def test_headers_do_not_touch_the_event() -> None:
    ring = ringbus.RingBuffer(Price | Wide, 4, stamp=True)
    poller = ring.poller("p")
    block = np.full(9, -1.0)
    ring.publish(Wide, block=block)
    ring.publish(Price, price=-2.0)
    wide, price = poller.take(2, timeout=0.0)
    assert (wide.block == block).all()
    assert price.price == -2.0
    assert price.published_ns >= wide.published_ns > 0


@pytest.mark.parametrize("producers", ["single", "multi"])
@pytest.mark.parametrize("start", [0, 2**31 - 2, 2**32 - 2, 2**61, 2**62 - 2**32 - 1])
def test_a_ring_may_begin_anywhere_and_wraps_over_the_ends_of_words(producers: Any, start: int) -> None:
    ring = ringbus.RingBuffer(Price, 4, producers=producers, start=start)
    with ring.poller("p") as poller:
        for number in range(20):
            ring.publish(price=float(number))
            assert ring.cursor == start + number
            [event] = poller.take(4, timeout=0.0)
            assert event.price == number
        assert poller.sequence == start + 19


@pytest.mark.parametrize("start", [-1, 2**62 - 2**32, 2**62])
def test_a_ring_does_not_begin_where_sequences_would_run_out(start: int) -> None:
    with pytest.raises(ringbus.ConfigurationError, match="at least 0"):
        ringbus.RingBuffer(Price, 4, start=start)


def test_memory_that_is_not_used_is_not_there() -> None:
    ring = ringbus.RingBuffer(Wide, 2**26)
    assert ring.statistics().pages == "ordinary"
    ring.publish(block=np.ones(9))
    assert ring.is_available(0)
