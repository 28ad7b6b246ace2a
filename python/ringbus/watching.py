"""Looking into shared rings without taking part: read-only, from the words that their participants write anyway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringbus import _core
from ringbus.rebuilt import Document, documents, event_classes
from ringbus.ring import RingBuffer
from ringbus.sharing import folder, is_alive
from ringbus.statistics import Row, consumer_statistics

GONE = ("dead", "away", "held")
"""States of consumers whose process is not there."""


@dataclass(frozen=True, slots=True)
class ConsumerView:
    """A consumer as its entry in the segment shows it.

    Attributes:
        name: its name.
        state: "live", "joining", "stopped" (by a signal or a debugger), "away" (durable, its process gone), "held" (a
            place kept for one that has not come), "evicted" or "dead".
        pid: its process; 0 where nobody has come yet.
        sequence: the last sequence it is done with.
        lag: published sequences it is not done with.
        gating: whether producers wait for it.
        durable: whether its place stays while its process is away.
        depends_on: whom it follows; empty is the producers.
        events: events handed to it.
        batches: batches they came in.
        waits: times nothing was there and it had to wait.
        blocked_ns: time in such waits, ns.
        missed: events it was lapped by, or missed while it was away.
        evict_after: how long producers wait for it before they evict it, in seconds; None is for ever.
    """

    name: str
    state: str
    pid: int
    sequence: int
    lag: int
    gating: bool
    durable: bool
    depends_on: tuple[str, ...]
    events: int
    batches: int
    waits: int
    blocked_ns: int
    missed: int
    evict_after: float | None = None


@dataclass(frozen=True, slots=True)
class ProducerView:
    """A producer that has a place in the ring: its process, whether that lives, and claims it has not published."""

    pid: int
    alive: bool
    open_claims: int


@dataclass(frozen=True, slots=True)
class RingView:
    """A shared ring at one moment.

    Attributes:
        name: its name.
        alive: whether any process takes part; watchers do not.
        header: what its header says, by name.
        schema: its event types.
        cursor: the highest sequence published (single producer) or claimed (multi).
        published: the highest sequence up to which it knows of a published one.
        remaining: free slots.
        pads: slots that failed claims left for consumers to step over.
        producers: who publishes.
        consumers: who reads, in the order of their entries.
    """

    name: str
    alive: bool
    header: Mapping[str, Any]
    schema: tuple[Document, ...]
    cursor: int
    published: int
    remaining: int
    pads: int
    producers: tuple[ProducerView, ...]
    consumers: tuple[ConsumerView, ...]

    @property
    def capacity(self) -> int:
        """Slots."""
        return int(self.header["capacity"])

    @property
    def event_names(self) -> tuple[str, ...]:
        """The names of its event types."""
        return tuple(document["event"] for document in self.schema)


class Watch:
    """One shared ring, attached read-only, to be looked at again and again.

    It gates nobody, does not count as living in the ring, and never writes to it.
    """

    def __init__(self, name: str) -> None:
        """Attach.

        Raises:
            RingNotFoundError: there is no ring of that name.
            LayoutError: the file is no ring of this layout.
        """
        self.name = name
        self._file = _identity(name)  # before, so that a ring that is replaced meanwhile is not taken for this one
        self._segment = _core.Segment(name, "read")
        self.header: Mapping[str, Any] = self._segment.header()
        self.schema = tuple(documents(self._segment.schema))
        types = event_classes(self._segment.schema)
        self.ring: RingBuffer[Any] = RingBuffer._over(name, self._segment, types, "blocking", None)

    def is_current(self) -> bool:
        """Whether the name still leads to this ring."""
        return self._file is not None and _identity(self.name) == self._file

    def look(self) -> RingView:
        """Read the words of the ring and its participants, one by one, while they go on."""
        native, rows = self.ring._ring, self.ring._roster.rows()
        published = native.published()
        return RingView(
            name=self.name,
            alive=is_alive(self.name),
            header=self.header,
            schema=self.schema,
            cursor=native.cursor,
            published=published,
            remaining=native.remaining_capacity,
            pads=native.pads,
            producers=self._producers(),
            consumers=tuple(_consumer(row, rows, published) for row in rows),
        )

    def _producers(self) -> tuple[ProducerView, ...]:
        if self.header["producers"] == "single":
            return (ProducerView(0, True, 0),) if self._segment.has_single_producer() else ()
        return tuple(ProducerView(pid, alive, claims) for _, pid, alive, claims in self._segment.producers())


def _identity(name: str) -> tuple[int, int] | None:
    """The file that has the name now."""
    try:
        facts = (folder() / name).lstat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _consumer(row: Row, rows: list[Row], published: int) -> ConsumerView:
    counted = consumer_statistics(row, published, None)
    return ConsumerView(
        name=row.name,
        state=counted.state,
        pid=0 if counted.state == "held" else counted.pid,
        sequence=counted.sequence,
        lag=counted.lag,
        gating=counted.gating,
        durable=counted.durable,
        depends_on=tuple(other.name for other in rows if row.depends_on >> other.entry & 1),
        events=counted.events,
        batches=counted.batches,
        waits=counted.waits,
        blocked_ns=counted.blocked_ns,
        missed=counted.missed,
        evict_after=counted.evict_after,
    )
