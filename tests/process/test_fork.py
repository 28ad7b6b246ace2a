"""fork(): a child that touches what its parent made gets ForkedError in every method, and nothing hangs.

The parent goes on as if nothing had happened, and the child may make rings of its own. The group runs while the
process forks: its threads do not exist in the child.
"""

from __future__ import annotations

import pytest

import ringbus
from support.children import assert_clean, run_child

PARENT = """
import asyncio, os, traceback
import numpy as np

ring = ringbus.RingBuffer(Tick, capacity=8, producers=sys.argv[1])
seen = []
group = ring.consumer_group("g")
group.add("h", lambda tick: seen.append(tick.value))
other = ring.consumer_group("other")
new = ring.consumer_group("new")
manual = ring.consumer_group("manual", dynamic=True)
manual.add("m", lambda tick: None)
poller = ring.poller("p")
subscription = ring.subscribe("s")
patient = ring.producer(timeout=0.1)
claim = ring.claim()
consumer = group["h"]
group.start()
ring.publish(value=0)
group.drain()
ready = ring.try_claim()
del ready


def forked(run):
    '''Run in a child; its exit code.'''
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = run() or 0
        except SystemExit as error:
            raise
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forked_into_exit(run):
    '''As forked, but the child ends as a program does, with all that belongs to it.'''
    child = os.fork()
    if child == 0:
        run()
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def parent_goes_on():
    before = len(seen)
    assert [tick.value for tick in poller.take()] == list(range(before))
    subscription.close()
    manual.remove("m")
    for value in range(1, 41):
        ring.publish(value=value)
        poller.take(timeout=0)
    group.stop()
    assert seen == list(range(41)), seen
    assert group.state == "stopped"
"""

USES = {
    "ring.publish": "ring.publish(value=1)",
    "ring.publish of an event": "ring.publish(Tick(value=1))",
    "ring.publish of a translator": "ring.publish(lambda tick: None)",
    "ring.try_publish": "ring.try_publish(value=1)",
    "ring.publish_batch": "ring.publish_batch(np.zeros(3, Tick.dtype))",
    "ring.claim": "ring.claim().__enter__()",
    "ring.claim of many": "ring.claim(3).__enter__()",
    "ring.try_claim": "ring.try_claim()",
    "a claim made before": "claim.__enter__()",
    "ring.producer": "ring.producer(timeout=1)",
    "ring.consumer_group": "ring.consumer_group('child')",
    "ring.poller": "ring.poller('child')",
    "ring.subscribe": "ring.subscribe('child')",
    "ring.statistics": "ring.statistics()",
    "ring.is_available": "ring.is_available(0)",
    "ring.cursor": "ring.cursor",
    "ring.remaining_capacity": "ring.remaining_capacity",
    "ring.minimum_sequence": "ring.minimum_sequence",
    "ring.forget": "ring.forget('h')",
    "ring.recover": "ring.recover()",
    "ring.source": "ring.source(print)",
    "ring.unlink": "ring.unlink()",
    "ring.close": "ring.close()",
    "with ring": "ring.__exit__(None, None, None)",
    "producer.publish": "patient.publish(value=1)",
    "producer.try_publish": "patient.try_publish(value=1)",
    "producer.claim": "patient.claim().__enter__()",
    "producer.try_claim": "patient.try_claim()",
    "producer.publish_batch": "patient.publish_batch(np.zeros(3, Tick.dtype))",
    "group.add": "group.add('late', print)",
    "group.add while new": "new.add('late', print)",
    "group.consumer": "new.consumer('late')(print)",
    "group.start": "manual.start()",
    "group.stop": "group.stop()",
    "group.stop within": "group.stop(timeout=0.1)",
    "group.halt": "group.halt()",
    "group.drain": "group.drain()",
    "group.join": "group.join()",
    "group.run_once": "manual.run_once()",
    "group.remove": "manual.remove('m')",
    "group.statistics": "group.statistics()",
    "with group, entered": "manual.__enter__()",
    "with group, left": "group.__exit__(None, None, None)",
    "consumer.statistics": "consumer.statistics()",
    "consumer.depends_on": "manual['m'].depends_on('h')",
    "consumer.release": "consumer.release(0)",
    "poller.poll": "poller.poll()",
    "poller.poll with a handler": "poller.poll(print)",
    "poller.take": "poller.take()",
    "poller.take_array": "poller.take_array()",
    "poller.next": "poller.next()",
    "poller, iterated": "next(poller)",
    "poller.close": "poller.close()",
    "with poller": "poller.__exit__(None, None, None)",
    "subscription, iterated": "asyncio.run(anext_of(subscription))",
    "subscription.close": "subscription.close()",
}


