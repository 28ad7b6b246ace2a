"""Corrupts the segment of a live ring while a reader and a writer use it, and watches them.

Whatever a broken peer writes into the memory they share, a process may get LayoutError, another error of ringbus,
wrong data or a time-out. It must not be ended by a signal, must not fail with anything else, and must not hang.

    python tests/chaos/fuzz_segment.py 1000000 --seed 7

The segment is made of a header, a registry, cursors, available words and slots; each burst of mutations hits some of
them, and is then undone, kept, or wiped out with the whole segment's first state.
"""

from __future__ import annotations

import argparse
import contextlib
import decimal
import enum
import faulthandler
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import ringbus

STUCK_SECONDS = 20.0
"""A step of a worker waits for 5 ms at most. One that takes this long, on a crowded machine too, will never end."""
LATE_SECONDS = 1.0
"""A worker that has done nothing for so long is waited for."""
START_SECONDS = 60.0
"""How long a worker may take to come up."""
NAME = "fuzzed"
BURSTS = (1, 2, 4, 8, 16, 64, 128)
"""How many mutations come at once."""


class Side(enum.Enum):
    """Which side of a trade."""

    BUY = 1
    SELL = 2


class Plain(ringbus.Event):
    """An event of numbers."""

    number: int
    price: float = 0.0


class Rich(ringbus.Event):
    """An event with a field of each kind."""

    symbol: str = ringbus.text(12)
    note: str = ringbus.text(80, default="")
    raw: bytes = ringbus.blob(10, default=b"")
    side: Side = Side.BUY
    amount: decimal.Decimal = ringbus.decimal(4, default=decimal.Decimal(1))
    sizes: Any = ringbus.array("f4", (3,), default=[0, 0, 0])
    at: Any = ringbus.field("M8[ns]", default=np.datetime64("2024-01-01", "ns"))
    flag: bool = False


@dataclass(frozen=True)
class Scenario:
    """One ring to be corrupted."""

    event: Any
    capacity: int
    producers: str = "multi"
    stamp: bool = False

    def ring(self) -> ringbus.RingBuffer[Any]:
        """Make it."""
        return ringbus.RingBuffer(
            self.event,
            self.capacity,
            producers=self.producers,  # type: ignore[arg-type] # one of the two
            stamp=self.stamp,
            name=NAME,
            replace=True,
        )


SCENARIOS = (
    Scenario(Plain, 64),
    Scenario(Plain | Rich, 8, stamp=True),
    Scenario(Plain, 64, "single"),
    Scenario(Plain | Rich, 16, "single", stamp=True),
    Scenario(Rich, 1),
    Scenario(Rich, 1024),
    Scenario(Plain, 1, "single"),
)


# -- the segment ------------------------------------------------------------------------------------------------------

LINE = 128
ENTRY = 5 * LINE
PRODUCERS = 64
CONSUMERS = 64


@dataclass(frozen=True)
class Region:
    """A part of the segment; `hot` bytes at its beginning are hit three times out of four."""

    name: str
    begin: int
    end: int
    weight: int
    hot: int


