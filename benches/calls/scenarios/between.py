"""Rings between processes against what `multiprocessing` has: the bars of shared rings.

Where more processes take part than there are cores, the table says so, and both sides wait by blocking.
"""

from __future__ import annotations

import os

import ours.processes as ring
import peers.processes as peer
from measure import Bar, Table, compare

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
