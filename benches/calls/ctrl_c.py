"""How long Ctrl-C takes in every wait: from the signal to KeyboardInterrupt, and that the ring goes on afterwards.

The signal is sent at a random moment of the wait. The last line names the slowest; the exit code is 1 where that is
over the bar, and 2 where a ring did not go on.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from events import WrongResultError, expect
from ours.publishing import Kind

import ringbus

BAR_MS = 200.0
CAPACITY = 8


class Tick(ringbus.Event):
    """A number."""

    number: int


Ring = ringbus.RingBuffer[Tick]
Block = Callable[[], object]
Wait = Callable[[], AbstractContextManager[Block]]
"""Sets a ring up, gives the call that waits for ever, and checks afterwards that the ring goes on."""


def full(verb: Callable[[Ring], object], wait: str = "blocking", producers: Kind = "multi") -> Wait:
    """A producer's wait: the ring is full."""

    @contextmanager
    def setup() -> Iterator[Block]:
        ring: Ring = ringbus.RingBuffer(Tick, CAPACITY, wait=wait, producers=producers)
        with ring.poller("reader") as reader:
            for number in range(CAPACITY):
                ring.publish(number=number)
            yield lambda: verb(ring)
            expect("full ring", "what it holds", _taken(reader), list(range(CAPACITY)))
            ring.publish(number=-1)
            expect("full ring", "what comes next", _taken(reader), [-1])

    return setup


def empty(verb: Callable[[ringbus.EventPoller[Tick]], object], wait: str = "blocking") -> Wait:
    """A poller's wait: the ring is empty."""

    @contextmanager
    def setup() -> Iterator[Block]:
        ring: Ring = ringbus.RingBuffer(Tick, CAPACITY)
        with ring.poller("reader", wait=wait) as reader:
            yield lambda: verb(reader)
            ring.publish(number=1)
            expect("empty ring", "what comes next", _taken(reader), [1])

    return setup


def _taken(reader: ringbus.EventPoller[Tick]) -> list[int]:
    return [tick.number for tick in reader.take(CAPACITY, 0)]


def busy(verb: Callable[[ringbus.ConsumerGroup[Tick]], object], *, halted: bool = False) -> Wait:
    """A wait for a group whose handler does not come back."""

    @contextmanager
    def setup() -> Iterator[Block]:
        ring: Ring = ringbus.RingBuffer(Tick, CAPACITY)
        seen, entered, go = list[int](), threading.Event(), threading.Event()

        def handle(tick: Tick) -> None:
            seen.append(tick.number)
            entered.set()
            go.wait()

        group = ring.consumer_group("busy")
        group.add("handle", handle)
        group.start()
        ring.publish(number=0)
        entered.wait()
        yield lambda: verb(group)
        if not halted:
            ring.publish(number=1)
        go.set()
        group.stop()
        expect("busy group", "what was handled", seen, [0] if halted else [0, 1])

    return setup


@contextmanager
def subscription() -> Iterator[Block]:
    """`async for` on asyncio."""
    ring: Ring = ringbus.RingBuffer(Tick, CAPACITY)

    async def consume() -> None:
        async for tick in ring.subscribe("reader"):
            raise WrongResultError(f"subscription: an event from nowhere, {tick!r}")

    yield lambda: asyncio.run(consume())
    ring.publish(number=1)


def _claim(ring: Ring) -> None:
    with ring.claim():
        raise WrongResultError("claim: a full ring gave a slot")


def _claim_some(ring: Ring) -> None:
    with ring.claim(4):
        raise WrongResultError("claim: a full ring gave slots")


def _iterate(reader: ringbus.EventPoller[Tick]) -> None:
    for tick in reader:
        raise WrongResultError(f"iteration: an event from nowhere, {tick!r}")


WAITS: dict[str, Wait] = {
    "publish": full(lambda ring: ring.publish(number=9)),
    "publish, single producer": full(lambda ring: ring.publish(number=9), producers="single"),
    "publish, busy_spin": full(lambda ring: ring.publish(number=9), "busy_spin"),
    "publish, yielding": full(lambda ring: ring.publish(number=9), "yielding"),
    "publish, sleeping": full(lambda ring: ring.publish(number=9), "sleeping"),
    "publish, phased_backoff": full(lambda ring: ring.publish(number=9), "phased_backoff"),
    "claim()": full(_claim),
    "claim(4)": full(_claim_some),
    "publish_batch": full(lambda ring: ring.publish_batch(np.zeros(3, Tick.dtype))),
    "poller.take": empty(lambda reader: reader.take()),
    "poller.take, busy_spin": empty(lambda reader: reader.take(), "busy_spin"),
    "poller.take_array": empty(lambda reader: reader.take_array()),
    "poller.next": empty(lambda reader: reader.next()),
    "for event in poller": empty(_iterate),
    "group.drain": busy(lambda group: group.drain()),
    "group.stop": busy(lambda group: group.stop()),
    "group.join": busy(lambda group: group.join()),
    "group.halt": busy(lambda group: group.halt(), halted=True),
    "leaving `with group`": busy(lambda group: group.__exit__(None, None, None), halted=True),
    "async for": subscription,
}


def interrupt(wait: Wait, delay: float) -> float:
    """Interrupt a wait after `delay` seconds; the ms until KeyboardInterrupt came."""
    sent: list[int] = []

    def send() -> None:
        time.sleep(delay)
        sent.append(time.perf_counter_ns())
        os.kill(os.getpid(), signal.SIGINT)

    with wait() as block:
        sender = threading.Thread(target=send)
        ended = 0
        try:
            sender.start()
            block()
        except KeyboardInterrupt:
            ended = time.perf_counter_ns()
        sender.join()
        if not ended:
            raise WrongResultError("the wait ended by itself")
    return (ended - sent[0]) / 1e6


def measure(runs: int, rng: random.Random) -> dict[str, list[float]]:
    """The ms of each of `runs` interruptions of every wait."""
    times: dict[str, list[float]] = {name: [] for name in WAITS}
    for _ in range(runs):
        for name, wait in WAITS.items():
            times[name].append(interrupt(wait, rng.uniform(0.005, 0.075)))
    return times


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benches/calls/ctrl_c.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="6 runs of each wait in place of 25")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f"from SIGINT to KeyboardInterrupt, ms; seed {options.seed}")
    try:
        times = measure(6 if options.quick else 25, random.Random(options.seed))
    except WrongResultError as error:
        print(f"WRONG: {error}")
        return 2
    for name, row in times.items():
        print(f"  {name:<26} median {statistics.median(row):6.1f}  slowest {max(row):6.1f}")
    slowest, name = max((max(row), name) for name, row in times.items())
    print(f"slowest {slowest:.1f} ms ({name}) of {sum(map(len, times.values()))} waits, all rings went on")
    return int(slowest > BAR_MS)


if __name__ == "__main__":
    sys.exit(main())
