"""What follows when a handler fails, and how the error reaches whoever should know of it."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

import ringbus
from ringbus import HandlerError, PeerDiedError, RingBuffer
from support.ticks import BrokenError, Tick, ended, fails_at, publish


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


# -- the default: halt ----------------------------------------------------------------------------------------


def test_leaving_the_group_raises_what_its_handler_raised(ring, threads):
    group = ring.consumer_group("g", threads=threads)
    group.add("h", fails_at(2))
    with pytest.raises(HandlerError) as caught, group:
        publish(ring, 3)
    error = caught.value
    assert (error.consumer, error.sequence, error.reason) == ("h", 2, None)
    assert isinstance(error.__cause__, BrokenError)
    assert str(error.__cause__) == "value 2"
    assert "Tick(value=2)" in str(error)
    assert "on_error=" in str(error)


def test_the_next_publisher_gets_the_error(ring, threads):
    group = ring.consumer_group("g", threads=threads)
    group.add("h", fails_at(0))
    group.start()
    ring.publish(value=0)
    ended(group)
    cursor = ring.cursor
    verbs = [
        lambda: ring.publish(value=1),
        lambda: ring.publish(Tick(value=1)),
        lambda: ring.publish(lambda tick: None),
        lambda: ring.try_publish(value=1),
        lambda: ring.claim().__enter__(),
        lambda: ring.claim(2).__enter__(),
        ring.try_claim,
        lambda: ring.producer(timeout=0.1).publish(value=1),
    ]
    for verb in verbs:
        with pytest.raises(HandlerError) as caught:
            verb()
        assert caught.value.sequence == 0
        assert isinstance(caught.value.__cause__, BrokenError)
    assert ring.cursor == cursor


def test_a_batch_publisher_gets_the_error(ring):
    import numpy as np

    group = ring.consumer_group("g")
    group.add("h", fails_at(0))
    group.start()
    ring.publish(value=0)
    ended(group)
    with pytest.raises(HandlerError):
        ring.publish_batch(np.zeros(3, Tick.dtype))
    assert ring.cursor == 0


def test_a_publisher_that_waits_on_a_full_ring_gets_the_error(ring, threads):
    inside, go = threading.Event(), threading.Event()

    def handler(tick):
        inside.set()
        assert go.wait(10)
        raise BrokenError("at last")

    group = ring.consumer_group("g", threads=threads)
    group.add("h", handler)
    group.start()
    publish(ring, 16)
    assert inside.wait(10)
    assert not ring.try_publish(value=16)
    caught = []

    def publisher():
        try:
            ring.publish(value=16)
        except HandlerError as error:
            caught.append(error)

    thread = threading.Thread(target=publisher)
    thread.start()
    go.set()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(caught[0].__cause__, BrokenError)
    assert ring.cursor == 15


def test_the_failed_event_and_what_follows_is_not_counted_as_handled(ring, threads):
    seen = []

    def handler(tick):
        seen.append(tick.value)
        if tick.value == 3:
            raise BrokenError

    group = ring.consumer_group("g", threads=threads)
    consumer = group.add("h", handler)
    publish(ring, 8)
    group.start()
    ended(group)
    assert seen == [0, 1, 2, 3]
    assert consumer.sequence == 2
    assert group.state == "failed"


def test_drain_raises_the_error(ring):
    group = ring.consumer_group("g")
    group.add("h", fails_at(1))
    group.start()
    publish(ring, 2)
    with pytest.raises(HandlerError):
        group.drain()
    with pytest.raises(HandlerError):
        group.stop()
    assert group.state == "failed"


def test_run_once_raises_the_error(ring):
    group = ring.consumer_group("g")
    group.add("h", fails_at(1))
    publish(ring, 2)
    with pytest.raises(HandlerError) as caught:
        group.run_once()
    assert caught.value.sequence == 1


def test_a_failure_ends_the_other_consumers_too(ring):
    group = ring.consumer_group("g")
    group.add("fails", fails_at(0))
    group.add("other", lambda tick: None)
    group.start()
    ring.publish(value=0)
    ended(group)
    assert not ring.statistics().consumers


def test_a_new_group_makes_the_ring_usable_again(ring):
    first = ring.consumer_group("first")
    first.add("h", fails_at(0))
    first.start()
    ring.publish(value=0)
    ended(first)
    seen = []
    second = ring.consumer_group("second")
    second.add("h", lambda tick: seen.append(tick.value))
    with second:
        publish(ring, 40, first=1)
    assert seen == list(range(1, 41))


def test_a_publisher_that_tries_again_and_again_does_not_pile_up_tracebacks(ring):
    group = ring.consumer_group("g")
    group.add("h", fails_at(0))
    group.start()
    ring.publish(value=0)
    ended(group)

    def depth():
        with pytest.raises(HandlerError) as caught:
            ring.publish(value=1)
        traceback, frames = caught.value.__traceback__, 0
        while traceback is not None:
            traceback, frames = traceback.tb_next, frames + 1
        return frames

    first = depth()
    assert [depth() for _ in range(20)] == [first] * 20


# -- what a handler may raise ---------------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_goes_through_as_it_is(ring, raised):
    def handler(tick):
        raise raised("from the handler")

    group = ring.consumer_group("g", on_error="skip")
    group.add("h", handler)
    with pytest.raises(raised, match="from the handler"), group:
        ring.publish(value=0)
    assert group.state == "failed"


def test_an_event_that_cannot_show_itself_does_not_hide_the_error():
    class Shy(ringbus.Event):
        value: int

        def __repr__(self):
            raise ValueError("no")

    ring = RingBuffer(Shy, capacity=4)
    group = ring.consumer_group("g")

    def handler(event):
        raise BrokenError

    group.add("h", handler)
    with pytest.raises(HandlerError, match="whose repr raises ValueError") as caught, group:
        ring.publish(value=0)
    assert isinstance(caught.value.__cause__, BrokenError)


@pytest.mark.parametrize("hook", ["on_start", "on_shutdown", "on_batch_start", "on_timeout"])
def test_an_error_in_a_life_cycle_method_is_a_failure_too(ring, hook):
    called = threading.Event()

    class Handler:
        def __call__(self, tick):
            pass

    def fail(self, *arguments):
        called.set()
        raise BrokenError(hook)

    setattr(Handler, hook, fail)
    group = ring.consumer_group("g")
    group.add("h", Handler(), timeout=0.001 if hook == "on_timeout" else None)
    group.start()
    if hook == "on_batch_start":
        ring.publish(value=0)
    elif hook != "on_shutdown":
        assert called.wait(10)
    with pytest.raises(HandlerError) as caught:
        group.stop()
    assert called.is_set()
    assert str(caught.value.__cause__) == hook


def test_an_event_of_a_failure_keeps_its_data(ring):
    policy = Recorder()
    group = ring.consumer_group("g", on_error=policy)
    group.add("h", fails_at(0, 1, 2, 3))
    with group:
        publish(ring, 40)
    assert [event.value for _, _, event, _ in policy.asked] == [0, 1, 2, 3]


# -- the body of the `with` -----------------------------------------------------------------------------------


def test_an_exception_in_the_body_wins_and_gets_notes(ring, threads):
    failed = threading.Event()

    class Noting(Recorder):
        def handle(self, error, sequence, event, consumer):
            failed.set()
            raise error

    group = ring.consumer_group("g", threads=threads, on_error=Noting())
    group.add("h", fails_at(0))

    def body():
        with group:
            ring.publish(value=0)
            assert failed.wait(10)
            raise KeyError("the body's")

    with pytest.raises(KeyError, match="the body's") as caught:
        body()
    (note,) = caught.value.__notes__
    assert "group 'g'" in note
    assert "HandlerError" in note
    assert "BrokenError('value 0')" in note


def test_an_exception_in_the_body_halts_what_runs(ring, monkeypatch):
    inside, go = threading.Event(), threading.Event()
    seen = []

    def handler(tick):
        seen.append(tick.value)
        inside.set()
        assert go.wait(10)

    group = ring.consumer_group("g")
    group.add("h", handler)
    publish(ring, 8)
    join = group._crew.join_threads
    monkeypatch.setattr(group._crew, "join_threads", lambda *arguments: (go.set(), join(*arguments)))

    def body():
        with group:
            assert inside.wait(10)
            raise KeyError

    with pytest.raises(KeyError) as caught:
        body()
    assert seen == [0]
    assert not hasattr(caught.value, "__notes__")
    assert group.state == "stopped"


def test_the_groups_own_error_raised_by_a_publish_in_the_body_gets_no_note(ring):
    group = ring.consumer_group("g")
    group.add("h", fails_at(0))

    def body():
        with group:
            while True:
                ring.publish(value=0)

    with pytest.raises(HandlerError) as caught:
        body()
    assert not hasattr(caught.value, "__notes__")


def test_several_failures_become_an_exception_group(ring):
    together = threading.Barrier(2, timeout=10)

    def handler(tick):
        together.wait()
        raise BrokenError("one of two")

    group = ring.consumer_group("g")
    group.add("a", handler)
    group.add("b", handler)
    with pytest.raises(ExceptionGroup, match="'g'") as caught, group:
        ring.publish(value=0)
    errors = caught.value.exceptions
    assert {error.consumer for error in errors} == {"a", "b"}
    assert all(isinstance(error.__cause__, BrokenError) for error in errors)


# -- other groups ---------------------------------------------------------------------------------------------


def test_dependents_in_another_group_halt_with_peer_died_when_a_group_stops(ring):
    first = ring.consumer_group("first")
    first.add("price", lambda tick: None)
    second = ring.consumer_group("second")
    second.add("risk", lambda tick: None).depends_on("price")
    second.start()
    with first:
        publish(ring, 3)
    with pytest.raises(PeerDiedError, match="'price'") as caught:
        second.stop()
    assert caught.value.name == "price"
    assert "first" in caught.value.how
    assert second.state == "failed"


def test_dependents_in_another_group_halt_with_peer_died_when_a_group_fails(ring):
    first = ring.consumer_group("first")
    first.add("price", fails_at(0))
    second = ring.consumer_group("second")
    second.add("risk", lambda tick: None).depends_on("price")
    second.start()
    first.start()
    ring.publish(value=0)
    ended(first)
    ended(second)
    with pytest.raises(PeerDiedError, match="'price'"):
        second.stop()


def test_the_publisher_gets_the_first_failure_and_not_what_followed_from_it(ring):
    first = ring.consumer_group("first")
    first.add("price", fails_at(0))
    second = ring.consumer_group("second")
    second.add("risk", lambda tick: None).depends_on("price")
    second.start()
    first.start()
    ring.publish(value=0)
    ended(first)
    ended(second)
    with pytest.raises(HandlerError) as caught:
        ring.publish(value=1)
    assert isinstance(caught.value.__cause__, BrokenError)


def test_a_group_that_depends_on_nobody_here_goes_on_when_another_fails(ring):
    seen = []
    healthy = ring.consumer_group("healthy")
    healthy.add("h", lambda tick: seen.append(tick.value))
    failing = ring.consumer_group("failing")
    failing.add("f", fails_at(0))
    with healthy:
        failing.start()
        ring.publish(value=0)
        ended(failing)
        with pytest.raises(HandlerError):
            ring.publish(value=1)
        again = ring.consumer_group("again")
        again.add("f", lambda tick: None)
        with again:
            publish(ring, 5, first=1)
    assert seen == [0, 1, 2, 3, 4, 5]


# -- halting without a failure --------------------------------------------------------------------------------


def test_halt_inside_a_handler_lets_the_producers_go(ring, threads):
    """Both threads end at the same moment, and whichever is last has to leave the ring for both."""
    for _ in range(100):
        group = ring.consumer_group("g", threads=threads)
        together = threading.Barrier(1 if threads else 2, timeout=10)

        def handler(tick, group=group, together=together):
            together.wait()
            group.halt()

        group.add("a", handler)
        group.add("b", handler)
        group.start()
        ring.publish(value=0)
        assert group.join(10)
        assert not ring.statistics().consumers
        publish(ring, 20)


# -- nothing is kept ------------------------------------------------------------------------------------------


def test_a_failed_ring_that_its_handlers_know_is_collected():
    """The failure keeps the handler's frames, and those keep the ring: a cycle through native objects."""

    def fail():
        ring = RingBuffer(Tick, capacity=4)
        group = ring.consumer_group("g")

        def handler(tick):
            assert ring.capacity
            raise BrokenError

        group.add("h", handler)
        group.start()
        ring.publish(value=0)
        ended(group)
        with pytest.raises(HandlerError):
            ring.publish(value=1)
        with pytest.raises(HandlerError):
            group.stop()
        return weakref.ref(ring)

    gone = fail()
    gc.collect()
    assert gone() is None
