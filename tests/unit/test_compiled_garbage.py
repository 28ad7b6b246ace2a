"""Compiled sources and handlers make no garbage: counted over 10^7 events in a process of their own.

Calls of malloc are counted by a library that is loaded before all others, built with the machine's compiler.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.children import assert_clean, run_child
from support.documents import ROOT

pytest.importorskip("numba", reason="the extra ringbus[compiled] is not installed")
COMPILER = shutil.which("cc")

PROGRAM = """
import ctypes, gc, json, resource
import numpy as np

EVENTS = 10_000_000
calls = ctypes.CDLL(None).ringbus_malloc_calls
calls.restype = ctypes.c_uint64

@ringbus.compiled
def total(event, state):
    state[0] += event.value

def fill(event, state):
    event.value = state[0]
    state[0] += 1

def counts():
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    collections = sum(generation["collections"] for generation in gc.get_stats())
    return calls(), collections, sys.getallocatedblocks(), faults

ring = ringbus.RingBuffer(Tick, 4096, producers=sys.argv[1], prefault=True)
group = ring.consumer_group("group")
group.add("total", total, state=np.zeros(1, np.int64), workers=int(sys.argv[3]))
source = ring.source(fill, np.zeros(1, np.int64), batch=int(sys.argv[2]))
with group, source:
    for target in (EVENTS // 10, EVENTS // 5):
        while source.published < target:
            pass
        before = counts()
    while source.published < target + EVENTS:
        pass
    after = counts()
print(json.dumps([b - a for a, b in zip(before, after)]))
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that counts."""
    if COMPILER is None:
        pytest.skip("there is no C compiler (cc)")
    built = tmp_path_factory.mktemp("malloc") / "malloc_count.so"
    source = ROOT / "benches" / "contestants" / "python" / "malloc_count.c"
    subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", str(built), str(source)], check=True, timeout=60)
    return built


@pytest.mark.parametrize(
    ("producers", "batch", "workers"),
    [
        ("single", 1, 1),
        ("multi", 16, 2),
        pytest.param("single", 64, 1, marks=pytest.mark.slow),
        pytest.param("multi", 1, 1, marks=pytest.mark.slow),
    ],
)
def test_ten_million_events_allocate_nothing(
    counter: Path, monkeypatch: pytest.MonkeyPatch, producers: Any, batch: int, workers: int
) -> None:
    if os.cpu_count() == 1:
        pytest.skip("one processor hands over by the clock")
    monkeypatch.setenv("LD_PRELOAD", str(counter))
    ended = run_child(PROGRAM, producers, str(batch), str(workers))
    assert_clean(ended)
    mallocs, collections, blocks, faults = json.loads(ended.out)
    assert (mallocs, collections) == (0, 0)
    assert blocks <= 10, "the counting itself keeps a tuple and its numbers"
    assert faults <= 100
