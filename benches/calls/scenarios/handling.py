"""The handler loop against a `for` loop over ready objects."""

from __future__ import annotations

from time import thread_time_ns

import ours.handling
import peers.loops
import peers.queues
from events import Plain, Trade
from measure import Bar, Table, compare


def run(quick: bool) -> Table:
    """Handling alone, on one thread: the function reads one field."""
    sides = {
        "the loop itself": peers.loops.empty(thread_time_ns),
        "handler, single producer": ours.handling.ready("single"),
        "handler, multi producer": ours.handling.ready("multi"),
        "for loop, slots dataclass": peers.loops.ready(Plain),
        "for loop, Event instances": peers.loops.ready(Trade),
        "queue.SimpleQueue.get and call": peers.queues.ready(peers.queues.simple),
        "queue.Queue.get and call": peers.queues.ready(peers.queues.bounded),
    }
    bars = [
        Bar("handler, single producer", "for loop, slots dataclass", 1.7, "time"),
        Bar("handler, multi producer", "for loop, slots dataclass", 1.7, "time"),
    ]
    note = "CPU time of the one thread, which never waits; 8192 ready at a time; ours with the call of group.run_once"
    return compare("Handle an event: read one field", note, sides, bars, 24 * 8192 if quick else 120 * 8192)
