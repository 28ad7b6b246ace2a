"""Ctrl-C ends every wait with KeyboardInterrupt, and afterwards there is no hole: the ring goes on.

Each wait is entered by the main thread of a process of its own. A second thread sends SIGINT once the main thread is
seen to be inside the wait. How quickly that is answered is measured by benches/calls/ctrl_c.py; here it is
bounded widely.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.children import assert_clean, run_child
from support.segments import rings_folder
from support.stopped import STOPPED

__all__ = ["rings_folder"]

WATCH = """
import asyncio, contextlib, os, signal
from pathlib import Path

SLOWEST = 2.0
main = threading.main_thread()
signal.signal(signal.SIGINT, signal.default_int_handler)


def inside_a_call():
    '''Whether the main thread stays where it is although it could have the interpreter: looked at five times.'''
    seen = set()
    for _ in range(5):
        frame = sys._current_frames()[main.ident]
        seen.add((id(frame), frame.f_lasti))
        del frame
        time.sleep(0.004)
    return len(seen) == 1


def interrupted(wait):
    '''Enter the wait, have SIGINT sent, and see how long KeyboardInterrupt takes.'''
    sent, entered = [], threading.Event()

    def send():
        entered.wait()
        while not inside_a_call():
            pass
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        entered.set()
        wait()
    except KeyboardInterrupt:
        took = time.monotonic() - sent[0]
    else:
        raise AssertionError("the wait ended by itself")
    sender.join()
    assert took < SLOWEST, took
"""

STRATEGIES = ["busy_spin", "yielding", "sleeping", "blocking", "phased_backoff"]


def some_of_each(waits):
    """Every wait with the default strategy, the first with every strategy; all with all in the slow form."""
    quick = {*((wait, "blocking") for wait in waits), *((next(iter(waits)), strategy) for strategy in STRATEGIES)}
    every = [(wait, strategy) for wait in waits for strategy in STRATEGIES]
    return [pytest.param(*pair, marks=() if pair in quick else pytest.mark.slow) for pair in every]


FULL_RING = """
import numpy as np

def enter(wait):
    with wait:
        pass

for producers in ("single", "multi"):
    ring = ringbus.RingBuffer(Tick, capacity=8, wait=sys.argv[1], producers=producers)
    poller = ring.poller("p")
    for value in range(8):
        ring.publish(value=value)
    patient = ring.producer(timeout=600)
    interrupted(lambda: WAIT)
    assert ring.cursor == 7
    assert ring.remaining_capacity == 0
    assert [tick.value for tick in poller.take()] == list(range(8))
    for value in range(50):
        ring.publish(value=value)
        assert poller.next(0).value == value
    assert ring.statistics().pads == 0
print("done")
"""

PRODUCERS_WAITS = {
    "publish": "ring.publish(value=9)",
    "publish of an event": "ring.publish(Tick(value=9))",
    "publish of a translator": "ring.publish(lambda tick: None)",
    "publish with a long time-out": "patient.publish(value=9)",
    "claim": "enter(ring.claim())",
    "claim of many": "enter(ring.claim(3))",
    "claim with a long time-out": "enter(ring.claim(8, timeout=600))",
    "publish_batch": "ring.publish_batch(np.zeros(3, Tick.dtype))",
}


@pytest.mark.parametrize(("wait", "strategy"), some_of_each(PRODUCERS_WAITS))
def test_ctrl_c_ends_a_wait_on_a_full_ring_and_nothing_is_published(wait, strategy):
    ended = run_child(WATCH + FULL_RING.replace("WAIT", PRODUCERS_WAITS[wait]), strategy)
    assert_clean(ended)
    assert ended.lines == ["done"]


def test_ctrl_c_in_a_batch_that_is_partly_published_says_how_much_was():
    ended = run_child(
        WATCH
        + """
import numpy as np

ring = ringbus.RingBuffer(Tick, capacity=8)
poller = ring.poller("p")
rows = np.array([(value,) for value in range(20)], Tick.dtype)
notes = []

def publish():
    try:
        ring.publish_batch(rows)
    except KeyboardInterrupt as error:
        notes.extend(error.__notes__)
        raise

interrupted(publish)
assert [tick.value for tick in poller.take()] == list(range(8))
ring.publish_batch(rows[:8])
assert [tick.value for tick in poller.take()] == list(range(8))
print(notes)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["['8 of 20 events were published']"]


