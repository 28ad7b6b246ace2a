"""What must never happen: events lost, doubled or out of order around starts, stops, halts and Ctrl-C."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from measure import Table, Verdict
from ours.publishing import Kind

import ringbus

RUNS = 2_000
TIMEOUT = 30.0
"""Seconds after which a run counts as hung."""

CTRL_C = Path(__file__).parent.parent / "ctrl_c.py"


class Tick(ringbus.Event):
    """A number."""

    number: int


@dataclass(slots=True)
class Faults:
    """What went wrong over all runs, and how many events there were."""

    events: int = 0
    lost: int = 0
    doubled: int = 0
    misordered: int = 0
    hung: int = 0

    @property
    def any(self) -> bool:
        """Whether anything did."""
        return bool(self.lost or self.doubled or self.misordered or self.hung)

    def judge(self, seen: list[int], wanted: int) -> None:
        """Compare what one consumer saw with `0..wanted`."""
        self.events += wanted
        self.lost += len(set(range(wanted)) - set(seen))
        self.doubled += len(seen) - len(set(seen))
        self.misordered += sum(later <= earlier for earlier, later in pairwise(seen))


@dataclass(slots=True)
class Setup:
    """A ring of random shape, and a group of three consumers on it that note what they see."""

    random: random.Random
    ring: ringbus.RingBuffer[Tick] = field(init=False)
    group: ringbus.ConsumerGroup[Tick] = field(init=False)
    seen: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        capacity = self.random.choice((2, 8, 64, 1024))
        kinds: tuple[Kind, Kind] = ("single", "multi")
        producers = self.random.choice(kinds)
        self.ring = ringbus.RingBuffer(Tick, capacity, producers=producers)
        self.group = self.ring.consumer_group("group", threads=self.random.choice((None, None, 1)))
        self.seen = [[], [], []]
        first, second, third = self.seen

        @ringbus.batch
        def batch(events: object) -> None:
            third.extend(events["number"].tolist())  # type: ignore[index] # a structured array

        self.group.add("first", lambda tick: first.append(tick.number))
        self.group.add("second", lambda tick: second.append(tick.number)).depends_on("first")
        self.group.add("batch", batch, depends_on=self.random.choice(((), ("first",))))


def run(quick: bool) -> Table:
    """2,000 runs of start, publish, stop; halts while events flow; Ctrl-C in waits."""
    seed = random.SystemRandom().randrange(1 << 32)
    table = Table("Starts, stops and Ctrl-C", f"3 consumers, rings of 2 to 1024 slots; seed {seed}")
    faults = start_publish_stop(RUNS, random.Random(seed))
    table.verdicts.append(_verdict(f"start-publish-stop, {RUNS:,} runs", faults))
    halts = RUNS // 4 if quick else RUNS
    table.verdicts.append(_verdict(f"halt while events flow, {halts:,} runs", halt_races(halts, random.Random(seed))))
    table.verdicts.append(_ctrl_c(quick))
    return table


def start_publish_stop(runs: int, rng: random.Random) -> Faults:
    """Start, publish some events (some of them before the start, where they fit), and stop at once."""
    faults = Faults()
    for _ in range(runs):
        setup = Setup(rng)
        count = rng.randrange(200)
        early = rng.randrange(min(count, setup.ring.capacity) + 1)
        for number in range(early):
            setup.ring.publish(number=number)
        setup.group.start()
        for number in range(early, count):
            setup.ring.publish(number=number)
        try:
            setup.group.stop(TIMEOUT)
        except ringbus.WaitTimeout:
            faults.hung += 1
        for seen in setup.seen:
            faults.judge(seen, count)
    return faults


def halt_races(runs: int, rng: random.Random) -> Faults:
    """Halt at some event while another thread publishes: each consumer saw a beginning, whole and in order."""
    faults = Faults()
    for _ in range(runs):
        setup, reached = Setup(rng), threading.Event()
        at = rng.randrange(300)
        publisher = threading.Thread(target=_publish_until_closed, args=(setup.ring, at, reached), daemon=True)
        setup.group.start()
        publisher.start()
        faults.hung += not reached.wait(TIMEOUT)
        setup.group.halt()
        faults.hung += not setup.group.join(TIMEOUT)
        setup.ring.close()
        publisher.join(TIMEOUT)
        faults.hung += publisher.is_alive()
        for seen in setup.seen:
            faults.judge(seen, len(seen))
        faults.misordered += len(setup.seen[1]) > len(setup.seen[0])
    return faults


def _publish_until_closed(ring: ringbus.RingBuffer[Tick], at: int, reached: threading.Event) -> None:
    number = 0
    try:
        while True:
            ring.publish(number=number)
            if number == at:
                reached.set()
            number += 1
    except ringbus.ClosedError:
        reached.set()


def _verdict(name: str, faults: Faults) -> Verdict:
    measured = f"{faults.lost} lost, {faults.doubled} doubled, {faults.misordered} misordered, {faults.hung} hung"
    return Verdict(name, f"{measured} of {faults.events:,} events", "0, 0, 0, 0", not faults.any)


def _ctrl_c(quick: bool) -> Verdict:
    """The slowest of many interrupted waits, by the script that stands alone."""
    command = [sys.executable, str(CTRL_C), *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    measured = lines[-1].strip() if lines else f"exit code {done.returncode}"
    return Verdict("Ctrl-C in every wait", measured, "at most 200 ms", done.returncode == 0)
