"""Batches by NumPy against batches through queues."""

from __future__ import annotations

from time import perf_counter_ns

import ours.pipelines
import peers.loops
import peers.queues
from measure import Bar, Table, compare
from peers.queues import array, bounded, simple, sum_of_array, sum_of_tuples, tuples


def run(quick: bool) -> Table:
    """256 events at a time, from arrays on one thread to the sum of a column on another."""
    through = peers.queues.batches
    sides = {
        "the loop itself": peers.loops.empty(perf_counter_ns),
        "claim(256) and @batch, single": ours.pipelines.batches("single"),
        "claim(256) and @batch, multi": ours.pipelines.batches("multi"),
        "SimpleQueue, lists of 256 tuples": through(simple, tuples, sum_of_tuples),
        "Queue, lists of 256 tuples": through(bounded, tuples, sum_of_tuples),
        "SimpleQueue, fresh arrays of 256": through(simple, array, sum_of_array),
        "Queue, fresh arrays of 256": through(bounded, array, sum_of_array),
    }
    bars = [
        Bar(side, peer, limit)
        for peer, limit in (("Queue, lists of 256 tuples", 3.0), ("Queue, fresh arrays of 256", 1.0))
        for side in ("claim(256) and @batch, single", "claim(256) and @batch, multi")
    ]
    note = (
        "wall time, 2 threads; four columns filled on the one, one summed on the other; the loop is one turn an event"
    )
    return compare("Batches of 256", note, sides, bars, 4_000 * 256 if quick else 20_000 * 256)
