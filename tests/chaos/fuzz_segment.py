"""Corrupts the segment of a live ring while a reader and a writer use it, and watches them.

Whatever a broken peer writes into the memory they share, a process may get LayoutError, another error of ringbus,
wrong data or a time-out. It must not be ended by a signal, must not fail with anything else, and must not hang.

    python tests/chaos/fuzz_segment.py 1000000 --seed 7

The segment is made of a header, a registry, cursors, available words and slots; each burst of mutations hits some of
them, and is then undone, kept, or wiped out with the whole segment's first state.
"""

from __future__ import annotations

import argparse
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import ringbus

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chaos.fuzz_memory import Mutator, regions
from chaos.fuzz_workers import NAME, SCENARIOS, worker

STUCK_SECONDS = 20.0
"""A step of a worker waits for 5 ms at most. One that takes this long, on a crowded machine too, will never end."""
LATE_SECONDS = 1.0
"""A worker that has done nothing for so long is waited for."""
START_SECONDS = 60.0
"""How long a worker may take to come up."""
BURSTS = (1, 2, 4, 8, 16, 64, 128)
"""How many mutations come at once."""


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