def regions(capacity: int, multi: bool, schema_bytes: int, total: int) -> list[Region]:
    """Where each part of a segment is (crates/ringbus-core/src/layout.rs)."""
    state = -(-(LINE + schema_bytes) // 4096) * 4096
    producers = state + 4 * LINE
    consumers = producers + PRODUCERS * LINE
    end = consumers + CONSUMERS * ENTRY
    available = -(-end // 4096) * 4096
    slots = -(-(available + (4 * capacity if multi else 0)) // 4096) * 4096
    found = [
        Region("header", 0, LINE, 8, LINE),
        Region("schema", LINE, LINE + schema_bytes, 3, schema_bytes),
        Region("state", state, state + LINE, 4, 16),
        Region("cursor", state + LINE, state + 2 * LINE, 20, 16),
        Region("futex", state + 2 * LINE, state + 3 * LINE, 3, 4),
        Region("registry", state + 3 * LINE, producers, 10, 16),
        Region("producers", producers, consumers, 12, 3 * LINE),
        Region("consumers", consumers, end, 25, 5 * ENTRY),
        Region("slots", slots, total, 10, 1024),
    ]
    if multi:
        found.append(Region("available", available, available + 4 * capacity, 15, 4 * capacity))
    return found


INTERESTING = (
    0,
    1,
    2,
    3,
    7,
    -1,
    -2,
    255,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    (1 << 62) - 1,
    1 << 62,
    (1 << 63) - 1,
    -(1 << 63),
)


class Mutator:
    """Writes nonsense into a mapped segment."""

    def __init__(self, memory: mmap.mmap, parts: list[Region], rng: random.Random) -> None:
        self.memory = memory
        self.parts = parts
        self.weights = [part.weight for part in parts]
        self.rng = rng

    def mutate(self) -> tuple[int, bytes]:
        """Change some bytes; where they are, and what they were."""
        (part,) = self.rng.choices(self.parts, self.weights)
        size = part.end - part.begin
        room = min(part.hot, size) if self.rng.random() < 0.75 else size
        at = part.begin + self.rng.randrange(room)
        place, value = self._nonsense(at, part)
        value = value[: part.end - place]
        before = self.memory[place : place + len(value)]
        self.memory[place : place + len(value)] = value
        return place, before

    def _nonsense(self, at: int, part: Region) -> tuple[int, bytes]:
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            return at, bytes([self.memory[at] ^ 1 << rng.randrange(8)])
        if kind == 1:
            return at, rng.randbytes(rng.choice((1, 2, 4, 8, 16)))
        if kind == 2:
            line = at // LINE * LINE
            return max(line, part.begin), bytes(LINE) if rng.random() < 0.5 else rng.randbytes(LINE)
        if kind == 3:
            return at & ~3, struct.pack("<I", rng.choice((*INTERESTING, rng.getrandbits(32))) & 0xFFFFFFFF)
        word = at & ~7
        (now,) = struct.unpack_from("<q", self.memory, word)
        near = now + rng.choice((-1, 1)) * rng.choice((1, 2, 8, 63, 64, 65, 1 << 10, 1 << 31, 1 << 32, 1 << 61))
        value = rng.choice((*INTERESTING, rng.getrandbits(64), rng.getrandbits(62), near, near, near))
        return word, struct.pack("<Q", value & (1 << 64) - 1)


# -- the workers ------------------------------------------------------------------------------------------------------


def worker(role: str, scenario: Scenario, steps: mmap.mmap, seed: int) -> None:
    """Use the ring until killed, a life at a time: attach, do some things, let go."""
    rng = random.Random(seed)
    faulthandler.register(signal.SIGUSR1)
    lives = {"reader": (poll, poll, watch, watch, group, group, look), "writer": (publish, publish, publish, look)}[
        role
    ]
    count = 0
    while True:
        for _ in rng.choice(lives)(scenario, rng):
            count += 1
            struct.pack_into("<Q", steps, 0, count)
        count += 1
        struct.pack_into("<Q", steps, 0, count)


Steps = Iterator[None]
Life = Callable[[Scenario, random.Random], Steps]


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Errors of ringbus are what a corrupt ring may give; anything else is not."""
    try:
        yield
    except ringbus.RingBusError:
        pass
    except ExceptionGroup as errors:
        if errors.split(ringbus.RingBusError)[1] is not None:
            raise


def attached(
    scenario: Scenario, rng: random.Random, *, read_only: bool | Literal["slots"] = False
) -> ringbus.RingBuffer[Any] | None:
    """Attach, with the event types or with ones made from the segment's schema."""
    event = scenario.event if rng.random() < 0.7 else None
    with tolerant():
        return ringbus.attach(NAME, event, read_only=read_only, timeout=0.005)
    return None


def read(event: Any) -> None:
    """Look at every field."""
    for name in type(event).dtype.names:
        with tolerant():
            getattr(event, name)
    repr(event.record())


def pull(poller: Any, rng: random.Random) -> None:
    """Take events in one of the ways there are."""
    kind = rng.randrange(4)
    if kind == 0:
        for event in poller.take(rng.choice((1, 7, 10**9)), 0.003):
            read(event)
    elif kind == 1:
        rows = poller.take_array(rng.choice((1, 7, 10**9)), 0.003)
        if rows is not None:
            repr(rows[:3])
    elif kind == 2:
        event = poller.next(0.003)
        if event is not None:
            read(event)
    else:
        poller.poll(read, 50)


def poll(scenario: Scenario, rng: random.Random) -> Steps:
    """A poller, gating or not, maybe behind another one, maybe one that is evicted."""
    slots = rng.random() < 0.3
    ring = attached(scenario, rng, read_only="slots" if slots else False)
    if ring is None:
        return
    evict_after = 0.01 if slots else None
    with tolerant(), contextlib.ExitStack() as stack:
        gating = rng.random() < 0.7
        first = stack.enter_context(ring.poller("first", gating=gating, start=None if gating else "oldest"))
        pollers = [first]
        if rng.random() < 0.3:
            second = ring.poller("second", depends_on=["first"], evict_after=evict_after)
            pollers.insert(0, stack.enter_context(second))
        for _ in range(rng.randrange(2, 30)):
            for poller in pollers:
                pull(poller, rng)
                yield
    ring.close()


def watch(scenario: Scenario, rng: random.Random) -> Steps:
    """A watcher that maps the ring read-only."""
    ring = attached(scenario, rng, read_only=True)
    if ring is None:
        return
    with tolerant(), ring.poller("watcher", gating=False, start=rng.choice((None, "oldest", 0, 1 << 61))) as poller:
        for _ in range(rng.randrange(2, 30)):
            pull(poller, rng)
            ring.statistics()
            yield
    with tolerant():
        ring.recover()
        ring.publish(number=1)
    ring.close()


def group(scenario: Scenario, rng: random.Random) -> Steps:
    """A group of handlers, one by one and in batches, run on this thread."""
    slots = rng.random() < 0.3
    ring = attached(scenario, rng, read_only="slots" if slots else False)
    if ring is None:
        return

    @ringbus.batch
    def rows(events: Any) -> None:
        repr(events[:2])

    with tolerant():
        graph = ring.consumer_group("graph", on_error="skip")
        graph.add("one", read, max_batch=rng.choice((None, 3)), durable=rng.random() < 0.2)
        graph.add("rows", rows, evict_after=0.01 if slots else None).depends_on("one")
        graph.add("glance", lambda event, sequence, end: read(event), gating=False)
        for _ in range(rng.randrange(2, 30)):
            graph.run_once()
            yield
        graph.stop(timeout=0.005)
    with tolerant():
        ring.forget("one")
    ring.close()


def look(scenario: Scenario, rng: random.Random) -> Steps:
    """Everything that only looks, and recovery."""
    ring = attached(scenario, rng, read_only=rng.random() < 0.5)
    if ring is None:
        return
    for _ in range(5):
        with tolerant():
            repr((ring, ring.statistics(), ring.remaining_capacity, ring.minimum_sequence))
            ring.is_available(rng.choice((0, ring.cursor, 1 << 62, -(1 << 63))))
            ring.recover()
            ringbus.sharing.is_alive(NAME)
        yield
    ring.close()


def publish(scenario: Scenario, rng: random.Random) -> Steps:
    """Producers, by every verb."""
    ring = attached(scenario, rng)
    if ring is None:
        return
    known = {kind.__name__: kind for kind in ring.event_types}
    verbs: list[Callable[[], object]] = []
    if "Plain" in known:
        plain, alone = known["Plain"], len(known) == 1
        rows = ring_rows(plain, 5)
        verbs += [
            lambda: ring.publish(plain(number=1, price=2.0)),
            lambda: ring.publish(plain, number=1),
            lambda: ring.try_publish(plain(number=3)),
            lambda: ring.publish_batch(rows, timeout=0.005),
            lambda: claim(ring, rng, () if alone else (plain,)),
        ]
        verbs += [lambda: ring.publish(number=4), lambda: ring.try_publish(number=4)] if alone else []
    if "Rich" in known:
        rich = known["Rich"]
        verbs += [
            lambda: ring.publish(rich(symbol="äöü", note="n" * 80, raw=b"123")),
            lambda: ring.publish(rich, symbol="B", amount=decimal.Decimal("1.25")),
            lambda: ring.try_publish(rich(symbol="C")),
            lambda: claim(ring, rng, () if len(known) == 1 else (rich,)),
        ]
    for _ in range(rng.randrange(2, 60)):
        with tolerant():
            rng.choice(verbs)()
        yield
    ring.close()


def ring_rows(kind: Any, count: int) -> Any:
    """Rows to be published at once."""
    return np.zeros(count, kind.dtype)


def claim(ring: Any, rng: random.Random, kind: tuple[Any, ...]) -> None:
    """A claim of one or of many, left as it should be or by an error."""
    with contextlib.suppress(ZeroDivisionError):
        if rng.random() < 0.5:
            with ring.claim(*kind, timeout=0.005) as event:
                read(event)
                1 // rng.randrange(4)
        else:
            with ring.claim(rng.randrange(1, ring.capacity + 1), *kind, timeout=0.005) as events:
                events[:1] = events[-1:].copy()
                1 // rng.randrange(4)


# -- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """What went wrong, and how much was tried."""

    mutations: int = 0
    bursts: int = 0
    steps: int = 0
    signals: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing did."""
        return not (self.signals or self.failures or self.hangs)


class Worker:
    """A process that uses the ring, and how far it has come."""

    def __init__(self, role: str, scenario: int, folder: Path, seed: int) -> None:
        self.role, self.output = role, folder / f"{role}.err"
        counter = folder / f"{role}.steps"
        counter.write_bytes(bytes(8))
        with counter.open("r+b") as file:
            self._steps = mmap.mmap(file.fileno(), 8)
        command = [sys.executable, __file__, "0", "--seed", str(seed), "--role", role]
        command += ["--scenario", str(scenario), "--steps", str(counter)]
        with self.output.open("wb") as errors:
            self.process = subprocess.Popen(command, stderr=errors, stdout=errors)
        self.moved, self.seen = time.monotonic(), 0

    @property
    def steps(self) -> int:
        """Steps it has done."""
        return int(struct.unpack_from("<Q", self._steps)[0])

    def look(self) -> bool:
        """Whether it has come any further since the last look."""
        now = self.steps
        if now != self.seen:
            self.seen, self.moved = now, time.monotonic()
            return True
        return False

    def is_stuck(self) -> bool:
        """Whether it has not come any further for longer than any step takes."""
        return time.monotonic() - self.moved > (STUCK_SECONDS if self.seen else START_SECONDS)

    def end(self) -> str:
        """Kill it; what it wrote."""
        if self.process.poll() is None:
            if self.seen:
                self.process.send_signal(signal.SIGUSR1)  # it writes where it is
                time.sleep(0.3)
            self.process.kill()
        self.process.wait()
        return self.output.read_text(errors="replace")[-4000:]


def judge(workers: list[Worker], found: Found, where: str) -> bool:
    """Whether all is well so far."""
    for each in workers:
        code = each.process.poll()
        story = f"{each.role} of {where}"
        if code is not None:
            text = f"{story} ended with {code}:\n{each.end()}"
            (found.signals if code < 0 else found.failures).append(text)
            return False
        if each.is_stuck():
            found.hangs.append(f"{story} did nothing for {STUCK_SECONDS} s:\n{each.end()}")
            return False
    return True


def expose(workers: list[Worker], longest: float) -> None:
    """Let each worker do at least one step with the segment as it is, but do not wait long."""
    end = time.monotonic() + longest
    waiting = list(workers)
    while waiting and time.monotonic() < end:
        waiting = [each for each in waiting if not each.look()]
        time.sleep(0.0002)


def fuzz(index: int, mutations: int, seed: int, found: Found) -> None:
    """Corrupt one scenario's ring so many times."""
    scenario, rng = SCENARIOS[index], random.Random(seed)
    ring = scenario.ring()
    with (ringbus.sharing.folder() / NAME).open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    (schema_bytes,) = struct.unpack_from("<Q", memory, 64)
    parts = regions(scenario.capacity, scenario.producers == "multi", schema_bytes, len(memory))
    first = memory[:]
    mutator, done = Mutator(memory, parts, rng), 0
    with tempfile.TemporaryDirectory() as scratch:
        workers = [Worker(role, index, Path(scratch), rng.getrandbits(32)) for role in ("reader", "writer")]
        wait_until(lambda: all(each.look() or each.seen for each in workers) or not judge(workers, found, "the start"))
        try:
            while done < mutations and judge(workers, found, f"scenario {index}, seed {seed}, mutation {done}"):
                burst = [mutator.mutate() for _ in range(min(rng.choice(BURSTS), mutations - done))]
                done += len(burst)
                found.bursts += 1
                expose(workers, 0.01)
                fate = rng.random()
                if fate < 0.5:
                    for place, before in reversed(burst):
                        memory[place : place + len(before)] = before
                elif fate < 0.7:
                    memory[:] = first
                expose(workers, 0.003)
                wait_for_late(workers, LATE_SECONDS)
            wait_for_late(workers, 0.0)
            if found.is_clean:
                judge(workers, found, f"scenario {index}, seed {seed}, the end")
        finally:
            found.mutations += done
            found.steps += sum(each.steps for each in workers)
            for each in workers:
                each.end()
    memory[:] = first
    memory.close()
    ring.unlink()


def wait_for_late(workers: list[Worker], seconds: float) -> None:
    """Corrupt nothing more while a worker has done no step for so long, until it does or counts as stuck."""
    begin = time.monotonic()
    late = [each for each in workers if begin - each.moved >= seconds]
    while late and all(each.process.poll() is None and not each.is_stuck() for each in late):
        time.sleep(0.001)
        late = [each for each in late if not each.look()]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the workers to come up."""
    while not condition():
        time.sleep(0.01)


def run(mutations: int, seed: int, only: int | None = None) -> Found:
    """Corrupt each scenario's ring, in a folder of rings of its own."""
    found = Found()
    before = os.environ.get("RINGBUS_DIR")
    folder = tempfile.mkdtemp(prefix="ringbus-fuzz-", dir="/dev/shm")
    os.environ["RINGBUS_DIR"] = folder
    chosen = range(len(SCENARIOS)) if only is None else [only]
    try:
        for number, index in enumerate(chosen):
            share = mutations // len(chosen) + (number < mutations % len(chosen))
            fuzz(index, share, seed + index, found)
            if not found.is_clean:
                break
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if before is None:
            del os.environ["RINGBUS_DIR"]
        else:
            os.environ["RINGBUS_DIR"] = before
    return found


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mutations", type=int)
    parser.add_argument("--seed", type=int, default=None, help="replays a run (default: a new one, printed)")
    parser.add_argument("--scenario", type=int, default=None, help="only the ring of this number")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--steps", help=argparse.SUPPRESS)
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    if given.role:
        with Path(given.steps).open("r+b") as file:
            worker(given.role, SCENARIOS[given.scenario], mmap.mmap(file.fileno(), 8), seed)
    begin = time.monotonic()
    print(f"seed {seed}", flush=True)
    found = run(given.mutations, seed, given.scenario)
    for story in (*found.signals, *found.failures, *found.hangs):
        print(story)
    print(
        f"{found.mutations:,} mutations in {found.bursts:,} bursts over {time.monotonic() - begin:.0f} s; "
        f"the workers did {found.steps:,} steps meanwhile"
    )
    print(
        f"signals or out-of-bounds accesses: {len(found.signals)}; foreign errors: {len(found.failures)}; "
        f"hangs: {len(found.hangs)}"
    )
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
