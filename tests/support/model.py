"""What a ring should do, said with a dictionary and a loop: the model that the state machine compares a ring with.

Nothing here waits and nothing is fast. Sequences map to slots by name, not by address, so that what wraps in the ring
does not wrap here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

NO_GATE = 2**63 - 1


@dataclass
class Slot:
    """What was claimed as one sequence: open, then an event or a Pad."""

    kind: int
    number: int
    note: str
    state: Literal["open", "event", "pad"] = "open"


@dataclass
class Place:
    """A consumer: the sequence it is done with, and how it takes part."""

    name: str
    sequence: int
    gating: bool = True
    kinds: tuple[int, ...] = (0, 1)
    depends_on: tuple[str, ...] = ()
    max_batch: int = NO_GATE
    batch: bool = False
    poller: bool = False
    missed: int = 0
    skipped: int = 0
    handed: int = 0
    joined: int = field(init=False)
    next: int = field(init=False)

    def __post_init__(self) -> None:
        self.joined = self.sequence
        self.next = self.sequence + 1


class Model:
    """A ring of `capacity` slots whose first sequence is `start`."""

    def __init__(self, capacity: int, start: int, *, many: bool) -> None:
        self.capacity = capacity
        self.many = many
        self.before = start - 1
        self.claimed = start - 1
        self.high_water = start - 1
        self.slots: dict[int, Slot] = {}
        self.places: dict[str, Place] = {}
        self.pads = 0

    # -- producers ----------------------------------------------------------------------------------------------------

    def is_published(self, sequence: int) -> bool:
        """Whether consumers may step on or over `sequence`."""
        slot = self.slots.get(sequence)
        return slot is not None and slot.state != "open"

    @property
    def cursor(self) -> int:
        """What the ring shows: of many producers the last claim, of one the last publish."""
        if self.many:
            return self.claimed
        return self.claimed - sum(slot.state == "open" for slot in self.slots.values())

    @property
    def gate(self) -> int:
        """The lowest sequence of those that gate."""
        return min((place.sequence for place in self.places.values() if place.gating), default=NO_GATE)

    @property
    def remaining(self) -> int:
        """Free slots, as the ring counts them."""
        return self.capacity - (self.claimed - min(self.gate, self.claimed))

    def has_room(self, count: int) -> bool:
        """Whether `count` slots can be claimed now: nobody reads them, and no open claim is in them."""
        first_open = min((s for s, slot in self.slots.items() if slot.state == "open"), default=NO_GATE)
        limit = min(self.gate, first_open - 1, self.claimed)
        return self.claimed + count <= limit + self.capacity

    def claim(self, slots: Iterable[Slot]) -> list[int]:
        """Take the next sequences."""
        taken = []
        for slot in slots:
            self.claimed += 1
            self.slots[self.claimed] = slot
            taken.append(self.claimed)
        self.high_water = max(self.high_water, self.claimed)
        return taken

    def publish(self, sequences: Iterable[int]) -> None:
        """Show the events."""
        for sequence in sequences:
            self.slots[sequence].state = "event"

    def abort(self, sequences: list[int]) -> None:
        """Give a claim back: as Pads where others may have claimed behind it, else as if it had never been."""
        for sequence in sequences:
            if self.many:
                self.slots[sequence].state = "pad"
            else:
                del self.slots[sequence]
        if self.many:
            self.pads += len(sequences)
        else:
            self.claimed -= len(sequences)

    # -- consumers ----------------------------------------------------------------------------------------------------

    def is_readable(self, place: Place, sequence: int) -> bool:
        """Whether all that `place` waits for is there."""
        if place.depends_on:
            return all(self.places[name].sequence >= sequence for name in place.depends_on)
        return self.is_published(sequence)

    def resumed(self, place: Place, sequence: int) -> int:
        """Where a consumer goes on that wants `sequence`: there, or further on if it was lapped."""
        if place.gating or self.high_water < sequence + self.capacity:
            return sequence
        oldest = self.high_water - self.capacity + 1
        return max(min(oldest + self.capacity // 4, self.cursor + 1), sequence + 1)

    def takes(self, place: Place, sequence: int) -> bool:
        """Whether there is an event of its types."""
        slot = self.slots[sequence]
        return slot.state == "event" and slot.kind in place.kinds

    def step(self, place: Place) -> list[int]:
        """One batch of a handler: the sequences it is handed."""
        first = place.sequence + 1
        resume = self.resumed(place, first)
        if resume != first:
            place.missed += resume - first
            place.sequence = resume - 1
            return []
        handed: list[int] = []
        for sequence in range(first, first + min(place.max_batch, self.high_water - first + 1)):
            if not self.is_readable(place, sequence):
                break
            taken = self.takes(place, sequence)
            if handed and place.batch and not place.gating and not self._joins(handed[-1], sequence, taken):
                break
            place.sequence = sequence
            if taken:
                handed.append(sequence)
            else:
                place.skipped += 1
        place.handed += len(handed)
        return handed

    def _joins(self, last: int, sequence: int, taken: bool) -> bool:
        return taken and sequence == last + 1 and self.slots[sequence].kind == self.slots[last].kind

    def seek(self, place: Place) -> int | None:
        """A poller looks for its next event, and is done with what it steps over."""
        while True:
            resume = self.resumed(place, place.next)
            if resume != place.next:
                place.missed += resume - place.next
                place.next, place.sequence = resume, resume - 1
            elif not self.is_readable(place, place.next):
                return None
            elif self.takes(place, place.next):
                return place.next
            else:
                place.skipped += 1
                if place.sequence == place.next - 1:
                    place.sequence = place.next
                place.next += 1

    def commit(self, place: Place) -> None:
        """A poller is done with what it was handed."""
        place.sequence = place.next - 1

    def take(self, place: Place, limit: int) -> Iterator[int]:
        """A poller takes events one by one; done with when the next is asked for."""
        for _ in range(limit):
            found = self.seek(place)
            if found is None:
                return
            place.next = found + 1
            place.handed += 1
            yield found
