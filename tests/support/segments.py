"""A folder of shared rings for each test, and the words of a segment, to be read and written from outside."""

from __future__ import annotations

import mmap
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LINE = 128
SCHEMA = LINE
STATE = 4096
CLAIMED, PUBLISHED = STATE + LINE, STATE + 2 * LINE
REGISTRY = STATE + 4 * LINE
PRODUCERS = STATE + 5 * LINE
CONSUMERS = PRODUCERS + 64 * LINE
ENTRY = 5 * LINE
AVAILABLE = -(-(CONSUMERS + 64 * ENTRY) // 4096) * 4096

GATING, TAKEN = REGISTRY, REGISTRY + 8


def sequence_of(entry: int) -> int:
    """Where the sequence of a consumer's entry is."""
    return CONSUMERS + entry * ENTRY + LINE


def depends_on_of(entry: int) -> int:
    """Where the bit set of those it follows is."""
    return CONSUMERS + entry * ENTRY + 16


def intent_of(line: int, intent: int = 0) -> int:
    """Where an intent of a producer line is: low, then high."""
    return PRODUCERS + line * LINE + 16 + intent * 16


class Words:
    """The 64-bit words of a mapped segment."""

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory = memory

    def __getitem__(self, place: int) -> int:
        return int(struct.unpack_from("<q", self.memory, place)[0])

    def __setitem__(self, place: int, value: int) -> None:
        struct.pack_into("<Q", self.memory, place, value & (1 << 64) - 1)


@contextmanager
def words_of(path: Path) -> Iterator[Words]:
    """Map a segment's file as a broken peer would."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        yield Words(memory)


@pytest.fixture
def rings_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of rings of the test's own, named by RINGBUS_DIR, and removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="ringbus-test-", dir="/dev/shm"))
    monkeypatch.setenv("RINGBUS_DIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def checksum(header: bytes) -> int:
    """The CRC-32 of a segment's header, whose own field counts as zero."""
    return zlib.crc32(header[:100] + bytes(4))


def change_header(path: Path, place: int, value: bytes, *, mend: bool = True) -> None:
    """Write into a header, and make its checksum right again."""
    with path.open("r+b") as file:
        header = bytearray(file.read(LINE))
        header[place : place + len(value)] = value
        if mend:
            header[100:104] = checksum(bytes(header)).to_bytes(4, "little")
        file.seek(0)
        file.write(header)
