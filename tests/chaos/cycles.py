"""Rings made, attached to, used and closed, over and over: files, descriptors and memory are as at the start.

    python tests/chaos/cycles.py 10000

Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import ringbus
from chaos.kill_test import measure, verdict
from chaos.roles import Beat
from chaos.scene import stage

WARM_UP = 1_000
"""Cycles before what is there counts: by then every pool and cache has its size."""


def cycle(number: int) -> None:
    """Make a ring, attach to it twice, publish and read, with a group now and then, and close it all."""
    name = f"cycle-{number % 3}"
    made = ringbus.RingBuffer(Beat, 64, name=name, producers="single" if number % 2 else "multi")
    attached = ringbus.attach(name, Beat if number % 5 else None)
    watching = ringbus.attach(name, Beat, read_only=True)
    with attached.poller("reader") as reader, watching.poller("watcher", gating=False) as watcher:
        if number % 10 == 0:
            group = attached.consumer_group("group")
            group.add("handle", lambda beat: None, durable=True)
            with group:
                made.publish(producer=0, number=number, check=0)
        else:
            made.publish(producer=0, number=number, check=0)
        for taken in (reader.take(), watcher.take()):
            if [beat.number for beat in taken] != [number]:
                raise AssertionError(taken)
    for ring in (watching, attached, made):
        ring.close()
    made.unlink()


def run(cycles: int, warm_up: int = WARM_UP) -> tuple[dict[str, int], dict[str, int]]:
    """What was there after the warm-up, and at the end."""
    with stage() as shared:
        for number in range(warm_up):
            cycle(number)
        gc.collect()
        before = measure(shared)
        for number in range(cycles):
            cycle(number)
        gc.collect()
        return before, measure(shared)


def main() -> int:
    """Run the cycles and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cycles", type=int, nargs="?", default=10_000)
    cycles = parser.parse_args().cycles
    begin = time.monotonic()
    before, after = run(cycles)
    met = True
    for name, first in before.items():
        last = after[name]
        fine = last < first * 1.02 if "RSS" in name else last == first
        met = met and fine
        verdict(name, f"{first} -> {last}", "< 2 %" if "RSS" in name else "same", fine)
    what = "create, attach, attach read-only, publish, read, close, unlink"
    print(f"{cycles} cycles of {what}; {time.monotonic() - begin:.0f} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
