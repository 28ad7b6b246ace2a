"""`ring.publish` of four fields against `dict` of the same."""

from __future__ import annotations

from time import thread_time_ns

import ours.publishing
import peers.loops
import peers.queues
from measure import Bar, Table, compare


def run(quick: bool) -> Table:
    """Publishing alone, on one thread."""
    sides = {
        "the loop itself": peers.loops.empty(thread_time_ns),
        "publish, single producer": ours.publishing.by_fields("single"),
        "publish, multi producer": ours.publishing.by_fields("multi"),
        "ring.publish looked up, single": ours.publishing.looked_up("single"),
        "dict of the same": peers.loops.dicts,
        "queue.SimpleQueue.put of a tuple": peers.queues.puts(peers.queues.simple),
        "queue.Queue.put of a tuple": peers.queues.puts(peers.queues.bounded),
    }
    bars = [
        Bar("publish, single producer", "dict of the same", 2.5),
        Bar("publish, multi producer", "dict of the same", 2.0),
    ]
    note = "CPU time of the one thread, which never waits; methods bound to local names, unless looked up"
    return compare("Publish an event of 4 fields", note, sides, bars, 160_000 if quick else 800_000)
