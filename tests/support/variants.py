"""The variants that conformance runs over, and what is written once for all of them.

A variant is a kind of producer, a wait strategy and a kind of slot. Struct slots hold `Number`, object slots hold
`Box`; both have the field `value`, so that publishing and reading look the same.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest

import ringbus
from ringbus.waits import NAMES

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


@dataclass(frozen=True)
class Variant:
    """One way to make a ring."""

    producers: Literal["single", "multi"]
    wait: str
    slots: Literal["struct", "object"]

    @property
    def many(self) -> bool:
        """Whether it admits many producers."""
        return self.producers == "multi"

    @property
    def structured(self) -> bool:
        """Whether its slots are structured memory."""
        return self.slots == "struct"

    def ring(self, capacity: int, **options: Any) -> ringbus.RingBuffer[Any]:
        """Make a ring of this variant."""
        what: dict[str, Any] = {"event": Number} if self.structured else {"factory": Box}
        ring: ringbus.RingBuffer[Any] = ringbus.RingBuffer(
            **what, capacity=capacity, producers=self.producers, wait=self.wait, **options
        )
        return ring

    def __str__(self) -> str:
        return f"{self.producers}-{self.wait}-{self.slots}"


ALL = [
    Variant(producers, wait, slots)  # type: ignore[arg-type] # literals, out of product
    for producers, wait, slots in itertools.product(("single", "multi"), NAMES, ("struct", "object"))
]


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
    for value in range(first, first + count):
        ring.publish(value=value)


def nothing(event: object) -> None:
    """Handle an event."""


def values(events: list[Any]) -> list[int]:
    """The values of some events."""
    return [event.value for event in events]


def taken(poller: ringbus.EventPoller[Any], limit: int = 1024) -> list[int]:
    """The values that a poller takes now; it is done with them afterwards, objects too."""
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