OBJECTS = """
class Order:
    value = 0

ring = ringbus.RingBuffer(factory=Order, capacity=8)
poller = ring.poller("p")
for value in range(8):
    ring.publish(value=value)
interrupted(lambda: ring.publish(value=9))
assert [order.value for order in poller.take()] == list(range(8))
assert poller.take(timeout=0) == []
ring.publish(value=10)
assert poller.next(0).value == 10
print("done")
"""


def test_ctrl_c_ends_a_wait_on_a_full_ring_of_objects():
    ended = run_child(WATCH + OBJECTS)
    assert_clean(ended)
    assert ended.lines == ["done"]


POLLERS_WAITS = {
    "take": "poller.take()",
    "take of few": "poller.take(2, 600)",
    "take_array": "poller.take_array()",
    "next": "poller.next()",
    "next with a long time-out": "poller.next(600)",
    "iteration": "list(poller)",
}


@pytest.mark.parametrize(("wait", "strategy"), some_of_each(POLLERS_WAITS))
def test_ctrl_c_ends_a_pollers_wait_and_no_event_is_lost(wait, strategy):
    ended = run_child(
        WATCH
        + """
ring = ringbus.RingBuffer(Tick, capacity=8)
poller = ring.poller("p", wait=sys.argv[1])
interrupted(lambda: WAIT)
for value in range(50):
    ring.publish(value=value)
    assert poller.next(0).value == value
print("done")
""".replace("WAIT", POLLERS_WAITS[wait]),
        strategy,
    )
    assert_clean(ended)
    assert ended.lines == ["done"]


GROUP = """
ring = ringbus.RingBuffer(Tick, capacity=8)
seen, inside, go = [], threading.Event(), threading.Event()

def handler(tick):
    seen.append(tick.value)
    inside.set()
    go.wait()

def again(first):
    '''The ring with a new group.'''
    group = ring.consumer_group("again")
    group.add("again", lambda tick: seen.append(tick.value))
    with group:
        for value in range(first, first + 20):
            ring.publish(value=value)
    return list(range(first, first + 20))

group = ring.consumer_group("g", threads={threads})
group.add("h", handler)
"""

GOES_ON = """
group.start()
ring.publish(value=0)
ring.publish(value=1)
inside.wait()
interrupted(lambda: WAIT)
assert group.state == "running", group.state
assert not group.join(0)
ring.publish(value=2)
go.set()
group.stop()
assert seen == [0, 1, 2], seen
assert seen[3:] == [] and again(3) == seen[3:]
print("done")
"""

HALTED = """
group.start()
ring.publish(value=0)
ring.publish(value=1)
inside.wait()
interrupted(lambda: WAIT)
assert not group.join(0)
go.set()
assert group.join(10)
group.stop()
assert seen == [0], seen
assert group.state == "stopped"
assert not ring.statistics().consumers
assert again(2) == seen[1:]
print("done")
"""


@pytest.mark.parametrize("threads", [None, 1], ids=["thread each", "one thread"])
@pytest.mark.parametrize(
    "wait", ["group.drain()", "group.drain(600)", "group.stop()", "group.stop(600)", "group.join()", "group.join(600)"]
)
def test_ctrl_c_ends_a_wait_for_a_group_which_runs_on(wait, threads):
    ended = run_child(WATCH + GROUP.format(threads=threads) + GOES_ON.replace("WAIT", wait))
    assert_clean(ended)
    assert ended.lines == ["done"]


@pytest.mark.parametrize("threads", [None, 1], ids=["thread each", "one thread"])
@pytest.mark.parametrize("wait", ["group.halt()", "group.__exit__(None, None, None)", "leave_by_an_error()"])
def test_ctrl_c_ends_a_wait_for_a_group_that_halts(wait, threads):
    """Who leaves a `with` by Ctrl-C leaves no group behind that runs."""
    leave = """
def leave_by_an_error():
    error = ValueError()
    group.__exit__(ValueError, error, None)
"""
    ended = run_child(WATCH + GROUP.format(threads=threads) + leave + HALTED.replace("WAIT", wait))
    assert_clean(ended)
    assert ended.lines == ["done"]


