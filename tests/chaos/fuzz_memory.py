"""Where the parts of a segment are, and the nonsense that is written into them."""

from __future__ import annotations

import mmap
import random
import struct
from dataclasses import dataclass

LINE = 128
ENTRY = 5 * LINE
PRODUCERS = 64
CONSUMERS = 64


@dataclass(frozen=True)
class Region:
    """A part of the segment; `hot` bytes at its beginning are hit three times out of four."""

    name: str
    begin: int
    end: int
    weight: int
    hot: int


def regions(capacity: int, multi: bool, schema_bytes: int, total: int) -> list[Region]:
    """Where each part of a segment is (crates/ringbus-core/src/layout.rs)."""
    state = -(-(LINE + schema_bytes) // 4096) * 4096
    producers = state + 5 * LINE
    consumers = producers + PRODUCERS * LINE
    end = consumers + CONSUMERS * ENTRY
    available = -(-end // 4096) * 4096
    slots = -(-(available + (4 * capacity if multi else 0)) // 4096) * 4096
    found = [
        Region("header", 0, LINE, 8, LINE),
        Region("schema", LINE, LINE + schema_bytes, 3, schema_bytes),
        Region("state", state, state + LINE, 4, 16),
        Region("claimed", state + LINE, state + 2 * LINE, 10, 8),
        Region("published", state + 2 * LINE, state + 3 * LINE, 10, 8),
        Region("futex", state + 3 * LINE, state + 4 * LINE, 3, 4),
        Region("registry", state + 4 * LINE, producers, 10, 16),
        Region("producers", producers, consumers, 12, 3 * LINE),
        Region("consumers", consumers, end, 25, 5 * ENTRY),
        Region("slots", slots, total, 10, 1024),
    ]
    if multi:
        found.append(Region("available", available, available + 4 * capacity, 15, 4 * capacity))
    return found


INTERESTING = (
    0,
    1,
    2,
    3,
    7,
    -1,
    -2,
    255,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    (1 << 62) - 1,
    1 << 62,
    (1 << 63) - 1,
    -(1 << 63),
)


class Mutator:
    """Writes nonsense into a mapped segment."""

    def __init__(self, memory: mmap.mmap, parts: list[Region], rng: random.Random) -> None:
        self.memory = memory
        self.parts = parts
        self.weights = [part.weight for part in parts]
        self.rng = rng

    def mutate(self) -> tuple[int, bytes]:
        """Change some bytes; where they are, and what they were."""
        (part,) = self.rng.choices(self.parts, self.weights)
        size = part.end - part.begin
        room = min(part.hot, size) if self.rng.random() < 0.75 else size
        at = part.begin + self.rng.randrange(room)
        place, value = self._nonsense(at, part)
        value = value[: part.end - place]
        before = self.memory[place : place + len(value)]
        self.memory[place : place + len(value)] = value
        return place, before

    def _nonsense(self, at: int, part: Region) -> tuple[int, bytes]:
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            return at, bytes([self.memory[at] ^ 1 << rng.randrange(8)])
        if kind == 1:
            return at, rng.randbytes(rng.choice((1, 2, 4, 8, 16)))
        if kind == 2:
            line = at // LINE * LINE
            return max(line, part.begin), bytes(LINE) if rng.random() < 0.5 else rng.randbytes(LINE)
        if kind == 3:
            return at & ~3, struct.pack("<I", rng.choice((*INTERESTING, rng.getrandbits(32))) & 0xFFFFFFFF)
        word = at & ~7
        (now,) = struct.unpack_from("<q", self.memory, word)
        near = now + rng.choice((-1, 1)) * rng.choice((1, 2, 8, 63, 64, 65, 1 << 10, 1 << 31, 1 << 32, 1 << 61))
        value = rng.choice((*INTERESTING, rng.getrandbits(64), rng.getrandbits(62), near, near, near))
        return word, struct.pack("<Q", value & (1 << 64) - 1)
