"""What a piece of code keeps: memory, descriptors, objects, collections."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20


def resident() -> int:
    """Bytes of memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def descriptors() -> set[int]:
    """The open file descriptors."""
    found = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    return {descriptor for descriptor in found if _is_open(descriptor)}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:  # the one that listed the others
        return False
    return True


def growth(make: Callable[[], object], times: int) -> int:
    """Bytes of memory that `times` calls leave behind, after a tenth as many to warm up."""
    for _ in range(max(1, times // 10)):
        make()
    gc.collect()
    before = resident()
    for _ in range(times):
        make()
    gc.collect()
    return resident() - before


class Kept:
    """What a block left behind.

    Attributes:
        blocks: memory blocks of the interpreter, more than before.
        collections: runs of the garbage collector meanwhile.
    """

    def __init__(self) -> None:
        self.blocks = 0
        self.collections = 0


@contextmanager
def counting() -> Iterator[Kept]:
    """Count blocks kept and collections while the block runs; the collector is on, as it always is."""
    kept = Kept()

    def collecting(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            kept.collections += 1

    gc.collect()
    gc.callbacks.append(collecting)
    before = sys.getallocatedblocks()
    try:
        yield kept
    finally:
        kept.blocks = sys.getallocatedblocks() - before
        gc.callbacks.remove(collecting)