def test_ctrl_c_in_the_body_of_a_group_halts_it_and_gives_the_ring_back():
    ended = run_child(
        WATCH
        + GROUP.format(threads=None)
        + """
def body():
    with group:
        while True:
            ring.publish(value=0)

go.set()
with contextlib.suppress(KeyboardInterrupt):
    interrupted(body)
count = len(seen)
assert again(1) == seen[count:]
print("done")
"""
    )
    assert_clean(ended)
    assert ended.lines == ["done"]


def test_ctrl_c_in_a_handler_on_the_main_thread_goes_through_and_the_group_has_failed():
    ended = run_child(
        WATCH
        + GROUP.format(threads=None)
        + """
ring.publish(value=0)
interrupted(group.run_once)
assert group.state == "failed"
try:
    group.stop()
except KeyboardInterrupt:
    pass
assert not ring.statistics().consumers
assert again(1) == seen[1:]
print("done")
"""
    )
    assert_clean(ended)
    assert ended.lines == ["done"]


ASYNCIO = {
    "async for": """
async def wait():
    async for tick in ring.subscribe("s"):
        pass
""",
    "the body of a group": """
async def wait():
    async with async_group():
        ring.publish(value=0)
        await asyncio.Event().wait()
""",
    "leaving a group": """
async def wait():
    async with async_group():
        ring.publish(value=0)
""",
    "a drain in a thread": """
async def wait():
    async with async_group() as group:
        ring.publish(value=0)
        await asyncio.to_thread(group.drain)
""",
}


@pytest.mark.parametrize("wait", ASYNCIO)
def test_ctrl_c_ends_the_run_of_an_event_loop_and_its_consumers_leave(wait):
    ended = run_child(
        WATCH
        + GROUP.format(threads=None)
        + """
import gc

del group
gc.collect()

def async_group():
    group = ring.consumer_group("a")

    async def handler(tick):
        await asyncio.Event().wait()

    group.add("a", handler)
    return group
"""
        + ASYNCIO[wait]
        + """
interrupted(lambda: asyncio.run(wait()))
assert not ring.statistics().consumers, ring.statistics().consumers
assert again(1) == seen
print("done")
"""
    )
    assert_clean(ended)
    assert ended.lines == ["done"]


def test_ctrl_c_ends_a_program_that_waits_with_the_usual_exit_code():
    """Nobody catches it: a traceback, and the code of a program that Ctrl-C ended, with a group that still runs."""
    ended = run_child(
        """
import os, signal

ring = ringbus.RingBuffer(Tick, capacity=8)
seen = []
group = ring.consumer_group("g")
group.add("h", lambda tick: seen.append(tick.value))
group.start()
poller = ring.poller("full")
threading.Thread(target=lambda: (poller.take(8), os.kill(os.getpid(), signal.SIGINT))).start()
while True:
    ring.publish(value=1)
"""
    )
    assert ended.code == -2, ended
    assert ended.err.rstrip().endswith("KeyboardInterrupt"), ended


def test_other_signals_are_handled_while_a_wait_goes_on():
    """A handler that returns does not end the wait."""
    ended = run_child(
        """
import os, signal

ring = ringbus.RingBuffer(Tick, capacity=8)
poller = ring.poller("p")
handled = threading.Event()
signal.signal(signal.SIGUSR1, lambda number, frame: handled.set())

def send():
    os.kill(os.getpid(), signal.SIGUSR1)
    assert handled.wait(10)
    ring.publish(value=7)

threading.Thread(target=send).start()
print(poller.next().value)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["7"]


def test_a_signal_handler_that_publishes_while_the_main_thread_waits_is_fine():
    ended = run_child(
        """
import os, signal

ring = ringbus.RingBuffer(Tick, capacity=8)
poller = ring.poller("p")
signal.signal(signal.SIGUSR1, lambda number, frame: ring.publish(value=7))
threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
print(poller.next().value)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["7"]


STOPPED_JOIN = """
import subprocess
ring = ringbus.RingBuffer(Tick, 4, name="ticks")
other = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
other.stdout.readline()
interrupted(lambda: ring.poller("joins"))
other.send_signal(signal.SIGCONT)
with ring.poller("joins") as joins:
    ring.publish(value=1)
    print(joins.next(10).value)
"""


def test_ctrl_c_ends_the_wait_for_a_peer_that_was_stopped_while_it_joined(rings_folder: Path) -> None:
    ended = run_child(WATCH + STOPPED_JOIN, STOPPED)
    assert_clean(ended)
    assert ended.lines == ["1"]
