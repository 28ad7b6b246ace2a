"""The rings that are corrupted, and the workers that use them meanwhile, in all the ways there are."""

from __future__ import annotations

import contextlib
import decimal
import enum
import faulthandler
import mmap
import random
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import ringbus

NAME = "fuzzed"
"""The ring's name."""


class Side(enum.Enum):
    """Which side of a trade."""

    BUY = 1
    SELL = 2


class Plain(ringbus.Event):
    """An event of numbers."""

    number: int
    price: float = 0.0


class Rich(ringbus.Event):
    """An event with a field of each kind."""

    symbol: str = ringbus.text(12)
    note: str = ringbus.text(80, default="")
    raw: bytes = ringbus.blob(10, default=b"")
    side: Side = Side.BUY
    amount: decimal.Decimal = ringbus.decimal(4, default=decimal.Decimal(1))
    sizes: Any = ringbus.array("f4", (3,), default=[0, 0, 0])
    at: Any = ringbus.field("M8[ns]", default=np.datetime64("2024-01-01", "ns"))
    flag: bool = False


@dataclass(frozen=True)
class Scenario:
    """One ring to be corrupted."""

    event: Any
    capacity: int
    producers: str = "multi"
    stamp: bool = False

    def ring(self) -> ringbus.RingBuffer[Any]:
        """Make it."""
        return ringbus.RingBuffer(
            self.event,
            self.capacity,
            producers=self.producers,  # type: ignore[arg-type] # one of the two
            stamp=self.stamp,
            name=NAME,
            replace=True,
        )


SCENARIOS = (
    Scenario(Plain, 64),
    Scenario(Plain | Rich, 8, stamp=True),
    Scenario(Plain, 64, "single"),
    Scenario(Plain | Rich, 16, "single", stamp=True),
    Scenario(Rich, 1),
    Scenario(Rich, 1024),
    Scenario(Plain, 1, "single"),
)


def worker(role: str, scenario: Scenario, steps: mmap.mmap, seed: int) -> None:
    """Use the ring until killed, a life at a time: attach, do some things, let go."""
    rng = random.Random(seed)
    faulthandler.register(signal.SIGUSR1)
    lives = {"reader": (poll, poll, watch, watch, group, group, look), "writer": (publish, publish, publish, look)}[
        role
    ]
    count = 0
    while True:
        for _ in rng.choice(lives)(scenario, rng):
            count += 1
            struct.pack_into("<Q", steps, 0, count)
        count += 1
        struct.pack_into("<Q", steps, 0, count)


Steps = Iterator[None]
Life = Callable[[Scenario, random.Random], Steps]


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Errors of ringbus are what a corrupt ring may give; anything else is not."""
    try:
        yield
    except ringbus.RingBusError:
        pass
    except ExceptionGroup as errors:
        if errors.split(ringbus.RingBusError)[1] is not None:
            raise


def attached(
    scenario: Scenario, rng: random.Random, *, read_only: bool | Literal["slots"] = False
) -> ringbus.RingBuffer[Any] | None:
    """Attach, with the event types or with ones made from the segment's schema."""
    event = scenario.event if rng.random() < 0.7 else None
    with tolerant():
        return ringbus.attach(NAME, event, read_only=read_only, timeout=0.005)
    return None


def read(event: Any) -> None:
    """Look at every field."""
    for name in type(event).dtype.names:
        with tolerant():
            getattr(event, name)
    repr(event.record())


def pull(poller: Any, rng: random.Random) -> None:
    """Take events in one of the ways there are."""
    kind = rng.randrange(4)
    if kind == 0:
        for event in poller.take(rng.choice((1, 7, 10**9)), 0.003):
            read(event)
    elif kind == 1:
        rows = poller.take_array(rng.choice((1, 7, 10**9)), 0.003)
        if rows is not None:
            repr(rows[:3])
    elif kind == 2:
        event = poller.next(0.003)
        if event is not None:
            read(event)
    else:
        poller.poll(read, 50)


def poll(scenario: Scenario, rng: random.Random) -> Steps:
    """A poller, gating or not, maybe behind another one, maybe one that is evicted."""
    slots = rng.random() < 0.3
    ring = attached(scenario, rng, read_only="slots" if slots else False)
    if ring is None:
        return
    evict_after = 0.01 if slots else None
    with tolerant(), contextlib.ExitStack() as stack:
        gating = rng.random() < 0.7
        first = stack.enter_context(ring.poller("first", gating=gating, start=None if gating else "oldest"))
        pollers = [first]
        if rng.random() < 0.3:
            second = ring.poller("second", depends_on=["first"], evict_after=evict_after)
            pollers.insert(0, stack.enter_context(second))
        for _ in range(rng.randrange(2, 30)):
            for poller in pollers:
                pull(poller, rng)
                yield
    ring.close()


