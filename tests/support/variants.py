"""The variants that conformance runs over, and what is written once for all of them.

A variant is a kind of producer, a wait strategy, a kind of slot, and a place. Struct slots hold `Number`, object slots
hold `Box`; both have the field `value`, so that publishing and reading look the same. The place says whether producers
and consumers are of this process both; if not, the ring is shared and one side of it is `support.far`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import pytest

import ringbus
from ringbus.waits import NAMES
from support.events import PRODUCERS
from support.far import Peer, there

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which something that must happen counts as never happening."""

RUNS = 2_000
"""Runs of the races, over all variants together."""


class Number(ringbus.Event):
    """The struct event: a number, and a second one with a default."""

    value: int
    other: int = 7


class Box:
    """The object event."""

    __slots__ = ("other", "value")

    def __init__(self) -> None:
        self.value = 0
        self.other = 7


Place = Literal["threads", "consumers elsewhere", "producers elsewhere"]


@dataclass(frozen=True)
class Variant:
    """One way to make a ring."""

    producers: Literal["single", "multi"]
    wait: str
    slots: Literal["struct", "object"]
    place: Place = "threads"

    @property
    def many(self) -> bool:
        """Whether it admits many producers."""
        return self.producers == "multi"

    @property
    def structured(self) -> bool:
        """Whether its slots are structured memory."""
        return self.slots == "struct"

    @property
    def together(self) -> bool:
        """Whether producers and consumers are of one process."""
        return self.place == "threads"

    def ring(self, capacity: int, event: Any = Number, factory: Any = Box, **options: Any) -> ringbus.RingBuffer[Any]:
        """Make a ring of this variant; of two processes it is a `Split`, used in the same way."""
        if not self.together:
            return cast("ringbus.RingBuffer[Any]", self._split(capacity, event, options))
        what: dict[str, Any] = {"event": event} if self.structured else {"factory": factory}
        ring: ringbus.RingBuffer[Any] = ringbus.RingBuffer(
            **what, capacity=capacity, producers=self.producers, wait=self.wait, **options
        )
        return ring

    def _split(self, capacity: int, event: Any, options: dict[str, Any]) -> Split:
        name = f"conformance-{next(_numbers)}"
        here: Any = ringbus.RingBuffer(
            event, capacity, producers=self.producers, wait=self.wait, name=name, replace=True, **options
        )
        elsewhere = peer().call(ringbus.attach, name, event, strategy=self.wait)
        return Split(here, elsewhere) if self.place == "consumers elsewhere" else Split(elsewhere, here)

    def at_consumers(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function, or make a handler, where the consumers are."""
        call = peer().call if self.place == "consumers elsewhere" else None
        return cast("T", call(function, *arguments)) if call else function(*arguments)

    def at_producers(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function where the producers are."""
        call = peer().call if self.place == "producers elsewhere" else None
        return cast("T", call(function, *arguments)) if call else function(*arguments)

    def share(self, runs: int) -> int:
        """How many of so many runs, over all variants together, are this one's."""
        return max(1, runs // (len(TOGETHER) if self.together else 10 * len(TOGETHER)))

    def __str__(self) -> str:
        place = "" if self.together else f"-{self.place}"
        return f"{self.producers}-{self.wait}-{self.slots}{place}"


class Split:
    """One ring in two processes: it is asked for consumers in the one, and for anything else in the other.

    What both can see has to look the same to both.
    """

    def __init__(self, producing: Any, consuming: Any) -> None:
        """Join the two."""
        self.producing = producing
        self.consuming = consuming

    def __getattr__(self, name: str) -> Any:
        return getattr(self.consuming if name in {"poller", "consumer_group"} else self.producing, name)

    @property
    def cursor(self) -> int:
        """As both see it."""
        return int(self._same(lambda ring: ring.cursor))

    @property
    def remaining_capacity(self) -> int:
        """As both see it; what a single producer has claimed and not published, nobody else sees."""
        ours, theirs = self.producing.remaining_capacity, self.consuming.remaining_capacity
        assert ours == theirs or (ours < theirs and self.producing.producers == "single")
        return int(ours)

    @property
    def minimum_sequence(self) -> int:
        """As both see it."""
        return int(self._same(lambda ring: ring.minimum_sequence))

    def is_available(self, sequence: int) -> bool:
        """As both see it."""
        return bool(self._same(lambda ring: ring.is_available(sequence)))

    def close(self) -> None:
        """Close it for both: each closes what is its own."""
        self.producing.close()
        self.consuming.close()

    def _same(self, look: Callable[[Any], int]) -> int:
        ours, theirs = look(self.producing), look(self.consuming)
        assert ours == theirs, f"the producers see {ours}, the consumers {theirs}"
        return ours


_numbers = itertools.count()
_peers: list[Peer] = []


def peer() -> Peer:
    """The other process; started when it is first asked for."""
    if not _peers:
        _peers.append(Peer(Path(os.environ["RINGBUS_DIR"])))
    return _peers[0]


def end_peer() -> None:
    """End the other process, if there is one."""
    while _peers:
        _peers.pop().close()


TOGETHER = [
    Variant(producers, wait, slots)  # type: ignore[arg-type] # literals, out of product
    for producers, wait, slots in itertools.product(("single", "multi"), NAMES, ("struct", "object"))
]
APART = [
    *(Variant(producers, wait, "struct", "consumers elsewhere") for producers in PRODUCERS for wait in NAMES),
    *(Variant(producers, "blocking", "struct", "producers elsewhere") for producers in PRODUCERS),
]
ALL = [*TOGETHER, *APART]


def only(reason: str, fits: Callable[[Variant], bool]) -> pytest.MarkDecorator:
    """Run a test over the variants that fit.

    Args:
        reason: why the others make no sense.
        fits: which do.
    """
    assert reason
    return pytest.mark.parametrize("variant", [variant for variant in ALL if fits(variant)], ids=str)


def publish(ring: ringbus.RingBuffer[Any], count: int, first: int = 0) -> None:
    """Publish `count` events with the values `first`, `first + 1`, ..."""
    ring = producing(ring)
    if call := there(ring):
        call(publish, ring, count, first)
        return
    for value in range(first, first + count):
        ring.publish(value=value)


def nothing(event: object) -> None:
    """Handle an event."""


def consuming(ring: ringbus.RingBuffer[Any]) -> ringbus.RingBuffer[Any]:
    """The ring as its consumers have it."""
    return ring.consuming if isinstance(ring, Split) else ring


def producing(ring: ringbus.RingBuffer[Any]) -> ringbus.RingBuffer[Any]:
    """The ring as its producers have it."""
    return ring.producing if isinstance(ring, Split) else ring


def values(events: list[Any]) -> list[int]:
    """The values of some events."""
    return [event.value for event in events]


def taken(poller: ringbus.EventPoller[Any], limit: int = 1024) -> list[int]:
    """The values that a poller takes now; it is done with them afterwards, objects too."""
    if call := there(poller):
        return list(call(taken, poller, limit))
    seen: list[int] = []
    poller.poll(lambda event: seen.append(event.value), limit)
    return seen


def open_claims(ring: ringbus.RingBuffer[Any], count: int) -> list[contextlib.ExitStack]:
    """Open `count` claims of one slot each, whose values are their numbers; closing one publishes it."""
    stacks = [contextlib.ExitStack() for _ in range(count)]
    for value, stack in enumerate(stacks):
        stack.enter_context(ring.claim()).value = value
    return stacks


def facts_of(ring: ringbus.RingBuffer[Any]) -> tuple[object, ...]:
    """What must not change when a verb is refused."""
    return ring.cursor, ring.remaining_capacity, ring.minimum_sequence, ring.is_available(ring.cursor + 1)


@contextlib.contextmanager
def running(target: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run a function on a thread of its own and wait for its end; what it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the thread did not end"
    if raised:
        raise raised[0]


def work_for(seconds: float) -> None:
    """Keep this thread busy for so much time of the processor: who is busy beside it gets as much, on any machine."""
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        continue


class Gate:
    """A handler that stops at one event until it is opened, and tells who waits for it that it is there."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.seen: list[int] = []
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, event: Any, sequence: int) -> None:
        if sequence == self.at:
            self.reached.set()
            assert self.opened.wait(PATIENCE), "the gate was never opened"
        self.seen.append(event.value)

    def wait(self) -> None:
        """Wait until the handler is at its event."""
        assert self.reached.wait(PATIENCE), "the handler never got there"

    def open(self) -> None:
        """Let the handler go on."""
        self.opened.set()


@contextlib.contextmanager
def opened_at_end(*gates: Gate) -> Iterator[None]:
    """Open the gates however the body ends, so that a failed test does not hang."""
    try:
        yield
    finally:
        for gate in gates:
            gate.open()
