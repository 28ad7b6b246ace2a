"""What a policy makes of a failure."""

from __future__ import annotations

import pytest

import ringbus
from ringbus import DECLINE, HandlerError, RingBuffer
from support.ticks import BrokenError, Tick, fails_at, publish


class Recorder:
    """A policy that notes what it is asked, and halts or goes on as told."""

    def __init__(self, *, halts=False, raises=None):
        self.halts = halts
        self.raises = raises
        self.asked = []

    def handle(self, error, sequence, event, consumer):
        self.asked.append((error, sequence, event, consumer))
        if self.raises is not None:
            raise self.raises
        if self.halts:
            raise error


@pytest.fixture(params=["single", "multi"])
def ring(request):
    return RingBuffer(Tick, capacity=16, producers=request.param)


@pytest.fixture(params=[None, 1], ids=["thread each", "one thread"])
def threads(request):
    return request.param


# -- policies -------------------------------------------------------------------------------------------------


def test_skip_goes_on_at_the_next_event(ring, threads):
    seen = []

    def handler(tick):
        if tick.value % 2:
            raise BrokenError
        seen.append(tick.value)

    group = ring.consumer_group("g", threads=threads, on_error="skip")
    consumer = group.add("h", handler)
    with group:
        publish(ring, 50)
        group.drain()
        assert consumer.sequence == 49
    assert seen == list(range(0, 50, 2))


def test_a_policy_gets_error_sequence_event_and_consumer(ring, threads):
    policy = Recorder()
    group = ring.consumer_group("g", threads=threads, on_error=policy)
    consumer = group.add("h", fails_at(3))
    with group:
        publish(ring, 5)
    ((error, sequence, event, who),) = policy.asked
    assert isinstance(error, BrokenError)
    assert (sequence, event, who) == (3, Tick(value=3), consumer)


def test_a_policy_that_raises_the_error_halts(ring):
    group = ring.consumer_group("g", on_error=Recorder(halts=True))
    group.add("h", fails_at(3))
    with pytest.raises(HandlerError) as caught, group:
        publish(ring, 5)
    assert isinstance(caught.value.__cause__, BrokenError)


def test_a_policy_that_raises_something_else_halts_with_that_as_the_cause(ring):
    own = LookupError("the policy's own")
    group = ring.consumer_group("g", on_error=Recorder(raises=own))
    group.add("h", fails_at(3))
    with pytest.raises(HandlerError) as caught, group:
        publish(ring, 5)
    assert caught.value.__cause__ is own
    assert isinstance(own.__context__, BrokenError) or own.__context__ is None


def test_a_consumers_policy_overrides_the_groups(ring):
    group = ring.consumer_group("g", on_error="halt")
    skipping = group.add("skips", fails_at(0), on_error="skip")
    with group:
        publish(ring, 3)
        group.drain()
        assert skipping.sequence == 2
    other = ring.consumer_group("h", on_error="skip")
    other.add("halts", fails_at(0), on_error="halt")
    with pytest.raises(HandlerError), other:
        publish(ring, 1)


def test_a_declined_event_is_a_failure_without_a_cause(ring, threads):
    group = ring.consumer_group("g", threads=threads)
    group.add("h", lambda tick: DECLINE)
    with pytest.raises(HandlerError, match="declined") as caught, group:
        ring.publish(value=7)
    assert caught.value.__cause__ is None
    assert caught.value.sequence == 0


def test_a_declined_event_can_be_skipped(ring, threads):
    seen = []

    def handler(tick):
        if tick.value == 1:
            return DECLINE
        return seen.append(tick.value)

    group = ring.consumer_group("g", threads=threads, on_error="skip")
    group.add("h", handler)
    with group:
        publish(ring, 3)
    assert seen == [0, 2]


def test_a_policy_is_told_of_a_declined_event_by_a_handler_error(ring):
    policy = Recorder()
    group = ring.consumer_group("g", on_error=policy)
    group.add("h", lambda tick: DECLINE)
    with group:
        ring.publish(value=7)
    ((error, sequence, event, _),) = policy.asked
    assert isinstance(error, HandlerError)
    assert (sequence, event.value) == (0, 7)


def test_a_policy_is_told_of_a_batch_by_its_first_sequence_and_a_copy(ring):
    policy = Recorder()

    @ringbus.batch
    def handler(ticks, first):
        raise BrokenError(f"{len(ticks)} from {first}")

    group = ring.consumer_group("g", on_error=policy)
    group.add("h", handler)
    publish(ring, 5)
    with group:
        group.drain()
        publish(ring, 32, first=100)
    error, sequence, events, _ = policy.asked[0]
    assert str(error) == "5 from 0"
    assert sequence == 0
    assert events["value"].tolist() == [0, 1, 2, 3, 4]
