"""Groups: names, the graph, and what is counted."""

from __future__ import annotations

import copy
import dataclasses
import operator
import pickle
import threading
import time
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


def test_the_consumers_of_statistics_are_frozen_and_still_copied_and_pickled(ring: ringbus.RingBuffer[Trade]) -> None:
    group = ring.consumer_group("group")
    group.add("reader", nothing)
    for counted in (ring.statistics(), group.statistics()):
        consumers: Any = counted.consumers
        for change in (
            lambda consumers=consumers: consumers.pop("reader"),
            lambda consumers=consumers: consumers.update(other=None),
            lambda consumers=consumers: operator.setitem(consumers, "other", None),
            lambda consumers=consumers: operator.delitem(consumers, "reader"),
            consumers.clear,
        ):
            with pytest.raises(TypeError, match="frozen"):
                change()
        assert list(consumers) == ["reader"]
        assert pickle.loads(pickle.dumps(counted)) == copy.deepcopy(counted) == counted
        assert dataclasses.asdict(counted)["consumers"]["reader"]["events"] == 0
