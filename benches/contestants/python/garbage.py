"""Counts what the hot paths leave behind: collections, kept blocks, malloc calls, page faults. Prints JSON.

A counting library (malloc_count.c, built with the machine's compiler and loaded before all others) sees each call of
malloc, calloc and realloc, of Python's raw allocator and of Rust's. Without a compiler these are not counted.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))


from ring_events import Trade, Wide

import ringbus

EVENTS = 10_000_000
CAPACITY = 8192
WARM = 100
"""Pieces before the count: the interpreter's free lists fill up, every page is touched."""

_SOURCE = Path(__file__).with_name("malloc_count.c")
_LIBRARY = Path(__file__).resolve().parents[2] / ".built" / "malloc_count.so"
_PRELOADED = "RINGBUS_MALLOC_COUNT"


@dataclass(frozen=True, slots=True)
class HotPath:
    """A hot path: a ring with a running group, and what publishes one piece of `CAPACITY` events."""

    ring: Any
    group: Any
    publish: Callable[[], None]

    def start(self) -> None:
        """Start the handler's thread."""
        self.group.start()

    def stop(self) -> None:
        """End it."""
        self.group.stop()

    def move(self, pieces: int) -> None:
        """Publish so many pieces, and wait until all is handled, without a call that would allocate."""
        for _ in repeat(None, pieces):
            self.publish()
        while self.ring.minimum_sequence < self.ring.cursor:
            pass


def by_fields() -> HotPath:
    """`publish(...)`, and a Python handler on its thread, that reads a field."""
    ring: Any = ringbus.RingBuffer(Trade, CAPACITY, producers="single", prefault=True)
    group = ring.consumer_group("group")
    group.add("read", lambda event: event.price)

    def publish() -> None:
        call = ring.publish
        for _ in repeat(None, CAPACITY):
            call(symbol="BTC-USD", number=1, price=1.5, quantity=0.5)

    return HotPath(ring, group, publish)


def by_batches() -> HotPath:
    """`claim(1024)`, and a batch handler on its thread. Nothing is computed: NumPy's own work may allocate."""
    ring: Any = ringbus.RingBuffer(Wide, CAPACITY, producers="single", prefault=True)
    group = ring.consumer_group("group")
    group.add("look", ringbus.batch(lambda rows: rows.shape))

    def publish() -> None:
        for _ in repeat(None, CAPACITY // 1024):
            with ring.claim(1024, reset=False):
                pass

    return HotPath(ring, group, publish)


class MachineCode:
    """A compiled source that never ends, and a compiled handler: both run while others count."""

    def __init__(self) -> None:
        import ring_compiled

        event = ring_compiled.event_of(8)
        self.ring: Any = ringbus.RingBuffer(event, CAPACITY, producers="single", wait="yielding", prefault=True)
        self.group = self.ring.consumer_group("group")
        self.group.add("add", ring_compiled.add, state=ring_compiled.STATE)
        self._source = self.ring.source(ring_compiled.fill, {"value": 0, "step": 1}, reset=False)

    def start(self) -> None:
        """Start both."""
        self.group.start()
        self._source.start()

    def move(self, pieces: int) -> None:
        """Wait until so many more have been published."""
        source, target = self._source, self._source.published + pieces * CAPACITY
        while source.published < target:
            pass

    def stop(self) -> None:
        """End both."""
        self._source.stop()
        self.group.stop()


class Moving(Protocol):
    """A path that can be started, moved and stopped."""

    def start(self) -> None:
        """Start its threads."""

    def move(self, pieces: int) -> None:
        """Move so many pieces of `CAPACITY` events."""

    def stop(self) -> None:
        """End its threads."""


def paths() -> dict[str, Callable[[], Moving]]:
    """The hot paths by name; compiled ones where Numba is installed."""
    found: dict[str, Callable[[], Moving]] = {
        "publish(...) and a Python handler": by_fields,
        "claim(1024) and a batch handler": by_batches,
    }
    if importlib.util.find_spec("numba") is not None:
        found["a compiled source and handler"] = MachineCode
    return found


class Counts(NamedTuple):
    """What has been counted so far, or in a window of time."""

    collections: int
    kept_blocks: int
    mallocs: int
    minor_faults: int
    major_faults: int

    def since(self, before: Counts) -> Counts:
        """What came in between."""
        return Counts(*(after - earlier for after, earlier in zip(self, before, strict=True)))


def count(make: Callable[[], Moving], events: int) -> dict[str, Any]:
    """The counts of one path; what a window of one piece has is what counting itself costs."""
    path, pieces, calls = make(), events // CAPACITY, _calls()
    path.start()
    path.move(WARM)
    gc.collect()
    _window(path, 1, calls)
    one = _window(path, 1, calls)
    found = _window(path, pieces, calls).since(one)
    path.stop()
    counts: dict[str, Any] = {name: max(number, 0) for name, number in found._asdict().items()}
    return {"events": pieces * CAPACITY, **counts, **({} if _PRELOADED in os.environ else {"mallocs": None})}


def _window(path: Moving, pieces: int, calls: Callable[[], int]) -> Counts:
    """What is counted while so many pieces move."""
    before = _now(calls)
    path.move(pieces)
    return _now(calls).since(before)


def _now(calls: Callable[[], int]) -> Counts:
    mallocs, blocks, used = calls(), sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF)
    return Counts(_collections(), blocks, mallocs, used.ru_minflt, used.ru_majflt)


def _collections() -> int:
    return sum(int(generation["collections"]) for generation in gc.get_stats())


def _calls() -> Callable[[], int]:
    """The count of the library that was loaded first; always 0 without one."""
    if _PRELOADED not in os.environ:
        return lambda: 0
    calls = ctypes.CDLL(str(_LIBRARY)).ringbus_malloc_calls
    calls.restype = ctypes.c_uint64
    return lambda: int(calls())


def _again_with_library() -> int | None:
    """Run this program again with the counting library; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or _PRELOADED in os.environ:
        return None
    _LIBRARY.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(_LIBRARY), str(_SOURCE), "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(_LIBRARY), _PRELOADED: "1"}
    return subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=environment, check=False).returncode


def main() -> int:
    """Count and print."""
    code = _again_with_library()
    if code is not None:
        return code
    events = EVENTS // 10 if "--quick" in sys.argv else EVENTS
    print(json.dumps({name: count(make, events) for name, make in paths().items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
