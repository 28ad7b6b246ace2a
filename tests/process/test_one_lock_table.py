"""Python's module and the C library in one process share one table of locks, so that neither drops the other's.

Locks belong to the process, and closing any descriptor of the file drops them all. A planted copy of the library that
cannot find the others shows that these tests would see it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ringbus
from support.children import Ended, run_child
from support.handed import Tick
from support.segments import rings_folder

__all__ = ["rings_folder"]

SYMBOL = b"ringbus_lock_table_v1"

PROBE = """
import fcntl, glob, os, struct, sys
(path,) = glob.glob(os.environ["RINGBUS_DIR"] + "/.ticks.*.lock")
file = os.open(path, os.O_RDWR)
def is_locked(byte):
    lock = fcntl.fcntl(file, 36, struct.pack("hhqqi", fcntl.F_WRLCK, 0, byte, 1, 0))
    return struct.unpack("hhqqi", lock)[0] != fcntl.F_UNLCK
print("present" if is_locked(0) else "gone", *(entry for entry in range(8) if is_locked(1000 + entry)))
"""
"""What the kernel tells another process: whether somebody is attached, and which consumers' bytes are held."""

LOOK = """
import ringbus
ring = ringbus.attach("ticks")
ring._ring.recover()
print(*sorted(f"{name} {row.state}" for name, row in ring.statistics().consumers.items()))
"""
"""What ringbus tells another process."""

BEGIN = f"""
import ctypes, subprocess, sys
PROBE, LOOK = {PROBE!r}, {LOOK!r}

def run(*options):
    print(subprocess.run([sys.executable, *options], stdout=-1, text=True, check=True).stdout, end="", flush=True)

def probe():
    run("-I", "-S", "-c", PROBE)

def look():
    run("-c", LOOK)

class Library:
    def __init__(self, path):
        self.c, self.ring, self.consumer = ctypes.CDLL(path), ctypes.c_void_p(), ctypes.c_void_p()

    def attach(self, name=None):
        assert self.c.ringbus_attach(b"ticks", None, ctypes.byref(self.ring)) == 0
        if name is not None:
            assert self.c.ringbus_join(self.ring, name, None, ctypes.byref(self.consumer)) == 0

    def detach(self):
        if self.consumer:
            assert self.c.ringbus_leave(self.consumer) == 0
        assert self.c.ringbus_detach(self.ring) == 0
"""


@pytest.fixture
def ring(rings_folder: Path) -> None:
    """A ring that was left behind: only those of the test are attached."""
    ringbus.RingBuffer(Tick, 8, name="ticks")


def copy_of_the_library(folder: Path, name: str, *, blind: bool = False) -> str:
    """Another file of the library; a blind one neither shows its table nor finds others."""
    content = Path(ringbus.get_library()).read_bytes()
    assert content.count(SYMBOL) >= 1
    copy = folder / name
    copy.write_bytes(content.replace(SYMBOL, SYMBOL[:-1] + b"0") if blind else content)
    return str(copy)


def run_without_ringbus(text: str, *arguments: str) -> Ended:
    """Run a program that imports ringbus when it says so, not before."""
    command = [sys.executable, "-X", "faulthandler", "-c", BEGIN + text, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


PYTHON_FIRST = """
ring = ringbus.attach("ticks")
poller = ring.poller("python")
library = Library(sys.argv[1])
probe()
library.attach(b"c")
probe()
look()
library.detach()
probe()
library.attach(b"c")
poller.close()
del poller, ring
probe()
library.detach()
probe()
"""


def test_python_first_then_c(ring: None) -> None:
    ended = run_child(BEGIN + PYTHON_FIRST, ringbus.get_library())
    assert (ended.lines, ended.err) == (
        ["present 0", "present 0 1", "c live python live", "present 0", "present 1", "gone"],
        "",
    )


C_FIRST = """
library = Library(sys.argv[1])
library.attach(b"c")
probe()
import ringbus
ring = ringbus.attach("ticks")
poller = ring.poller("python")
probe()
look()
poller.close()
del poller, ring
probe()
ring = ringbus.attach("ticks")
poller = ring.poller("python")
library.detach()
probe()
"""


def test_c_first_then_python(ring: None) -> None:
    ended = run_without_ringbus(C_FIRST, ringbus.get_library())
    assert (ended.lines, ended.err) == (
        ["present 0", "present 0 1", "c live python live", "present 0", "present 1"],
        "",
    )


@pytest.mark.parametrize("mode", ["RTLD_LOCAL", "RTLD_GLOBAL"])
def test_two_files_of_the_library_and_python_share_one_table(ring: None, tmp_path: Path, mode: str) -> None:
    text = f"""
    import os
    ring = ringbus.attach("ticks")
    position = ring.poller("python")
    libraries = [Library(path) for path in sys.argv[1:]]
    other = ctypes.CDLL(sys.argv[2], mode=ctypes.{mode})
    for number, library in enumerate(libraries):
        library.attach(b"c%d" % number)
    files = [os.path.realpath(f"/proc/self/fd/{{file}}") for file in os.listdir("/proc/self/fd")]
    print(sum("ticks" in file and file.endswith(".lock") for file in files))
    probe()
    libraries[0].detach()
    probe()
    """
    ended = run_child(BEGIN + "\n" + _dedented(text), ringbus.get_library(), copy_of_the_library(tmp_path, "other.so"))
    assert (ended.lines, ended.err) == (["1", "present 0 1 2", "present 0 2"], "")


def test_a_copy_that_cannot_find_the_others_would_be_seen_to_drop_their_locks(ring: None, tmp_path: Path) -> None:
    blind = copy_of_the_library(tmp_path, "blind.so", blind=True)
    ended = run_child(BEGIN + PYTHON_FIRST, blind)
    assert ended.lines[:2] == ["present 0", "present 0 1"]
    assert ended.lines[3] == "gone"


def test_a_child_of_a_fork_has_none_of_the_locks(ring: None) -> None:
    text = """
    import os
    library = Library(sys.argv[1])
    library.attach(b"c")
    ring = ringbus.attach("ticks")
    poller = ring.poller("python")
    if os.fork() == 0:
        try:
            poller.take(1, 0)
        except ringbus.ForkedError:
            assert library.c.ringbus_leave(library.consumer) == -26
            os._exit(probe() or 0)
    os.wait()
    probe()
    """
    ended = run_child(BEGIN + _dedented(text), ringbus.get_library())
    assert (ended.lines, ended.err) == (["present 0 1"] * 2, "")


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines())
