"""The interpreter ends while a group runs: it drains or halts as told, never hangs, never crashes, and exits with 0.

Threads that a handler holds up are left behind as daemons. The interpreter takes long to end in these tests (`slowly`),
so that whoever wakes up in the middle of it does so for sure.
"""

from __future__ import annotations

import pytest

from support.children import assert_clean, run_child

SLOWLY = """
class Slowly:
    '''Freed with the modules, when the interpreter lets no other thread run any more.'''

    def __init__(self):
        self.clock = time.monotonic

    def __del__(self):
        end = self.clock() + 0.2
        while self.clock() < end:
            pass

slowly = Slowly()
"""

RING = """
ring = ringbus.RingBuffer(Tick, capacity=int(sys.argv[1]))
group = ring.consumer_group("g", **eval(sys.argv[2]))
"""


def run(text, *, capacity=1024, **options):
    return run_child(SLOWLY + RING + text, str(capacity), repr(options))


THREADS = pytest.mark.parametrize("threads", [None, 1], ids=["thread each", "one thread"])

# -- drain ----------------------------------------------------------------------------------------------------


@THREADS
def test_a_running_group_handles_all_events_when_the_interpreter_ends(threads):
    ended = run(
        """
def handler(tick):
    if tick.value % 100 == 99:
        time.sleep(0.001)
        print(tick.value)

group.add("first", lambda tick: None)
group.add("h", handler).depends_on("first")
group.start()
for value in range(1000):
    ring.publish(value=value)
""",
        threads=threads,
    )
    assert_clean(ended)
    assert ended.lines == [str(value) for value in range(99, 1000, 100)]


@THREADS
def test_events_published_just_before_the_end_are_handled_whether_the_threads_are_up_or_not(threads):
    for _ in range(3):
        ended = run(
            """
group.add("h", lambda tick: print(tick.value))
ring.publish(value=0)
group.start()
ring.publish(value=1)
""",
            threads=threads,
        )
        assert_clean(ended)
        assert ended.lines == ["0", "1"]