@pytest.mark.parametrize("producers", ["single", "multi"])
def test_every_method_raises_forked_error_in_the_child(producers):
    """One child a method, so that none can profit from what another one did."""
    ended = run_child(
        PARENT
        + f"""
owner, uses = os.getpid(), {USES!r}


async def anext_of(events):
    return await anext(events)


def use(name, text):
    try:
        answer = eval(text)
    except ringbus.ForkedError as error:
        assert error.pid == owner, (error.pid, owner)
        assert "fork" in str(error) and ";" in str(error)
        return 0
    except BaseException as error:
        answer = repr(error)
    print(name, "gave", answer, flush=True)
    return 1


wrong = [name for name, text in uses.items() if forked(lambda: use(name, text))]
assert not wrong, wrong
parent_goes_on()
print("done", len(uses))
""",
        producers,
    )
    assert_clean(ended)
    assert ended.lines == [f"done {len(USES)}"]


def test_every_public_method_is_in_the_list():
    """One that is new has to raise in the child too."""
    classes = {
        "ring": ringbus.RingBuffer,
        "producer": ringbus.Producer,
        "group": ringbus.ConsumerGroup,
        "consumer": ringbus.Consumer,
        "poller": ringbus.EventPoller,
    }
    internal = {
        *("group.fail", "group.runner_ended", "group.drain_at_exit", "group.end_at_exit", "group.halt_soon"),
        *("group.connect", "group.follows", "group.rows", "consumer.keep_counts", "consumer.latency_of"),
        *("consumer.summary", "poller.latency_of", "poller.latency"),
    }
    names = {
        f"{of}.{name}"
        for of, kind in classes.items()
        for name in dir(kind)
        if not name.startswith("_") and callable(getattr(kind, name))
    }
    tried = {use.split(" ")[0].rstrip(",") for use in USES}
    assert names - tried - internal == set()


@pytest.mark.parametrize("producers", ["single", "multi"])
def test_a_child_that_does_nothing_with_the_ring_ends_as_any_program(producers):
    ended = run_child(
        PARENT
        + """
assert forked_into_exit(lambda: None) == 0
assert forked_into_exit(lambda: repr((ring, group, poller, patient, consumer, subscription))) == 0
parent_goes_on()
print("done")
""",
        producers,
    )
    assert_clean(ended)
    assert ended.lines == ["done"]


@pytest.mark.parametrize("producers", ["single", "multi"])
def test_a_child_that_drops_everything_does_not_disturb_the_parent(producers):
    """Garbage, too: what the child collects are copies."""
    ended = run_child(
        PARENT
        + """
import gc

def drop():
    for name in ("ring", "group", "other", "new", "manual", "poller", "subscription", "patient", "claim", "consumer"):
        del globals()[name]
    gc.collect()

assert forked_into_exit(drop) == 0
parent_goes_on()
print("done")
""",
        producers,
    )
    assert_clean(ended)
    assert ended.lines == ["done"]


LEAVES = {"group": "group", "ring": "ring", "poller": "poller", "claim": "ring.claim()"}


