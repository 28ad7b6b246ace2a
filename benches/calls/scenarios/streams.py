"""One producer's thread and one handler's thread against queues."""

from __future__ import annotations

from time import perf_counter_ns

import ours.pipelines
import peers.loops
import peers.queues
from measure import Bar, Table, compare


def run(quick: bool) -> Table:
    """A stream of events of four fields between two threads."""
    sides = {
        "the loop itself": peers.loops.empty(perf_counter_ns),
        "ring, single producer": ours.pipelines.stream("single"),
        "ring, multi producer": ours.pipelines.stream("multi"),
        "queue.SimpleQueue of tuples": peers.queues.stream(peers.queues.simple),
        "queue.Queue of tuples": peers.queues.stream(peers.queues.bounded),
    }
    bars = [
        Bar("ring, single producer", "queue.Queue of tuples", 15, aim=25),
        Bar("ring, multi producer", "queue.Queue of tuples", 15, aim=25),
    ]
    note = "wall time, 2 threads, from the first publish until the last is handled; capacity 8192, SimpleQueue has none"
    return compare("1 producer thread, 1 Python handler thread", note, sides, bars, 200_000 if quick else 1_000_000)
