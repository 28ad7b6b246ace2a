"""A state machine does to a ring all that a program may do, one step at a time, and compares it with a model.

No threads: every run is replayed by its seed. Starts lie where numbers of 31, 32 and 62 bits end.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ringbus
from support.model import Model, Place, Slot

pytestmark = pytest.mark.timeout(180)

STARTS = (0, 1, 2**31 - 3, 2**32 - 3, 2**61 - 3, 2**62 - 2**32 - 1)
CAPACITIES = (1, 2, 4, 8, 16)
MOST_CONSUMERS = 5
DEFAULT_NOTE = "none"


class Tick(ringbus.Event):
    number: int
    note: str = ringbus.text(8, default=DEFAULT_NOTE)


class Quote(ringbus.Event):
    """Larger than Tick, and laid out otherwise."""

    sides: Any = ringbus.array("f8", (3,), default=(0.0, 0.0, 0.0))
    note: str = ringbus.text(8, default=DEFAULT_NOTE)
    number: int


class Box:
    """What an object ring holds."""

    __slots__ = ("note", "number")

    def __init__(self) -> None:
        self.number = -1
        self.note = DEFAULT_NOTE


class OopsError(Exception):
    """What goes wrong inside a claim."""


class Raises:
    """A value that cannot be converted."""

    def __index__(self) -> int:
        raise OopsError


@dataclass(eq=False)
class Opened:
    """A claim that is open, and what it gave."""

    claim: Any
    given: Any
    sequences: list[int]


def failing(event: Any) -> None:
    event.number = -2
    raise OopsError


class RingMachine(RuleBasedStateMachine):
    """One ring, its producers and consumers, and the model beside it."""

    ring: ringbus.RingBuffer[Any]

    @initialize(
        slots=st.sampled_from(("struct", "union", "object")),
        producers=st.sampled_from(("single", "multi")),
        capacity=st.sampled_from(CAPACITIES),
        start=st.sampled_from(STARTS),
        stamp=st.booleans(),
    )
    def make(self, slots: str, producers: Any, capacity: int, start: int, stamp: bool) -> None:
        self.slots, self.count = slots, 0
        self.types: tuple[Any, ...] = {"struct": (Tick,), "union": (Tick, Quote), "object": ()}[slots]
        events: dict[str, Any] = {"struct": {"event": Tick}, "union": {"event": Tick | Quote}}.get(slots, {})
        self.cleared: list[int] = []
        if slots == "object":
            events = {"factory": Box, "clear": self.clear}
        self.stamp = stamp
        self.ring = ringbus.RingBuffer(capacity=capacity, producers=producers, start=start, stamp=stamp, **events)
        self.hasty = self.ring.producer(timeout=0.0)
        self.model = Model(capacity, start, many=producers == "multi")
        self.group = self.ring.consumer_group("machine", dynamic=True)
        self.pollers: dict[str, ringbus.EventPoller[Any]] = {}
        self.seen: dict[str, list[Any]] = {}
        self.open: list[Opened] = []
        self.kept: list[tuple[Any, int]] = []
        self.clear_from: int | None = None
        self.to_clear: list[int] = []

    def clear(self, box: Box) -> None:
        self.cleared.append(box.number)
        box.number = -3

    # -- helpers ------------------------------------------------------------------------------------------------------

    def new(self, kind: int, note: str | None = None) -> Slot:
        self.count += 1
        return Slot(kind, self.count, DEFAULT_NOTE if note is None else note)

    def kind(self, kind: int) -> int:
        return kind if self.slots == "union" else 0

    @property
    def single_is_open(self) -> bool:
        return bool(self.open) and not self.model.many

    def fields(self, slot: Slot) -> dict[str, Any]:
        return {"number": slot.number} | ({} if slot.note == DEFAULT_NOTE else {"note": slot.note})

    def arguments(self, how: str, slot: Slot) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of `publish`, in one of the ways there are."""

        def fill(event: Any) -> None:
            for name, value in self.fields(slot).items():
                setattr(event, name, value)

        if self.slots == "object":
            return ((fill,), {}) if how in ("translator", "typed translator") else ((), self.fields(slot))
        event_type = self.types[slot.kind]
        ways: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
            "fields": ((), self.fields(slot)),
            "typed": ((event_type,), self.fields(slot)),
            "instance": ((event_type(**self.fields(slot)),), {}),
            "translator": ((fill,), {}),
            "typed translator": ((event_type, fill), {}),
        }
        if self.slots == "union" and how in ("fields", "translator"):
            how = "typed" if how == "fields" else "typed translator"
        return ways[how]

    def refused(self, verb: Any, *arguments: Any, **fields: Any) -> None:
        """What a single producer's ring answers while a claim is open."""
        with pytest.raises(ringbus.ClaimError, match="is open"):
            verb(*arguments, **fields)

    def check(self, event: Any, sequence: int) -> None:
        slot = self.model.slots[sequence]
        assert slot.state == "event"
        assert event.number == slot.number
        if self.slots != "object":
            assert type(event) is self.types[slot.kind]
            assert event.note == slot.note
            assert (event.published_ns > 0) == self.stamp

    def sync_clear(self) -> None:
        """What the clearing of objects should have done by now."""
        if self.slots != "object":
            return
        gate = self.model.gate
        if gate == 2**63 - 1:
            self.clear_from = None
            return
        assert self.clear_from is not None
        for sequence in range(self.clear_from + 1, gate + 1):
            if self.model.slots[sequence].state == "event":
                self.to_clear.append(self.model.slots[sequence].number)
        self.clear_from = max(self.clear_from, gate)

    # -- publishing ---------------------------------------------------------------------------------------------------

    @rule(
        how=st.sampled_from(("fields", "typed", "instance", "translator", "typed translator")),
        kind=st.integers(0, 1),
        note=st.sampled_from((None, "a", "ä" * 4)),
        trying=st.booleans(),
    )
    def publish(self, how: str, kind: int, note: str | None, trying: bool) -> None:
        slot = self.new(self.kind(kind), note if self.slots != "object" else None)
        arguments, fields = self.arguments(how, slot)
        verb: Any = self.ring.try_publish if trying else self.hasty.publish
        if self.single_is_open:
            self.refused(verb, *arguments, **fields)
        elif self.model.has_room(1):
            assert verb(*arguments, **fields) is (True if trying else None)
            self.model.publish(self.model.claim([slot]))
        elif trying:
            assert verb(*arguments, **fields) is False
        else:
            with pytest.raises(ringbus.WaitTimeout):
                verb(*arguments, **fields)

    @rule(
        what=st.sampled_from(("unknown", "missing", "long", "raising", "translator")),
        kind=st.integers(0, 1),
        trying=st.booleans(),
    )
    @precondition(lambda self: self.slots != "object" and not self.single_is_open)
    def publish_what_does_not_fit(self, what: str, kind: int, trying: bool) -> None:
        """The slot is filled before anything is claimed: nothing changes."""
        event = self.types[self.kind(kind)]
        arguments: tuple[Any, ...] = (event, failing) if what == "translator" else (event,)
        fields: dict[str, Any] = {
            "unknown": {"number": 1, "numbre": 2},
            "missing": {"note": "x"},
            "long": {"number": 1, "note": "123456789"},
            "raising": {"number": Raises()},
            "translator": {},
        }[what]
        with pytest.raises((ringbus.SchemaError, OopsError)):
            (self.ring.try_publish if trying else self.hasty.publish)(*arguments, **fields)

    @rule(trying=st.booleans())
    @precondition(lambda self: self.slots == "object" and not self.single_is_open)
    def publish_an_object_that_fails(self, trying: bool) -> None:
        room = self.model.has_room(1)
        if room:
            with pytest.raises(OopsError):
                (self.ring.try_publish if trying else self.hasty.publish)(failing)
            self.model.abort(self.model.claim([self.new(0)]))
        elif trying:
            assert self.ring.try_publish(failing) is False

    @rule(size=st.integers(0, 24), kind=st.integers(0, 1), strided=st.booleans())
    @precondition(lambda self: self.slots != "object")
    def publish_batch(self, size: int, kind: int, strided: bool) -> None:
        slots = [self.new(self.kind(kind), "b") for _ in range(size)]
        event = self.types[self.kind(kind)]
        rows = np.zeros(size * 2, event.dtype)[::2] if strided else np.zeros(size, event.dtype)
        rows["number"] = [slot.number for slot in slots]
        rows["note"] = b"b"
        if self.single_is_open:
            self.refused(self.ring.publish_batch, rows, event)
            return
        sent = 0
        while sent < size and self.model.has_room(1):
            self.model.publish(self.model.claim([slots[sent]]))
            sent += 1
        if sent == size:
            assert self.hasty.publish_batch(rows, event) == self.model.claimed
            return
        with pytest.raises(ringbus.WaitTimeout) as caught:
            self.hasty.publish_batch(rows, event)
        assert f"{sent} of {size} events were published" in caught.value.__notes__

    # -- claims -------------------------------------------------------------------------------------------------------

    def enter(self, count: int | None, kind: int, trying: bool) -> Opened | None:
        """Open a claim; None where there is no room, or where it is refused."""
        wanted: tuple[Any, ...] = () if count is None else (count,)
        if self.slots == "union":
            wanted = (*wanted, self.types[kind])
        if self.single_is_open:
            self.refused(self.ring.try_claim if trying else lambda *given: self.ring.claim(*given).__enter__(), *wanted)
            return None
        if not self.model.has_room(count or 1):
            if trying:
                assert self.ring.try_claim(*wanted) is None
            else:
                with pytest.raises(ringbus.WaitTimeout), self.hasty.claim(*wanted):
                    pytest.fail("claimed what is not free")
            return None
        claim: Any = self.ring.try_claim(*wanted) if trying else self.hasty.claim(*wanted)
        given = claim.__enter__()
        sequences = self.model.claim([self.new(kind) for _ in range(count or 1)])
        assert (claim.first, claim.last) == (sequences[0], sequences[-1])
        if count is None:
            assert self.slots == "object" or given.note == DEFAULT_NOTE
            given.number = self.model.slots[sequences[0]].number
        else:
            assert set(given["note"]) == {DEFAULT_NOTE.encode()}
            assert not given["number"].any()
            given["number"] = [self.model.slots[sequence].number for sequence in sequences]
        self.open.append(Opened(claim, given, sequences))
        return self.open[-1]

    def close(self, opened: Opened, outcome: str) -> None:
        """End a claim; `opened` has the one reference to what was given that the claim allows."""
        self.open.remove(opened)
        array = isinstance(opened.given, np.ndarray)
        if outcome == "raise":
            assert not opened.claim.__exit__(OopsError, OopsError(), None)
            self.model.abort(opened.sequences)
        elif outcome == "keep" and array:
            kept = opened.given["number"][:1]
            with pytest.raises(ringbus.KeptViewError):
                opened.claim.__exit__(None, None, None)
            assert len(kept) == 1
            self.model.abort(opened.sequences)
        else:
            assert not opened.claim.__exit__(None, None, None)
            self.model.publish(opened.sequences)
            if not array and self.slots != "object":
                self.kept.append((opened.given, self.model.slots[opened.sequences[0]].number))
        assert not array or len(opened.given) == 0, "the array is empty after the claim"

    @rule(kind=st.integers(0, 1), trying=st.booleans(), outcome=st.sampled_from(("publish", "raise")))
    def claim_one(self, kind: int, trying: bool, outcome: str) -> None:
        opened = self.enter(None, self.kind(kind), trying)
        if opened is not None:
            self.close(opened, outcome)

    @rule(
        count=st.integers(1, 16),
        kind=st.integers(0, 1),
        trying=st.booleans(),
        outcome=st.sampled_from(("publish", "raise", "keep")),
    )
    @precondition(lambda self: self.slots != "object")
    def claim_some(self, count: int, kind: int, trying: bool, outcome: str) -> None:
        opened = self.enter(min(count, self.model.capacity), self.kind(kind), trying)
        if opened is not None:
            self.close(opened, outcome)

    @rule(count=st.sampled_from((None, 1, 2, 3)), kind=st.integers(0, 1))
    @precondition(lambda self: len(self.open) < 3)
    def open_claim(self, count: int | None, kind: int) -> None:
        """Leave it open while other steps are taken."""
        if self.slots == "object" or (count is not None and count > self.model.capacity):
            count = None
        self.enter(count, self.kind(kind), trying=True)

    @rule(which=st.integers(0, 2), outcome=st.sampled_from(("publish", "raise", "keep")))
    @precondition(lambda self: self.open)
    def close_claim(self, which: int, outcome: str) -> None:
        self.close(self.open[which % len(self.open)], outcome)

    @rule(count=st.sampled_from((0, -1, 17, 2**40)))
    @precondition(lambda self: self.slots != "object")
    def claim_what_the_ring_does_not_have(self, count: int) -> None:
        with pytest.raises(ringbus.CapacityError):
            self.ring.try_claim(count, Tick)

    # -- consumers ----------------------------------------------------------------------------------------------------

    def join(self, place: Place, dependencies: set[int]) -> Place:
        names = sorted(self.model.places)
        place.depends_on = tuple(name for index, name in enumerate(names) if index in dependencies)
        if self.slots == "object" and self.model.gate == 2**63 - 1:
            self.clear_from = self.model.cursor
        return place

    @rule(
        batch=st.booleans(),
        gating=st.booleans(),
        max_batch=st.sampled_from((None, 1, 2, 3)),
        kinds=st.sampled_from(((0, 1), (0,), (1,))),
        dependencies=st.sets(st.integers(0, 4), max_size=2),
    )
    @precondition(lambda self: len(self.model.places) < MOST_CONSUMERS)
    def add_handler(
        self, batch: bool, gating: bool, max_batch: int | None, kinds: tuple[int, ...], dependencies: set[int]
    ) -> None:
        if self.slots == "object":
            batch, gating = False, True
        name = f"handler-{self.count}-{len(self.seen)}"
        place = Place(name, self.model.cursor, gating=gating, batch=batch, max_batch=max_batch or 2**63 - 1)
        place.kinds = kinds if self.slots == "union" else (0,)
        self.join(place, dependencies)
        seen = self.seen[name] = []

        def one(event: Any, sequence: int) -> None:
            self.check(event, sequence)
            seen.append(sequence)

        @ringbus.batch
        def many(events: Any, first: int) -> None:
            numbers = [int(number) for number in events["number"]]
            assert numbers == [self.model.slots[first + index].number for index in range(len(numbers))]
            seen.extend(range(first, first + len(numbers)))

        wanted = [self.types[kind] for kind in place.kinds] if self.slots == "union" else None
        self.group.add(
            name,
            many if batch else one,
            gating=gating,
            max_batch=max_batch,
            kinds=wanted,
            depends_on=place.depends_on,
        )
        self.model.places[name] = place

    @rule()
    def run_once(self) -> None:
        before = {name: len(seen) for name, seen in self.seen.items()}
        target = self.ring._ring.published()
        handled = self.group.run_once()
        places = [place for place in self.model.places.values() if not place.poller]
        expected: dict[str, list[int]] = {place.name: [] for place in places}
        moved = 1
        while moved:  # in turn, until all are done with what was published or none can go on
            begun = sum(place.sequence for place in places)
            for place in places:
                expected[place.name] += self.model.step(place)
            moved = sum(place.sequence for place in places) - begun
            if all(place.sequence >= target for place in places):
                break
        for name, sequences in expected.items():
            assert self.seen[name][before[name] :] == sequences
        assert handled == sum(map(len, expected.values()))

    @rule(
        gating=st.booleans(),
        max_batch=st.sampled_from((None, 1, 2)),
        kinds=st.sampled_from(((0, 1), (0,), (1,))),
        dependencies=st.sets(st.integers(0, 4), max_size=2),
    )
    @precondition(lambda self: len(self.model.places) < MOST_CONSUMERS)
    def add_poller(self, gating: bool, max_batch: int | None, kinds: tuple[int, ...], dependencies: set[int]) -> None:
        name = f"poller-{self.count}-{len(self.seen)}-{len(self.pollers)}"
        gating = gating or self.slots == "object"
        place = Place(name, self.model.cursor, gating=gating, poller=True)
        place.kinds = kinds if self.slots == "union" else (0,)
        self.join(place, dependencies)
        wanted: Any = [self.types[kind] for kind in place.kinds] if self.slots == "union" else None
        self.seen[name] = []
        self.pollers[name] = self.ring.poller(
            name, gating=gating, max_batch=max_batch, kinds=wanted, depends_on=place.depends_on
        )
        self.model.places[name] = place

    def pick(self, which: int) -> tuple[ringbus.EventPoller[Any], Place]:
        name = sorted(self.pollers)[which % len(self.pollers)]
        return self.pollers[name], self.model.places[name]

    @rule(which=st.integers(0, 4))
    @precondition(lambda self: self.pollers)
    def poll_next(self, which: int) -> None:
        poller, place = self.pick(which)
        event = poller.next(timeout=0.0)
        self.model.commit(place)
        found = list(self.model.take(place, 1))
        assert (event is not None) == bool(found)
        if found:
            self.check(event, found[0])
            if self.slots != "object":
                self.kept.append((event, self.model.slots[found[0]].number))

    @rule(which=st.integers(0, 4), limit=st.sampled_from((0, 1, 2, 3, 100)))
    @precondition(lambda self: self.pollers)
    def poll_take(self, which: int, limit: int) -> None:
        poller, place = self.pick(which)
        events = poller.take(limit, timeout=0.0)
        self.model.commit(place)
        found = list(self.model.take(place, limit))
        if self.slots != "object":
            self.model.commit(place)
        assert len(events) == len(found)
        for event, sequence in zip(events, found, strict=True):
            self.check(event, sequence)

    @rule(which=st.integers(0, 4), limit=st.sampled_from((1, 2, 100)), stop=st.booleans())
    @precondition(lambda self: self.pollers)
    def poll_handler(self, which: int, limit: int, stop: bool) -> None:
        poller, place = self.pick(which)
        found: list[int] = []

        def handler(event: Any) -> bool:
            found.append(event.number)
            return not stop

        handed = poller.poll(handler, limit)
        self.model.commit(place)
        expected: list[int] = []
        for sequence in self.model.take(place, 1 if stop else limit):
            expected.append(self.model.slots[sequence].number)
            self.model.commit(place)
        self.model.commit(place)
        assert handed == len(found)
        assert found == expected

    @rule(which=st.integers(0, 4), limit=st.sampled_from((1, 3, 100)))
    @precondition(lambda self: self.pollers and self.slots != "object")
    def poll_array(self, which: int, limit: int) -> None:
        """One type at a time, and at most what was readable at first: at least one event where there is one."""
        poller, place = self.pick(which)
        rows = poller.take_array(limit, timeout=0.0)
        self.model.commit(place)
        first = self.model.seek(place)
        assert (rows is not None) == (first is not None)
        if rows is None:
            return
        kind = self.model.slots[place.next].kind
        assert 1 <= len(rows) <= limit
        for row in rows:
            [sequence] = self.model.take(place, 1)
            assert self.model.slots[sequence].kind == kind
            assert int(row["number"]) == self.model.slots[sequence].number
        self.model.commit(place)
        while place.next <= poller.sequence:
            assert not self.model.takes(place, place.next), "an event was stepped over"
            place.skipped += 1
            place.next, place.sequence = place.next + 1, place.next

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.model.places)
    def remove(self, which: int) -> None:
        name = sorted(self.model.places)[which % len(self.model.places)]
        followed = any(name in place.depends_on for place in self.model.places.values())
        with pytest.raises(ringbus.TopologyError) if followed else contextlib.nullcontext():
            self.remove_one(name)
        if not followed:
            self.adds_up(self.model.places.pop(name))
            self.pollers.pop(name, None)

    def remove_one(self, name: str) -> None:
        if name in self.pollers:
            self.pollers[name].close()
        else:
            self.group.remove(name)

    def adds_up(self, place: Place) -> None:
        """Every sequence since it joined was handed out, stepped over, or is among the missed."""
        assert place.next - 1 - place.joined == place.handed + place.skipped + place.missed or not place.poller
        assert place.sequence - place.joined == place.handed + place.skipped + place.missed or place.poller

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def the_ring_is_as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        self.sync_clear()
        model, ring = self.model, self.ring
        assert (ring.cursor, ring.remaining_capacity) == (model.cursor, model.remaining)
        assert ring.minimum_sequence == model.gate
        statistics = ring.statistics()
        assert statistics.pads == model.pads
        assert sorted(statistics.consumers) == sorted(model.places)
        for name, place in model.places.items():
            found = statistics.consumers[name]
            assert (name, found.sequence, found.missed) == (name, place.sequence, place.missed)
        assert not ring.is_available(model.claimed + 1)
        assert self.cleared == self.to_clear

    @invariant()
    def what_is_published_is_available(self) -> None:
        if hasattr(self, "model"):
            model = self.model
            for sequence in range(max(model.claimed - model.capacity, model.before) + 1, model.claimed + 1):
                if model.slots[sequence].state != "pad":
                    assert self.ring.is_available(sequence) == (model.slots[sequence].state == "event")

    @invariant()
    def kept_events_keep_their_data(self) -> None:
        assert all(event.number == number for event, number in getattr(self, "kept", ()))

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        while self.open:
            self.close(self.open[0], "publish")
        for _ in range(2 + self.model.capacity):
            self.run_once()
        for place in self.model.places.values():
            self.adds_up(place)
        self.the_ring_is_as_the_model()
        for name in reversed(list(self.model.places)):
            self.remove_one(name)
        self.group.stop()
        assert self.ring.statistics().consumers == {}


# The profile "thorough" asks for more.
EXAMPLES = max(400, hypothesis.settings().max_examples)

TestRing: type[Any] = RingMachine.TestCase
TestRing.settings = hypothesis.settings(
    max_examples=EXAMPLES, stateful_step_count=50, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
