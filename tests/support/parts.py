"""Handlers, policies and producers of the conformance tests: made where the consumers or the producers are."""

from __future__ import annotations

import threading
import time
from typing import Any

import ringbus
from support.variants import PATIENCE


class MadeUpError(Exception):
    """What handlers and translators fail with."""


class Seen:
    """A handler that takes down what came, and tells who waits that something has."""

    def __init__(self, field: str = "value") -> None:
        self.field = field
        self.values: list[Any] = []
        self.came = threading.Event()

    def __call__(self, event: Any) -> None:
        self.values.append(getattr(event, self.field))
        self.came.set()

    def wait(self) -> None:
        """Wait for the first event."""
        assert self.came.wait(PATIENCE), "no event came"


class Log:
    """What several handlers saw, in one list."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int]] = []

    def handler(self, tag: str) -> Tagged:
        """A handler that writes into it."""
        return Tagged(self, tag)


class Tagged:
    """A handler that writes into a log."""

    def __init__(self, log: Log, tag: str) -> None:
        self.log = log
        self.tag = tag

    def __call__(self, event: Any) -> None:
        self.log.entries.append((self.tag, event.value))


class Ends:
    """A handler that takes down which events ended a batch."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, bool]] = []

    def __call__(self, event: Any, sequence: int, end_of_batch: bool) -> None:
        self.ends.append((event.value, end_of_batch))


class Lived:
    """A handler that counts its life-cycle calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_start(self) -> None:
        self.calls.append("start")

    def on_shutdown(self) -> None:
        self.calls.append("shutdown")

    def __call__(self, event: object) -> None:
        self.calls.append("event")


class Sizes:
    """A handler that takes down how large each batch was said to be, and how many events came.

    Attributes:
        consumer: set by the test, if what was released when a batch began is to be taken down too.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.events: list[int] = []
        self.released: list[int] = []
        self.consumer: ringbus.Consumer | None = None

    def on_batch_start(self, size: int) -> None:
        assert len(self.events) == sum(self.sizes), "the last batch was larger or smaller than said"
        self.sizes.append(size)
        if self.consumer is not None:
            self.released.append(self.consumer.sequence)

    def __call__(self, event: Any) -> None:
        self.events.append(event.value)


class Arrays:
    """A handler of batches that takes down how large each was said to be, and what came."""

    def __init__(self) -> None:
        self.said: list[int] = []
        self.came: list[list[int]] = []

    def on_batch_start(self, size: int) -> None:
        self.said.append(size)

    @ringbus.batch
    def __call__(self, events: Any) -> None:
        self.came.append(events["value"].tolist())


class Alternate:
    """A handler that takes every second sequence."""

    def __init__(self, own: int) -> None:
        self.own = own
        self.taken: list[int] = []

    def __call__(self, event: Any, sequence: int) -> None:
        assert event.value == sequence
        if sequence % 2 == self.own:
            self.taken.append(sequence)


class ByThread:
    """A handler that takes down what came on each thread."""

    def __init__(self) -> None:
        self.taken: dict[str, list[int]] = {}

    def __call__(self, event: Any, sequence: int) -> None:
        self.taken.setdefault(threading.current_thread().name, []).append(sequence)


class Early:
    """A handler that is done early with the event before the one in hand, and takes down what that changes."""

    def __init__(self, ring: Any) -> None:
        self.ring = ring
        self.consumer: Any = None
        self.seen: list[tuple[int, ...]] = []
        self.refused: list[str] = []

    def __call__(self, event: Any, sequence: int, end_of_batch: bool) -> None:
        assert end_of_batch == (sequence == 9)
        held = self.consumer.sequence
        self.consumer.release(sequence - 1)
        self.seen.append((held, self.consumer.sequence, self.ring.minimum_sequence, self.ring.remaining_capacity))
        try:
            self.consumer.release(sequence)
        except ringbus.ClaimError as error:
            self.refused.append(str(error))


class Late:
    """A handler that takes down what it is done with."""

    def __init__(self) -> None:
        self.consumer: Any = None
        self.seen: list[int] = []

    def __call__(self, event: object) -> None:
        self.seen.append(self.consumer.sequence)


