"""Sources: producers that are machine code."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import ringbus
from support.children import assert_clean, run_child
from support.events import PATIENCE, PRODUCERS
from support.machine import Tick, add_up, fill, in_order, numbers, publish, sums, ticks

pytest.importorskip("numba", reason="the extra ringbus[compiled] is not installed")


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Tick]:
    """A small ring of ticks."""
    return ticks(16, producers=request.param)


def up_to_forty(event: Any, state: Any) -> bool:
    """Number the events from 0 to 39."""
    if state[0] == 40:
        return False
    event.number = state[0]
    state[0] += 1
    return True


def ends_after_five(event: Any, state: Any, sequence: Any) -> bool | None:
    """Number the events, and return nothing but at the end."""
    if sequence == 5:
        return False
    event.number = sequence
    return None


def breaks_after_five(event: Any, state: Any, sequence: Any) -> int | None:
    """Number the events, and return nothing but a failure."""
    event.number = sequence
    if sequence == 5:
        return -9
    return None


def fails_at_ten(event: Any, state: Any, sequence: Any) -> None:
    """Raise in the eleventh event."""
    event.number = sequence
    if sequence == 10:
        raise OverflowError("ten", sequence)


def leaves_all(event: Any) -> None:
    """Fill nothing."""


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_source_publishes_its_limit_in_order(ring: ringbus.RingBuffer[Tick], batch: int) -> None:
    group = ring.consumer_group("group")
    group.add("order", in_order, state=sums())
    with group, ring.source(fill, numbers(), batch=batch, limit=1000) as source:
        assert source.join(PATIENCE)
    assert (source.published, source.state.tolist(), ring.cursor) == (1000, [1000], 999)
    assert (group["order"].state.count, group["order"].state.last) == (1000, 999)


@pytest.mark.parametrize("batch", [1, 16])
def test_a_source_ends_itself_by_returning_false(ring: ringbus.RingBuffer[Tick], batch: int) -> None:
    group, seen = ring.consumer_group("group"), list[int]()
    group.add("see", lambda tick: seen.append(tick.number))
    with group, ring.source(up_to_forty, numbers(), batch=batch) as source:
        assert source.join(PATIENCE)
        assert not source.is_alive
    assert seen == list(range(40))


@pytest.mark.parametrize("batch", [1, 16])
def test_a_source_that_returns_nothing_goes_on_until_it_returns_false(
    ring: ringbus.RingBuffer[Tick], batch: int
) -> None:
    with ring.poller("see") as poller:
        with ring.source(ends_after_five, numbers(), batch=batch) as source:
            assert source.join(PATIENCE)
        assert [tick.number for tick in poller.take(100, PATIENCE)] == list(range(5))


def test_a_source_that_returns_nothing_goes_on_until_it_returns_a_failure(ring: ringbus.RingBuffer[Tick]) -> None:
    with ring.poller("see") as poller:
        source = ring.source(breaks_after_five, numbers())
        with pytest.raises(ringbus.SourceError, match="at sequence 5") as caught, source:
            source.join(PATIENCE)
        assert isinstance(caught.value.__cause__, ringbus.ReturnCodeError)
        assert "-9" in str(caught.value.__cause__)
        assert len(list(poller.take(100, PATIENCE))) == 5


def test_leaving_the_with_stops_a_source_that_has_no_end(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("order", in_order, state=sums())
    with group:
        with ring.source(fill, numbers(), batch=4) as source:
            assert not source.join(0.01)
            assert source.is_alive
        assert not source.is_alive
    assert consumer.state.count == source.published
    assert source.published + ring.statistics().pads == ring.cursor + 1


def test_a_full_ring_makes_a_source_wait_and_a_halt_ends_the_wait(ring: ringbus.RingBuffer[Tick]) -> None:
    poller = ring.poller("slow")
    with ring.source(fill, numbers(), batch=4) as source:
        while source.published < 16:
            threading.Event().wait(0.001)
        assert [tick.number for tick in poller.take(16)] == list(range(16))
    assert source.published <= 32


def test_a_source_that_waits_for_longer_than_its_time_out_says_who_lags(ring: ringbus.RingBuffer[Tick]) -> None:
    slow = ring.poller("slow")
    source = ring.source(fill, numbers(), timeout=0.01).start()
    with pytest.raises(ringbus.WaitTimeout, match="slow") as caught:
        source.join(PATIENCE)
    assert (source.published, caught.value.seconds, slow.missed) == (16, 0.01, 0)


@pytest.mark.parametrize("batch", [1, 4])
def test_an_exception_ends_the_source_and_nothing_of_that_event_is_seen(
    ring: ringbus.RingBuffer[Tick], batch: int
) -> None:
    poller = ring.poller("reader")
    source = ring.source(fails_at_ten, np.zeros(1), batch=batch, name="ten").start()
    with pytest.raises(ringbus.SourceError, match="source 'ten' failed at sequence 10") as caught:
        source.join(PATIENCE)
    assert isinstance(caught.value.__cause__, OverflowError)
    assert caught.value.__cause__.args == ("ten", 10)
    ring.publish(number=77)
    assert [tick.number for tick in poller.take(16)] == [*range(10), 77]


@pytest.mark.parametrize("producers", PRODUCERS)
def test_events_get_their_defaults_first_unless_told_otherwise(producers: Any) -> None:
    class Order(ringbus.Event):
        number: int = 5

    for reset, expected in ((True, [5, 5]), (False, [7, 8])):
        ring = ringbus.RingBuffer(Order, 2, producers=producers)
        poller = ring.poller("reader")
        for number in (7, 8):
            ring.publish(number=number)
        poller.take(2)
        with ring.source(leaves_all, limit=2, reset=reset) as source:
            source.join(PATIENCE)
        assert [order.number for order in poller.take(2)] == expected


def test_a_source_is_the_one_producer_while_it_runs() -> None:
    ring = ticks(16, producers="single")
    poller = ring.poller("reader")
    with ring.source(fill, numbers()) as source:
        while source.published < 16:
            threading.Event().wait(0.001)
        with pytest.raises(ringbus.ClaimError, match=r"a claim .* is open"):
            ring.publish(number=1)
        with pytest.raises(ringbus.ClaimError, match=r"a claim .* is open"):
            ring.source(fill, numbers()).start().join(PATIENCE)
        assert ring.remaining_capacity == 0
        poller.take(16)
    poller.take(16, timeout=0)
    ring.publish(number=99)
    assert poller.take(16)[-1].number == 99


def test_several_sources_and_python_share_a_ring_of_many_producers() -> None:
    ring = ticks(16)
    group = ring.consumer_group("group")
    group.add("sum", add_up, state=sums())
    sources = [ring.source(fill, numbers(), batch=batch, limit=500) for batch in (1, 5)]
    with group, sources[0], sources[1]:
        publish(ring, 100)
        assert all(source.join(PATIENCE) for source in sources)
    assert group["sum"].state.count == 1100
    assert group["sum"].state.total == 2 * sum(range(500)) + sum(range(100))


def test_a_failed_handler_ends_the_source(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    group.add("fails", lambda tick: 1 / 0)
    group.start()
    source = ring.source(fill, numbers()).start()
    with pytest.raises(ringbus.HandlerError):
        source.join(PATIENCE)
    with pytest.raises(ringbus.HandlerError):
        group.stop()


def test_a_closed_ring_ends_the_source(ring: ringbus.RingBuffer[Tick]) -> None:
    source = ring.source(fill, numbers()).start()
    ring.close()
    with pytest.raises(ringbus.ClosedError):
        source.join(PATIENCE)


def test_the_publish_time_is_on_every_event() -> None:
    ring = ticks(16, stamp=True)
    poller = ring.poller("reader")
    with ring.source(fill, numbers(), batch=4, limit=8) as source:
        source.join(PATIENCE)
    times = [tick.published_ns for tick in poller.take(8)]
    assert times[0] > 0
    assert times == sorted(times)
    assert len(set(times)) == 2


def test_the_events_of_a_source_have_their_type() -> None:
    class Quote(ringbus.Event):
        number: int

    ring = ringbus.RingBuffer(Tick | Quote, 16)
    poller = ring.poller("reader")
    for kind in (Tick, Quote):
        with ring.source(leaves_all, limit=2, kind=kind) as source:
            source.join(PATIENCE)
    assert [type(event) for event in poller.take(4)] == [Tick, Tick, Quote, Quote]
    with pytest.raises(ringbus.ConfigurationError, match="several event types"):
        ring.source(leaves_all)


def test_a_source_that_nobody_refers_to_is_halted(ring: ringbus.RingBuffer[Tick]) -> None:
    slow = ring.poller("slow")
    source = ring.source(fill, numbers()).start()
    thread, gone = source._thread, weakref.ref(source)
    assert thread is not None
    del source
    gc.collect()
    thread.join(PATIENCE)
    assert gone() is None
    assert not thread.is_alive()
    slow.close()


def test_a_source_runs_once(ring: ringbus.RingBuffer[Tick]) -> None:
    source = ring.source(fill, numbers(), limit=1)
    with pytest.raises(ringbus.ClaimError, match="was not started"):
        source.join()
    source.start().join(PATIENCE)
    with pytest.raises(ringbus.ClaimError, match="was started before"):
        source.start()


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"batch": 0}, ringbus.CapacityError, "0"),
        ({"batch": 17}, ringbus.CapacityError, "17"),
        ({"limit": -1}, ringbus.ConfigurationError, "limit=-1"),
        ({"limit": 1.5}, ringbus.ConfigurationError, "limit=1.5"),
        ({"timeout": -1.0}, ringbus.ConfigurationError, "timeout is -1"),
        ({"cpu": 4096}, ringbus.ConfigurationError, "cpu=4096"),
        ({"wait": "slow"}, ringbus.ConfigurationError, "slow"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        ticks(16).source(fill, numbers(), **options)


def test_a_program_ends_although_a_source_runs() -> None:
    ended = run_child(
        """
        import numpy as np
        def fill(event, state):
            event.value = state[0]
        ring = ringbus.RingBuffer(Tick, 16)
        source = ring.source(fill, np.zeros(1)).start()
        while not source.published:
            time.sleep(0.001)
        print("end")
        """
    )
    assert_clean(ended)
    assert ended.lines == ["end"]
