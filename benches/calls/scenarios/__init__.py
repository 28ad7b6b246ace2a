"""What is measured, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable

from measure import Table

from scenarios import allocations, batches, between, diamond, halts, handling, publishing, stops, streams

Scenario = Callable[[bool], Table]
"""Runs and gives its table; True is the short form."""

SUITES: dict[str, dict[str, Scenario]] = {
    "threads": {
        "publish": publishing.run,
        "handler": handling.run,
        "stream": streams.run,
        "batch": batches.run,
        "diamond": diamond.run,
        "allocations": allocations.run,
        "stops": stops.run,
        "halts": halts.run,
    },
    "processes": {
        "streams": between.streams,
        "fan_out": between.fan_out,
        "batches": between.batches,
        "several": between.several,
        "latency": between.latency,
    },
}
"""The calls inside a process, and the rings between processes."""