class Leader:
    """A handler that releases each event as it comes to the next, and waits at the last to be followed."""

    def __init__(self) -> None:
        self.consumer: Any = None
        self.followed = threading.Event()

    def __call__(self, event: Any, sequence: int) -> None:
        self.consumer.release(sequence - 1)
        if sequence == 9:
            assert self.followed.wait(PATIENCE), "what was released was not handed on"


class Follower:
    """A handler that tells its leader that it has come as far as it can."""

    def __init__(self, leader: Leader) -> None:
        self.leader = leader
        self.seen: list[int] = []

    def __call__(self, event: Any, sequence: int) -> None:
        self.seen.append(sequence)
        if sequence == 8:
            self.leader.followed.set()


class Failing:
    """A handler that fails at some sequences."""

    def __init__(self, *sequences: int) -> None:
        self.sequences = sequences
        self.seen: list[int] = []
        self.raised: list[MadeUpError] = []
        self.may_fail = threading.Event()
        self.may_fail.set()

    def hold(self) -> None:
        """Wait, before the next failure, until `let_fail`."""
        self.may_fail.clear()

    def let_fail(self) -> None:
        """Go on, and fail."""
        self.may_fail.set()

    def __call__(self, event: Any, sequence: int) -> None:
        self.seen.append(sequence)
        if sequence in self.sequences:
            assert self.may_fail.wait(PATIENCE)
            self.raised.append(MadeUpError(sequence))
            raise self.raised[-1]


class Told:
    """A policy that takes down what it is told, and goes on."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.told: list[tuple[int, int, str]] = []

    def handle(self, error: BaseException, sequence: int, event: Any, consumer: ringbus.Consumer) -> None:
        self.errors.append(error)
        self.told.append((sequence, event.value, consumer.name))

    def has_those_of(self, handler: Failing) -> bool:
        """Whether the errors are the very ones that the handler raised."""
        return all(one is other for one, other in zip(self.errors, handler.raised, strict=True))


class Crawl:
    """A handler that takes its time."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.began = threading.Event()
        self.pause = threading.Event()

    def __call__(self, event: Any) -> None:
        self.seen.append(event.value)
        self.began.set()
        self.pause.wait(0.02)

    def wait(self) -> None:
        """Wait for the first event."""
        assert self.began.wait(PATIENCE), "no event came"


class Wide(ringbus.Event):
    """The event of the stress test."""

    sequence: int
    a: int
    b: int
    s: str = ringbus.text(24)


class WideBox:
    """The object of the stress test."""

    __slots__ = ("a", "b", "s", "sequence")


class Check:
    """A handler that counts the events that do not fit their sequence."""

    def __init__(self) -> None:
        self.count = 0
        self.faults = 0

    def __call__(self, event: Any, sequence: int) -> None:
        fits = event.sequence == sequence and event.a == sequence + 13 and event.b == sequence - 7
        self.faults += not (fits and event.s == f"wibble-{sequence}" and sequence == self.count)
        self.count += 1


def produce_wide(ring: Any, together: threading.Barrier, each: int) -> None:
    """Publish `each` events that say which sequence they have."""
    together.wait(PATIENCE)
    for _ in range(each):
        claim: Any = ring.claim()
        with claim as event:
            sequence = claim.first
            event.sequence, event.a, event.b = sequence, sequence + 13, sequence - 7
            event.s = f"wibble-{sequence}"


def plus_one(event: Any) -> None:
    """The first of a chain."""
    event.other = event.value + 1


def doubled(event: Any) -> None:
    """The second of a chain."""
    event.other *= 2


def same(event: object) -> int:
    """A key that all events have."""
    return 0


def parity(event: Any) -> int:
    """A key that every second event has."""
    return int(event.value % 2)


def half(event: Any) -> None:
    """A translator that fails when half is done."""
    event.value = 999
    raise MadeUpError


def half_of_many(events: Any) -> None:
    """Fill slots, and fail."""
    events["value"] = 999
    raise MadeUpError


def threads_of(group: str) -> list[str]:
    """The threads of a group that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(f"ringbus-{group}-")]


def processor_seconds(threads: str) -> dict[str, float]:
    """What each thread whose name begins so has used of the processor."""
    return {
        thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        for thread in threading.enumerate()
        if thread.name.startswith(threads) and thread.ident is not None
    }
