"""What a ring and its consumers have counted: frozen, with named fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _refuse(*_arguments: object, **_named: object) -> NoReturn:
    raise TypeError("statistics are frozen; make a copy of your own with dict(...)")


class Frozen(dict[K, V]):
    """A dictionary that nothing can be put into or taken from: what was counted stays what it was."""

    __slots__ = ()

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    __ior__: Any = _refuse
    clear: Any = _refuse
    pop: Any = _refuse
    popitem: Any = _refuse
    setdefault: Any = _refuse
    update: Any = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as what it holds."""
        return Frozen, (dict(self),)


@dataclass(frozen=True, slots=True)
class LatencyStatistics:
    """Time from the publish of an event to its hand-over to the handler, in ns, to three digits.

    Counted where the ring stamps (`RingBuffer(..., stamp=True)`), from a histogram of every event.
    """

    count: int
    min_ns: int
    mean_ns: float
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int


@dataclass(frozen=True, slots=True)
class ConsumerStatistics:
    """One consumer.

    Attributes:
        name: its name.
        sequence: the last sequence it is done with.
        lag: published sequences it is not done with.
        events: events handed to the handler; skipped ones of other types or other workers do not count.
        batches: batches they came in.
        mean_batch: events a batch; 0.0 without any.
        waits: times nothing was there and it had to wait.
        blocked_ns: time in such waits, ns.
        missed: events it was lapped by; only a consumer that does not gate is.
        state: "live", "held" (a place kept for one that has not come), "left"; in a shared ring also "stopped" (by a
            signal or a debugger), "away" (durable, its process gone), "evicted" and "dead" (others still depend on it).
        gating: whether producers wait for it.
        latency: publish to hand-over; None where the ring does not stamp.
        pid: its process; 0 where that is unknown.
        durable: whether its place stays while its process is away.
        evict_after: how long producers wait for it before they evict it, in seconds; None is for ever.
    """

    name: str
    sequence: int
    lag: int
    events: int
    batches: int
    mean_batch: float
    waits: int
    blocked_ns: int
    missed: int
    state: str
    gating: bool
    latency: LatencyStatistics | None
    pid: int = 0
    durable: bool = False
    evict_after: float | None = None


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """A group: its name, its state ("new", "running", "stopped" or "failed") and its consumers."""

    name: str
    state: str
    consumers: Mapping[str, ConsumerStatistics]


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """A ring.

    Attributes:
        capacity: slots.
        cursor: the highest sequence published (single producer) or claimed (multi).
        remaining: free slots.
        pads: slots that failed claims left for consumers to step over.
        producers: "single" or "multi".
        slot_bytes: bytes of a slot.
        pages: "ordinary", "transparent" or "huge".
        consumers: every consumer of the ring, by name.
    """

    capacity: int
    cursor: int
    remaining: int
    pads: int
    producers: str
    slot_bytes: int
    pages: str
    consumers: Mapping[str, ConsumerStatistics]


_STATES = {2: "live", 3: "held"}


GONE = (0, 4)
"""States of a row whose consumer has left or died: free, dead."""


class Row(NamedTuple):
    """A consumer as the core counts it."""

    entry: int
    name: str
    state: int
    sequence: int
    gating: bool
    depends_on: int
    events: int
    batches: int
    waits: tuple[int, int]
    missed: int
    process: tuple[int, str, bool, float | None] = (0, "alive", False, None)


Latency = tuple[int, int, float, tuple[int, int, int, int], int] | None


def latency_statistics(latency: Latency) -> LatencyStatistics | None:
    """Name what the core's histogram says."""
    if latency is None:
        return None
    count, least, mean, (p50, p90, p99, p999), most = latency
    return LatencyStatistics(count, least, mean, p50, p90, p99, p999, most)


def consumer_statistics(row: Row, cursor: int, latency: Latency, state: str | None = None) -> ConsumerStatistics:
    """Name what the core counts for one consumer."""
    return ConsumerStatistics(
        name=row.name,
        sequence=row.sequence,
        lag=max(0, cursor - row.sequence),
        events=row.events,
        batches=row.batches,
        mean_batch=row.events / row.batches if row.batches else 0.0,
        waits=row.waits[0],
        blocked_ns=row.waits[1],
        missed=row.missed,
        state=state or _state(row),
        gating=row.gating,
        latency=latency_statistics(latency),
        pid=row.process[0],
        durable=row.process[2],
        evict_after=row.process[3],
    )


def _state(row: Row) -> str:
    condition = row.process[1]
    return condition if condition != "alive" else _STATES.get(row.state, "joining")