def test_a_batch_handler_drains_too():
    ended = run(
        """
count = 0

@ringbus.batch
def handler(ticks):
    global count
    count += len(ticks)
    if count == 1000:
        print("all")

group.add("h", handler)
group.start()
for value in range(1000):
    ring.publish(value=value)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["all"]


def test_groups_that_depend_on_each_other_drain():
    ended = run(
        """
other = ring.consumer_group("other")
group.add("a", lambda tick: time.sleep(0.001))
other.add("b", lambda tick: tick.value == 49 and print("all")).depends_on("a")
other.start()
group.start()
for value in range(50):
    ring.publish(value=value)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["all"]


def test_a_thread_that_publishes_until_it_is_done_is_waited_for_and_all_its_events_are_handled():
    """Python joins it before the group is drained; the ring is full most of the time."""
    ended = run(
        """
seen = []

def handler(tick):
    seen.append(tick.value)
    if tick.value == 499:
        print(seen == list(range(500)))

def publish():
    for value in range(500):
        ring.publish(value=value)

group.add("h", handler)
group.start()
threading.Thread(target=publish).start()
""",
        capacity=2,
    )
    assert_clean(ended)
    assert ended.lines == ["True"]


@pytest.mark.parametrize(("code", "end"), [(3, "sys.exit(3)"), (1, "raise LookupError('the program')")])
def test_the_exit_code_is_the_programs_own_and_the_group_drains(code, end):
    ended = run(
        f"""
group.add("h", lambda tick: print(tick.value))
group.start()
ring.publish(value=7)
{end}
"""
    )
    assert (ended.code, ended.lines) == (code, ["7"])
    assert "ringbus:" not in ended.err


def test_a_drain_that_takes_too_long_is_given_up_and_says_who_lagged():
    ended = run(
        """
inside = threading.Event()

def handler(tick):
    inside.set()
    threading.Event().wait()

group.add("h", handler)
group.start()
for value in range(5):
    ring.publish(value=value)
inside.wait()
""",
        drain_timeout=0.05,
    )
    assert ended.code == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("ringbus: group 'g' at exit: WaitTimeout: draining group 'g' took longer than 0.05 s")
    assert "'h (5 behind)'" in line


def test_an_error_that_nobody_was_told_of_is_said_at_the_end():
    ended = run(
        """
def handler(tick):
    raise LookupError("the handler's")

group.add("h", handler)
group.start()
ring.publish(value=1)
group.join()
"""
    )
    assert ended.code == 0
    (line,) = ended.err.splitlines()
    assert line.startswith("ringbus: group 'g' at exit: HandlerError: consumer 'h' failed at sequence 0")


def test_an_error_that_somebody_was_told_of_is_not_said_again():
    ended = run(
        """
def handler(tick):
    raise LookupError("the handler's")

group.add("h", handler)
group.start()
ring.publish(value=1)
try:
    group.stop()
except ringbus.HandlerError as error:
    print("told")
"""
    )
    assert_clean(ended)
    assert ended.lines == ["told"]


# -- halt -----------------------------------------------------------------------------------------------------


@THREADS
def test_a_group_that_halts_at_exit_handles_the_event_in_hand_and_no_other(threads):
    ended = run(
        """
inside, go = threading.Event(), threading.Event()

def handler(tick):
    print(tick.value)
    inside.set()
    go.wait()

group.add("h", handler)
group.start()
for value in range(10):
    ring.publish(value=value)
inside.wait()

halt = group._halt_runners
group._halt_runners = lambda: (halt(), go.set())
""",
        threads=threads,
        at_exit="halt",
    )
    assert_clean(ended)
    assert ended.lines == ["0"]


@THREADS
def test_an_idle_group_ends_with_the_interpreter(threads):
    for at_exit in ("drain", "halt"):
        ended = run(
            """
group.add("a", lambda tick: None, wait="busy_spin")
group.add("b", lambda tick: None).depends_on("a")
group.add("c", lambda tick: None, workers=2).depends_on("a")
group.start()
""",
            threads=threads,
            at_exit=at_exit,
        )
        assert_clean(ended)


# -- threads that are held up ---------------------------------------------------------------------------------

NEVER_ENDS = """
inside = threading.Event()

def never_ends(*arguments):
    inside.set()
    while True:
        time.sleep(0.0002)

class Policy:
    def handle(self, *arguments):
        never_ends()

def fails(tick):
    raise ValueError

class Handler:
    def __init__(self, name):
        setattr(self, name, never_ends)

    def __call__(self, tick):
        if not hasattr(self, "on_timeout"):
            inside.wait()

class Order:
    pass
"""

HELD_UP = {
    "a handler": "group.add('h', never_ends)",
    "a handler of three arguments": "group.add('h', lambda tick, sequence, end: never_ends())",
    "a callable object": "group.add('h', type('Held', (), {'__call__': lambda self, tick: never_ends()})())",
    "a batch handler": "group.add('h', ringbus.batch(lambda ticks: never_ends()))",
    "a batch handler of two": "group.add('h', ringbus.batch(lambda ticks, first: never_ends()))",
    "a built-in function": "import functools; group.add('h', functools.partial(never_ends))",
    "a handler that does not gate": "group.add('h', never_ends, gating=False)",
    "a worker": "group.add('h', never_ends, workers=2)",
    "a key": "group.add('h', lambda tick: None, workers=2, key=never_ends)",
    "a policy": "group.add('h', fails, on_error=Policy())",
    "on_start": "group.add('h', Handler('on_start'))",
    "on_batch_start": "group.add('h', Handler('on_batch_start'))",
    "on_timeout": "group.add('h', Handler('on_timeout'), timeout=0.001)",
    "a blocked handler": "group.add('h', lambda tick: (inside.set(), threading.Event().wait()))",
}


QUICK = {"a handler", "a batch handler", "a key", "a policy", "on_timeout", "a blocked handler"}


@pytest.mark.parametrize(
    "where", [pytest.param(where, marks=() if where in QUICK else pytest.mark.slow) for where in HELD_UP]
)
def test_a_thread_that_is_held_up_in_python_code_does_not_crash_the_end(where):
    """It asks for the interpreter again and again, while that ends."""
    ended = run(
        NEVER_ENDS
        + HELD_UP[where]
        + """
group.start()
ring.publish(value=1)
assert inside.wait(10)
""",
        at_exit="halt",
    )
    assert_clean(ended)


def test_a_thread_that_is_held_up_in_the_one_thread_of_a_group_does_not_crash_the_end():
    ended = run(
        NEVER_ENDS
        + """
group.add("first", lambda tick: None)
group.add("h", never_ends).depends_on("first")
group.start()
ring.publish(value=1)
assert inside.wait(10)
""",
        at_exit="halt",
        threads=1,
    )
    assert_clean(ended)


def test_a_thread_that_is_held_up_in_a_clear_does_not_crash_the_end():
    ended = run_child(
        SLOWLY
        + NEVER_ENDS
        + """
objects = ringbus.RingBuffer(factory=Order, capacity=8, clear=never_ends)
group = objects.consumer_group("g", at_exit="halt")
group.add("h", lambda order: None)
group.start()
objects.publish()
assert inside.wait(10)
"""
    )
    assert_clean(ended)


def test_a_daemon_that_is_held_up_in_a_translator_does_not_crash_the_end():
    ended = run(
        NEVER_ENDS
        + """
threading.Thread(target=lambda: ring.publish(never_ends), daemon=True).start()
assert inside.wait(10)
"""
    )
    assert_clean(ended)


# -- producers and pollers on daemon threads ------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["busy_spin", "yielding", "sleeping", "blocking", "phased_backoff"])
def test_daemons_that_wait_on_a_full_and_on_an_empty_ring_do_not_hold_up_the_end(strategy):
    ended = run_child(
        SLOWLY
        + """
full = ringbus.RingBuffer(Tick, capacity=2, wait=sys.argv[1])
empty = ringbus.RingBuffer(Tick, capacity=2, wait=sys.argv[1])
holds, waits = full.poller("holds"), empty.poller("waits")

def publish():
    while True:
        full.publish(value=1)

for target in (publish, publish, lambda: list(waits), lambda: full.claim(2).__enter__()):
    threading.Thread(target=target, daemon=True).start()
while full.remaining_capacity:
    pass
""",
        strategy,
    )
    assert_clean(ended)


@pytest.mark.parametrize("at_exit", ["drain", "halt"])
def test_a_daemon_that_publishes_on_and_on_does_not_hold_up_the_end(at_exit):
    """What is published after the end began is not waited for."""
    ended = run(
        """
seen = threading.Event()

def publish():
    while True:
        ring.publish(value=1)

group.add("h", lambda tick: seen.set())
group.start()
threading.Thread(target=publish, daemon=True).start()
assert seen.wait(10)
""",
        capacity=8,
        at_exit=at_exit,
    )
    assert_clean(ended)


def test_a_daemon_that_waits_on_a_ring_that_a_stuck_handler_keeps_full_does_not_hold_up_the_end():
    ended = run(
        """
def publish():
    while True:
        ring.publish(value=1)

group.add("h", lambda tick: threading.Event().wait())
group.start()
threading.Thread(target=publish, daemon=True).start()
while ring.remaining_capacity:
    pass
""",
        capacity=2,
        at_exit="halt",
    )
    assert_clean(ended)


@pytest.mark.parametrize("at_exit", ["drain", "halt"])
def test_a_group_that_runs_in_the_with_of_a_daemon_ends_with_the_interpreter(at_exit):
    ended = run(
        """
seen = threading.Event()

def run():
    with group:
        while True:
            ring.publish(value=1)

group.add("h", lambda tick: seen.set())
threading.Thread(target=run, daemon=True).start()
assert seen.wait(10)
""",
        capacity=8,
        at_exit=at_exit,
    )
    assert_clean(ended)


def test_a_group_of_async_handlers_whose_loop_has_ended_does_not_hold_up_the_end():
    ended = run(
        """
import asyncio

async def handler(tick):
    print(tick.value)

group.add("h", handler)

async def main():
    group.start()
    ring.publish(value=1)
    while group["h"].sequence < 0:
        await asyncio.sleep(0)

asyncio.run(main())
ring.publish(value=2)
"""
    )
    assert_clean(ended)
    assert ended.lines == ["1"]


def test_an_open_claim_a_subscription_and_a_kept_event_do_not_disturb_the_end():
    ended = run(
        """
poller = ring.poller("p")
subscription = ring.subscribe("s")
ring.publish(value=1)
kept = poller.take()
claim = ring.claim()
trade = claim.__enter__()
array = ring.claim(3).__enter__()
group.add("h", lambda tick: None)
"""
    )
    assert_clean(ended)
