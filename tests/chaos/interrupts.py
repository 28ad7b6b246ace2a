"""Ctrl-C in each blocking call while another process holds the ring up: how long it takes, and that no hole is left.

    python tests/chaos/interrupts.py 500 --seed 7

A producer waits for a reader of another process that takes nothing; a reader waits behind a claim that is open in
another process; a group waits for a consumer of another process that does not move. The signal comes at a random
moment of the wait. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import ringbus
from chaos import ledger, roles
from chaos.kill_test import verdict
from chaos.ledger import SEEN
from chaos.roles import Beat, checked
from chaos.scene import Stage, stage, wait_until

CAPACITY = 8
Ring = ringbus.RingBuffer[Any]
Group = ringbus.ConsumerGroup[Any]
Kind = Literal["single", "multi"]
Block = Callable[[], object]
Case = Callable[[Stage, "Outcome"], AbstractContextManager[Block]]
"""Sets a ring up, gives the call that waits for ever, and looks for holes afterwards."""


@dataclass
class Outcome:
    """What came of the interruptions."""

    times_ms: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Note a difference."""
        if found != wanted:
            self.wrong.append(f"{what}: {found}, not {wanted}")


@contextmanager
def held_up(stage: Stage, *, claim: bool, producers: Kind = "multi", **options: Any) -> Iterator[Any]:
    """A ring that another process holds up; gives the ring and what lets it go."""
    name = stage.name()
    place = stage.folder / name
    ring = ringbus.RingBuffer(Beat, CAPACITY, name=name, producers=producers, **options)
    child = stage.nursery.start("blocker", ring=name, name="other", claim=claim)
    wait_until("the other process holds the ring up", (place / "ready-other").exists)

    def let_go() -> None:
        child.send(signal.SIGTERM)
        wait_until("the other process lets go", (place / "let-go-other").exists)

    try:
        yield ring, let_go
    finally:
        (place / "leave").touch()
        child.send(signal.SIGTERM)
        wait_until("the other process ends", lambda: child.wait(0))
        child.reap()
        stage.nursery.children.remove(child)
        ring.close()
        ring.unlink()
        del ring
        gc.collect()


def publish(ring: Ring, number: int) -> None:
    """Publish one whole event."""
    ring.publish(producer=0, number=number, check=checked(0, number))


def full(verb: Callable[[Ring], object], wait: str = "blocking", producers: Kind = "multi") -> Case:
    """A producer waits: the reader of another process takes nothing."""

    @contextmanager
    def case(stage: Stage, outcome: Outcome) -> Iterator[Block]:
        with held_up(stage, claim=False, wait=wait, producers=producers) as (ring, let_go):
            for number in range(CAPACITY):
                publish(ring, number)
            yield lambda: verb(ring)
            outcome.expect("cursor of a full ring", ring.cursor, CAPACITY - 1)
            let_go()
            rows = ledger.read(stage.folder / ring.name / "seen-other-0", SEEN)
            outcome.expect("what it held", rows["number"].tolist(), list(range(CAPACITY)))
            outcome.expect("whole events", rows["whole"].tolist(), [1] * CAPACITY)
            outcome.expect("Pads", ring.statistics().pads, 0)
            publish(ring, CAPACITY)
            outcome.expect("cursor afterwards", ring.cursor, CAPACITY)

    return case


def behind(verb: Callable[[ringbus.EventPoller[Any]], object], wait: str = "blocking") -> Case:
    """A reader waits behind a claim that is open in another process."""

    @contextmanager
    def case(stage: Stage, outcome: Outcome) -> Iterator[Block]:
        with held_up(stage, claim=True, require=("reader",)) as (ring, let_go):
            with ring.poller("reader", wait=wait) as reader:
                publish(ring, 1)
                yield lambda: verb(reader)
                let_go()
                outcome.expect("what comes next", [beat.number for beat in reader.take(8, 5.0)], [0, 1])
            outcome.expect("Pads", ring.statistics().pads, 0)

    return case


def following(verb: Callable[[Group], object], *, process: bool = False, halts: bool = False) -> Case:
    """A group waits for a consumer of another process that does not move."""

    @contextmanager
    def case(stage: Stage, outcome: Outcome) -> Iterator[Block]:
        with held_up(stage, claim=False) as (ring, let_go):
            seen: list[int] = []
            group = ring.consumer_group("group", at_exit="halt")
            group.add("down", lambda beat: seen.append(beat.number), depends_on=["other"])
            if process:
                group.add("there", roles.idle, process=True, depends_on=["other"])
            group.start()
            publish(ring, 0)
            yield lambda: verb(group)
            publish(ring, 1)
            let_go()
            if not halts:
                group.drain(10.0)
                outcome.expect("what was handled", seen, [0, 1])
            group.stop(10.0)

    return case