@pytest.mark.parametrize("leaves", LEAVES)
def test_a_child_that_exits_inside_a_with_keeps_its_exit_code(leaves):
    """`sys.exit` in the child passes through the `with` of the parent, which is none of the child's."""
    ended = run_child(
        f"""
import os

ring = ringbus.RingBuffer(Tick, capacity=8)
group = ring.consumer_group("g")
seen = []
group.add("h", lambda tick: seen.append(tick.value))
poller = ring.poller("p")
child = None
with {LEAVES[leaves]}:
    child = os.fork()
    if child == 0:
        sys.exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if {leaves in ("group", "poller")}:
        ring.publish(value=1)
print(code, seen)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["7 [1]" if leaves == "group" else "7 []"]


def test_a_child_makes_rings_and_groups_of_its_own_and_drains_them_at_its_end():
    ended = run_child(
        PARENT
        + """
def own():
    mine = ringbus.RingBuffer(Tick, capacity=8)
    handled = mine.consumer_group("mine")
    handled.add("h", lambda tick: print("child", tick.value, flush=True))
    handled.start()
    globals()["kept"] = handled
    for value in range(20):
        mine.publish(value=value)

assert forked_into_exit(own) == 0
parent_goes_on()
print("done")
""",
        "multi",
    )
    assert_clean(ended)
    assert ended.lines == [*(f"child {value}" for value in range(20)), "done"]


def test_a_fork_in_the_middle_of_everything_leaves_both_sides_able_to_go_on():
    """Producers and consumers run at full speed while the process forks again and again."""
    ended = run_child(
        """
import os

ring = ringbus.RingBuffer(Tick, capacity=64)
seen, stop = [], threading.Event()
group = ring.consumer_group("g")
group.add("h", lambda tick: seen.append(tick.value))
group.add("after", lambda tick: None).depends_on("h")
counts = [0, 0]

def produce(number):
    while not stop.is_set():
        ring.publish(value=number)
        counts[number] += 1

with group:
    threads = [threading.Thread(target=produce, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            try:
                ring.publish(value=9)
            except ringbus.ForkedError:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    for thread in threads:
        thread.join()
assert (seen.count(0), seen.count(1), len(seen)) == (*counts, sum(counts))
print("done")
"""
    )
    assert_clean(ended)
    assert ended.lines == ["done"]


def test_a_fork_inside_a_handler_and_inside_an_event_loop():
    ended = run_child(
        """
import asyncio, os

ring = ringbus.RingBuffer(Tick, capacity=8)
codes = []

def touch():
    child = os.fork()
    if child == 0:
        try:
            ring.publish(value=1)
        except ringbus.ForkedError:
            os._exit(3)
        os._exit(1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

group = ring.consumer_group("g")
group.add("h", lambda tick: touch())
with group:
    ring.publish(value=0)

async def handler(tick):
    touch()

async def main():
    group = ring.consumer_group("a")
    group.add("h", handler)
    async with group:
        ring.publish(value=0)
        async with ring.subscribe("s") as events:
            ring.publish(value=0)
            await anext(events)
            touch()

asyncio.run(main())
print(codes)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["[3, 3, 3, 3]"]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start_a_process_are_not_concerned(method, tmp_path):
    """The remedy that ForkedError names: the child begins with nothing of its parent's."""
    script = tmp_path / "spawned.py"
    script.write_text(
        """
import multiprocessing, sys, ringbus

class Tick(ringbus.Event):
    value: int

def child():
    ring = ringbus.RingBuffer(Tick, capacity=8)
    poller = ring.poller("p")
    ring.publish(value=5)
    sys.exit(poller.take()[0].value)

if __name__ == "__main__":
    ring = ringbus.RingBuffer(Tick, capacity=8)
    process = multiprocessing.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
    ring.publish(value=1)
    print(process.exitcode)
"""
    )
    ended = run_child("import runpy; runpy.run_path(sys.argv.pop(1), run_name='__main__')", str(script), method)
    assert_clean(ended)
    assert ended.lines == ["5"]
