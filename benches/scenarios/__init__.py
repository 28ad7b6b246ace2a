"""What is measured, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable

from measure import Table

from scenarios import allocations, batches, diamond, handling, publishing, stops, streams

Scenario = Callable[[bool], Table]
"""Runs and gives its table; True is the short form."""

SCENARIOS: dict[str, Scenario] = {
    "publish": publishing.run,
    "handler": handling.run,
    "stream": streams.run,
    "batch": batches.run,
    "diamond": diamond.run,
    "allocations": allocations.run,
    "stops": stops.run,
}