@contextmanager
def subscription(stage: Stage, outcome: Outcome) -> Iterator[Block]:
    """`async for` behind a claim that is open in another process."""

    async def consume(ring: Ring) -> None:
        async for event in ring.subscribe("reader"):
            raise AssertionError(event)

    with held_up(stage, claim=True, require=("reader",)) as (ring, let_go):
        yield lambda: asyncio.run(consume(ring))
        let_go()
        outcome.expect("consumers that are left", [row.name for row in ring._roster.rows()], [])


@contextmanager
def attaching(stage: Stage, outcome: Outcome) -> Iterator[Block]:
    """A ring that is not made."""
    yield lambda: ringbus.attach("nobody-makes-it", wait=60.0)


def _claim(ring: Ring, *arguments: Any) -> None:
    with ring.claim(*arguments):
        raise AssertionError("a full ring gave slots")


def _iterate(reader: ringbus.EventPoller[Any]) -> None:
    for event in reader:
        raise AssertionError(event)


def _publish(ring: Ring) -> None:
    publish(ring, 99)


CASES: dict[str, Case] = {
    "publish": full(_publish),
    "publish, single producer": full(_publish, producers="single"),
    "publish, busy_spin": full(_publish, "busy_spin"),
    "publish, yielding": full(_publish, "yielding"),
    "publish, sleeping": full(_publish, "sleeping"),
    "publish, phased_backoff": full(_publish, "phased_backoff"),
    "publish by a translator": full(lambda ring: ring.publish(lambda event: None)),
    "claim()": full(_claim),
    "claim(4)": full(lambda ring: _claim(ring, 4)),
    "claim(), single producer": full(_claim, producers="single"),
    "publish_batch": full(lambda ring: ring.publish_batch(np.zeros(3, Beat.dtype))),
    "producer().publish": full(lambda ring: ring.producer().publish(producer=0, number=0, check=0)),
    "poller.take": behind(lambda reader: reader.take()),
    "poller.take, busy_spin": behind(lambda reader: reader.take(), "busy_spin"),
    "poller.take, sleeping": behind(lambda reader: reader.take(), "sleeping"),
    "poller.take_array": behind(lambda reader: reader.take_array()),
    "poller.next": behind(lambda reader: reader.next()),
    "for event in poller": behind(_iterate),
    "group.drain": following(lambda group: group.drain()),
    "group.drain, process=True": following(lambda group: group.drain(), process=True),
    "group.join": following(lambda group: group.join()),
    "group.stop": following(lambda group: group.stop()),
    "leaving `with group`": following(lambda group: group.__exit__(None, None, None), halts=True),
    "async for": subscription,
    "attach(wait=)": attaching,
}
ONCE = ("leaving `with group`",)
"""What is over when it was interrupted: each time it needs a ring of its own."""


def interrupt(block: Block, delay: float) -> float | None:
    """Interrupt a wait after `delay` seconds; the ms until KeyboardInterrupt came; None if the wait ended before."""
    sent: list[int] = []

    def send() -> None:
        time.sleep(delay)
        sent.append(time.perf_counter_ns())
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    ended = 0
    try:
        sender.start()
        block()
        sender.join()
        time.sleep(1.0)
    except KeyboardInterrupt:
        ended = time.perf_counter_ns()
    sender.join()
    return (ended - sent[0]) / 1e6 if ended else None


def run(stage: Stage, times: dict[str, int], rng: random.Random) -> Outcome:
    """Interrupt each case as many times as it says, on one ring."""
    outcome = Outcome()
    for name, count in times.items():
        row = outcome.times_ms.setdefault(name, [])
        rings, each = (count, 1) if name in ONCE else (1, count)
        for _ in range(rings):
            with CASES[name](stage, outcome) as block:
                took = [interrupt(block, rng.uniform(0.005, 0.075)) for _ in range(each)]
            row += [one for one in took if one is not None]
        outcome.expect(f"{name}: waits interrupted", len(row), count)
    outcome.expect("errors of the other processes", stage.errors(), [])
    outcome.expect("files left behind", stage.left_behind(), [])
    return outcome


def main() -> int:
    """Interrupt and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    each = {name: -(-options.runs // len(CASES)) for name in CASES}
    print(f"from SIGINT to KeyboardInterrupt, ms; seed {options.seed}")
    with stage() as shared:
        outcome = run(shared, each, random.Random(options.seed))
    for name, row in outcome.times_ms.items():
        print(f"  {name:<28} median {statistics.median(row):6.1f}   slowest {max(row):6.1f}")
    slowest, name = max((max(row), name) for name, row in outcome.times_ms.items())
    count = sum(map(len, outcome.times_ms.values()))
    verdict(f"slowest of {count}: {name}", f"{slowest:.1f} ms", "<= 200 ms", slowest <= 200)
    verdict("holes, and anything else wrong", len(outcome.wrong), "0", not outcome.wrong)
    for what in outcome.wrong[:10]:
        print(f"  WRONG: {what}")
    return int(slowest > 200 or bool(outcome.wrong))


if __name__ == "__main__":
    sys.exit(main())
