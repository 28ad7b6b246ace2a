"""Three handlers, one behind two, against a chain of queues and against plain calls."""

from __future__ import annotations

from time import perf_counter_ns

import ours.pipelines
import peers.loops
import peers.queues
from events import Plain, Trade
from measure import Bar, Table, compare


def run(quick: bool) -> Table:
    """A diamond of three Python handlers."""
    sides = {
        "the loop itself": peers.loops.empty(perf_counter_ns),
        "ring, threads=1": ours.pipelines.diamond(1),
        "ring, a thread each": ours.pipelines.diamond(None),
        "plain loop, fresh slots dataclass": peers.loops.diamond(Plain),
        "plain loop, fresh Event": peers.loops.diamond(Trade),
        "3 chained queue.SimpleQueue": peers.queues.diamond(peers.queues.simple),
        "3 chained queue.Queue": peers.queues.diamond(peers.queues.bounded),
    }
    bars = [
        Bar("ring, threads=1", "3 chained queue.Queue", 25),
        Bar("ring, threads=1", "plain loop, fresh slots dataclass", 1.5, "time"),
    ]
    note = "wall time, from the first publish until the last event is handled by all; the plain loop has one thread"
    return compare("A diamond of 3 Python handlers", note, sides, bars, 100_000 if quick else 300_000)
