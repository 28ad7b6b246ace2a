"""What the publish path and the handler loop allocate and keep."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import handlers
from events import CAPACITY, QUANTITY, SYMBOL, Trade, expect
from measure import Table, Verdict
from ours.publishing import Kind

import ringbus

NOISE = 64
"""Blocks that the interpreter itself may have more after millions of events: free lists, a frame."""


WARM = 100
"""Passes before the count: a collection empties the interpreter's free lists, and by then they are full again."""


def run(quick: bool) -> Table:
    """Counts of `sys.getallocatedblocks` and `gc.callbacks`."""
    events = (150 if quick else 1221) * CAPACITY
    note = f"sys.getallocatedblocks and gc.callbacks over {events:,} events, automatic collection on"
    table = Table("Allocations", note)
    table.verdicts = [*_count("single", events), *_count("multi", events)]
    return table


def _count(producers: Kind, events: int) -> list[Verdict]:
    ring: ringbus.RingBuffer[Trade] = ringbus.RingBuffer(Trade, CAPACITY, producers=producers)
    group = ring.consumer_group("read")
    group.add("read", handlers.read)
    work: dict[str, Callable[[], Any]] = {"publish": lambda: _fill(ring), "handler": group.run_once}
    kept = dict.fromkeys(work, 0)
    with _collections() as collections:
        for _ in repeat(None, WARM):
            _fill(ring)
            group.run_once()
        for _ in repeat(None, events // CAPACITY):
            for name, call in work.items():
                before = sys.getallocatedblocks()
                call()
                kept[name] += sys.getallocatedblocks() - before
    handled = group.statistics().consumers["read"].events
    expect("allocations", "the count", handled, events + WARM * CAPACITY)
    group.stop()
    return [
        _verdict(f"{name}, {producers} producer", blocks, len(collections), events) for name, blocks in kept.items()
    ]


def _fill(ring: ringbus.RingBuffer[Trade]) -> None:
    publish, symbol, quantity = ring.publish, SYMBOL, QUANTITY
    for _ in repeat(None, CAPACITY):
        publish(symbol=symbol, price=1.5, quantity=quantity, notional=0.75)


@contextmanager
def _collections() -> Iterator[list[str]]:
    """The collections that begin meanwhile."""
    seen: list[str] = []

    def notice(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(phase)

    gc.collect()
    gc.callbacks.append(notice)
    try:
        yield seen
    finally:
        gc.callbacks.remove(notice)


def _verdict(name: str, blocks: int, collections: int, events: int) -> Verdict:
    measured = f"{blocks} blocks kept ({blocks / events:.7f} an event), {collections} collections"
    return Verdict(name, measured, "0 an event, 0 collections", abs(blocks) <= NOISE and collections == 0)
