"""Measures shared rings against what `multiprocessing` has, and says for each bar whether it is met.

Every ratio is between two sides of one run, taken in turn. Where more processes take part than there are cores, the
table says so, and both sides wait by blocking.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import machine
import ours.processes as ring
import peers.processes as peer
from events import WrongResultError
from measure import ROUNDS, Bar, Table, compare
from report import print_summary, print_table, record

RATE = 100_000
QUEUE = "multiprocessing.Queue"


def _note(processes: int) -> str:
    cores = os.cpu_count() or 1
    more = f"; {processes} processes on {cores} cores" if processes > cores else ""
    return f"wall time, from the first publish until the last is handled by all{more}"


def streams(quick: bool) -> Table:
    """Four fields one by one, a Python handler per event."""
    sides = {
        "ring, single producer": ring.stream("single", 1),
        "ring, multi producer": ring.stream("multi", 1),
        QUEUE: peer.stream(1),
    }
    bars = [Bar("ring, single producer", QUEUE, 50, aim=100), Bar("ring, multi producer", QUEUE, 40)]
    return compare("2 processes, 4 fields", _note(2), sides, bars, 100_000 if quick else 300_000)


def fan_out(quick: bool) -> Table:
    """One producer, four readers that each see all."""
    sides = {"ring, 4 readers": ring.stream("single", 4), f"4 x {QUEUE}": peer.stream(4)}
    bars = [Bar("ring, 4 readers", f"4 x {QUEUE}", 100)]
    return compare("1 producer, 4 consumers that each see all", _note(5), sides, bars, 50_000 if quick else 150_000)


def batches(quick: bool) -> Table:
    """Blocks of 1,024 events of 64 bytes."""
    sides = {"ring, claim(1024)": ring.rows("single"), f"{QUEUE} of arrays": peer.rows()}
    bars = [Bar("ring, claim(1024)", f"{QUEUE} of arrays", 10)]
    events = 2_000_000 if quick else 8_000_000
    return compare("2 processes, 64-byte events in blocks of 1,024", _note(2), sides, bars, events)


def several(quick: bool) -> Table:
    """Three producers, one reader."""
    sides = {"ring, 3 producers": ring.from_several(3), f"{QUEUE}, 3 producers": peer.from_several(3)}
    bars = [Bar("ring, 3 producers", f"{QUEUE}, 3 producers", 30)]
    return compare("3 producers, 1 consumer", _note(4), sides, bars, 90_000 if quick else 300_000)


def latency(quick: bool) -> Table:
    """One-way latency at a given rate."""
    sides = {
        "ring, blocking": ring.paced(RATE),
        QUEUE: peer.paced_queue(RATE),
        "multiprocessing.Pipe": peer.paced_pipe(RATE),
    }
    bars = [Bar("ring, blocking", QUEUE, 1), Bar("ring, blocking", "multiprocessing.Pipe", 1)]
    note = f"the row's time is the P99 from when an event was due, at {RATE:,}/s; no coordinated omission"
    return compare("P99 of one-way latency, 2 processes", note, sides, bars, 50_000 if quick else 200_000)


SCENARIOS: dict[str, Callable[[bool], Table]] = {
    "streams": streams,
    "fan_out": fan_out,
    "batches": batches,
    "several": several,
    "latency": latency,
}


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="benches/processes.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a record of the run")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="this scenario only; may be repeated")
    options = parser.parse_args()
    before, begin, facts = machine.load(), time.monotonic(), machine.facts()
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"load {before}; median of {ROUNDS} rounds, the sides in turn; each side's result is checked")
    tables: list[Table] = []
    try:
        for name in options.only or SCENARIOS:
            tables.append(SCENARIOS[name](options.quick))
            print_table(tables[-1])
            sys.stdout.flush()
    except WrongResultError as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 2
    print_summary(tables)
    print(f"load {machine.load()}; {time.monotonic() - begin:.0f} s")
    if options.json is not None:
        written = json.dumps(record(tables, facts, (before, machine.load())), indent=2)
        options.json.write_text(f"{written}\n", encoding="utf-8")
    missed = any(not verdict.met for table in tables for verdict in table.verdicts)
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
