"""All contestants in Python that this machine has."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection

import carriers
import crossing
import optional
import paced
import payloads
import ring_events
import ring_paced
from carriers import MakeCarrier
from options import Entry, Run


def entries() -> list[Entry]:
    """Ours, the standard library's, and those of PyPI that are installed."""
    return [*_quick_to_import(), *_compiled()]


def find(scenario: str, contestant: str, wait: str) -> Entry | None:
    """The one that was asked for; Numba is imported only where it takes part."""
    for some in (_quick_to_import, _compiled):
        for entry in some():
            if (entry.scenario, entry.contestant) == (scenario, contestant) and wait in entry.waits:
                return entry
    return None


def _quick_to_import() -> list[Entry]:
    ours = [*ring_events.entries(), *ring_paced.entries()]
    return [*ours, *_between_threads(), *_between_processes(), *_from_pypi()]


def _compiled() -> list[Entry]:
    """Ours as machine code, where Numba is installed."""
    if importlib.util.find_spec("numba") is None:
        return []
    ring_compiled = importlib.import_module("ring_compiled")
    ring_machine = importlib.import_module("ring_machine")
    return [*ring_compiled.entries(), *ring_machine.entries()]


def _between_threads() -> list[Entry]:
    found = [Entry("threads-fields", "asyncio.Queue", carriers.asyncio_fields, checksum="fields")]
    for name, make in carriers.BETWEEN_THREADS.items():
        found.append(Entry("threads-fields", name, crossing.stream(make, "fields", process=False), checksum="fields"))
        found.append(Entry("pingpong", name, crossing.ping_pong(make, process=False), checksum="number"))
    found += _paced("queue.Queue", paced.paced(carriers.bounded, process=False))
    return found


def _between_processes() -> list[Entry]:
    found: list[Entry] = []
    for name, make in carriers.BETWEEN_PROCESSES.items():
        found += _crossings(name, make, ("block",))
        waits = ("block", "spin") if name in carriers.SPINNING else ("block",)
        found += _ping_pongs(name, make, waits)
    found += _paced("multiprocessing.Queue", paced.paced(carriers.mp_queue, process=True))
    return found


def _from_pypi() -> list[Entry]:
    found: list[Entry] = []
    for name, (make, waits, carried) in optional.installed().items():
        found += _crossings(name, make, tuple(wait for wait in waits if wait != "spin"), carried)
        found += _ping_pongs(name, make, waits)
    return found


def _crossings(
    name: str, make: MakeCarrier, waits: tuple[str, ...], carried: Collection[str] = optional.ALL
) -> list[Entry]:
    found = [
        Entry(f"processes-{kind}", name, crossing.stream(make, kind, process=True), waits, checksum, batches=True)
        for kind, checksum in payloads.CHECKSUMS.items()
        if kind in carried
    ]
    if "fan4" in carried:
        found.append(Entry("processes-fan4", name, crossing.stream(make, "fields", process=True), waits, "fields"))
    return found


def _ping_pongs(name: str, make: MakeCarrier, waits: tuple[str, ...]) -> list[Entry]:
    run = crossing.ping_pong(make, process=True)
    return [Entry(f"pingpong-{'spin' if wait == 'spin' else 'block'}", name, run, (wait,), "number") for wait in waits]


def _paced(name: str, run: Run) -> list[Entry]:
    return [Entry(scenario, name, run, checksum="number") for scenario in ("paced", "16x16")]