def watch(scenario: Scenario, rng: random.Random) -> Steps:
    """A watcher that maps the ring read-only."""
    ring = attached(scenario, rng, read_only=True)
    if ring is None:
        return
    with tolerant(), ring.poller("watcher", gating=False, start=rng.choice((None, "oldest", 0, 1 << 61))) as poller:
        for _ in range(rng.randrange(2, 30)):
            pull(poller, rng)
            ring.statistics()
            yield
    with tolerant():
        ring.recover()
        ring.publish(number=1)
    ring.close()


def group(scenario: Scenario, rng: random.Random) -> Steps:
    """A group of handlers, one by one and in batches, run on this thread."""
    slots = rng.random() < 0.3
    ring = attached(scenario, rng, read_only="slots" if slots else False)
    if ring is None:
        return

    @ringbus.batch
    def rows(events: Any) -> None:
        repr(events[:2])

    with tolerant():
        graph = ring.consumer_group("graph", on_error="skip")
        graph.add("one", read, max_batch=rng.choice((None, 3)), durable=rng.random() < 0.2)
        graph.add("rows", rows, evict_after=0.01 if slots else None).depends_on("one")
        graph.add("glance", lambda event, sequence, end: read(event), gating=False)
        for _ in range(rng.randrange(2, 30)):
            graph.run_once()
            yield
        graph.stop(timeout=0.005)
    with tolerant():
        ring.forget("one")
    ring.close()


def look(scenario: Scenario, rng: random.Random) -> Steps:
    """Everything that only looks, and recovery."""
    ring = attached(scenario, rng, read_only=rng.random() < 0.5)
    if ring is None:
        return
    for _ in range(5):
        with tolerant():
            repr((ring, ring.statistics(), ring.remaining_capacity, ring.minimum_sequence))
            ring.is_available(rng.choice((0, ring.cursor, 1 << 62, -(1 << 63))))
            ring.recover()
            ringbus.sharing.is_alive(NAME)
        yield
    ring.close()


def publish(scenario: Scenario, rng: random.Random) -> Steps:
    """Producers, by every verb."""
    ring = attached(scenario, rng)
    if ring is None:
        return
    known = {kind.__name__: kind for kind in ring.event_types}
    verbs: list[Callable[[], object]] = []
    if "Plain" in known:
        plain, alone = known["Plain"], len(known) == 1
        rows = ring_rows(plain, 5)
        verbs += [
            lambda: ring.publish(plain(number=1, price=2.0)),
            lambda: ring.publish(plain, number=1),
            lambda: ring.try_publish(plain(number=3)),
            lambda: ring.publish_batch(rows, timeout=0.005),
            lambda: claim(ring, rng, () if alone else (plain,)),
        ]
        verbs += [lambda: ring.publish(number=4), lambda: ring.try_publish(number=4)] if alone else []
    if "Rich" in known:
        rich = known["Rich"]
        verbs += [
            lambda: ring.publish(rich(symbol="äöü", note="n" * 80, raw=b"123")),
            lambda: ring.publish(rich, symbol="B", amount=decimal.Decimal("1.25")),
            lambda: ring.try_publish(rich(symbol="C")),
            lambda: claim(ring, rng, () if len(known) == 1 else (rich,)),
        ]
    for _ in range(rng.randrange(2, 60)):
        with tolerant():
            rng.choice(verbs)()
        yield
    ring.close()


def ring_rows(kind: Any, count: int) -> Any:
    """Rows to be published at once."""
    return np.zeros(count, kind.dtype)


def claim(ring: Any, rng: random.Random, kind: tuple[Any, ...]) -> None:
    """A claim of one or of many, left as it should be or by an error."""
    with contextlib.suppress(ZeroDivisionError):
        if rng.random() < 0.5:
            with ring.claim(*kind, timeout=0.005) as event:
                read(event)
                1 // rng.randrange(4)
        else:
            with ring.claim(rng.randrange(1, ring.capacity + 1), *kind, timeout=0.005) as events:
                events[:1] = events[-1:].copy()
                1 // rng.randrange(4)
