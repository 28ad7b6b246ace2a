"""Machine code on disk: one process compiles, the next one loads, and what has changed is compiled anew."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ringbus
from ringbus.machine.fingerprint import fingerprint
from support.children import assert_clean, run_child
from support.machine import sums, ticks

numba = pytest.importorskip("numba", reason="the extra ringbus[compiled] is not installed")

PROGRAM = """
import numpy as np
from numba.core import event

class Counts(event.Listener):
    compiled = 0
    def on_start(self, event): self.compiled += 1
    def on_end(self, event): pass

def make(factor):
    @ringbus.compiled
    def handler(tick, state):
        if tick.value == 3:
            raise ValueError("three", tick.value)
        state[0] += tick.value * factor
    return handler

ring = ringbus.RingBuffer(Tick, 16)
group = ring.consumer_group("group", on_error="skip")
counts = Counts()
with event.install_listener("numba:compile", counts):
    group.add("handler", make(int(sys.argv[1])), state=np.zeros(1, np.int64))
with group:
    for value in range(5):
        ring.publish(value=value)
print(counts.compiled > 0, group["handler"].state[0])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for the child processes of a test."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path / "ringbus"


def run(factor: int = 1) -> list[str]:
    """Whether a new process compiled, and the sum that its handler made."""
    ended = run_child(PROGRAM, str(factor))
    assert_clean(ended)
    return ended.out.split()


def test_a_second_process_compiles_nothing(folder: Path) -> None:
    assert run() == ["True", "7"]
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert run() == ["False", "7"]


def test_another_constant_is_another_function(folder: Path) -> None:
    assert run(1) == ["True", "7"]
    assert run(10) == ["True", "70"]
    assert run(10) == ["False", "70"]


def test_a_file_that_is_damaged_is_compiled_anew(folder: Path) -> None:
    assert run() == ["True", "7"]
    files = list(folder.glob("*.nbc"))
    for file in files:
        file.write_bytes(file.read_bytes()[:1000])
    assert run() == ["True", "7"]
    assert run() == ["False", "7"]
    assert len(list(folder.iterdir())) == len(files) == 2


def test_a_folder_that_others_may_write_is_not_used(folder: Path) -> None:
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert run() == ["True", "7"]
    assert not list(folder.iterdir())


FACTOR = 2
TABLE = np.arange(3)


def used() -> Any:
    return TABLE[0]


def user(event: Any) -> None:
    event.number = FACTOR * used() + np.int64(os.EX_OK)


@pytest.mark.parametrize(
    ("name", "value"), [("FACTOR", 3), ("FACTOR", 2.0), ("TABLE", np.arange(4)), ("TABLE", np.arange(3.0))]
)
def test_what_a_function_refers_to_is_part_of_it(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    before = fingerprint(user)
    assert before == fingerprint(user) != fingerprint(used)
    monkeypatch.setitem(globals(), name, value)
    assert fingerprint(user) != before
    monkeypatch.undo()
    assert fingerprint(user) == before


def test_attributes_of_modules_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(user)
    monkeypatch.setattr(os, "EX_OK", 1)
    assert fingerprint(user) != before


def test_a_function_that_calls_itself_has_a_fingerprint() -> None:
    def count(number: int) -> int:
        return 0 if number == 0 else 1 + count(number - 1)

    assert fingerprint(count) == fingerprint(count)


def test_what_cannot_be_told_apart_is_compiled_each_time() -> None:
    unknown = object()

    def refers(event: Any) -> None:
        event.number = unknown

    assert fingerprint(refers) is None


def test_one_process_compiles_a_function_once() -> None:
    @ringbus.compiled
    def handler(event: Any, state: Any) -> None:
        state.count += event.number

    events = numba.core.event.RecordingListener()
    groups = [ticks().consumer_group("group") for _ in range(2)]
    groups[0].add("first", handler, state=sums())
    with numba.core.event.install_listener("numba:compile", events):
        groups[1].add("second", handler, state=sums())
    assert not events.buffer


def test_files_of_another_version_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = importlib.import_module("ringbus.machine.cache")
    before = cache._key(b"a function", "types")
    monkeypatch.setattr(cache, "_VERSION", cache._VERSION + 1)
    assert cache._key(b"a function", "types") != before
