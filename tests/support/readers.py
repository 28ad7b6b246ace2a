"""Every kind of consumer, behind one function: what it sees of the numbers that were published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ringbus
from support.events import PATIENCE

Feed = Callable[[], object]
"""Publishes something; all of it is read afterwards."""


def _group(ring: ringbus.RingBuffer[Any], feed: Feed, handler: Any, threads: Any = None, **options: Any) -> None:
    group = ring.consumer_group("readers", threads=threads)
    group.add("reader", handler, **options)
    feed()
    with group:
        group.drain(PATIENCE)


def plain(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A handler of events."""
    seen: list[int] = []
    _group(ring, feed, lambda event: seen.append(event.number))
    return seen


def numbered(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A handler that takes sequence and end of batch; the last event ends the batch."""
    seen: list[tuple[int, bool]] = []
    _group(ring, feed, lambda event, sequence, end: seen.append((event.number, end)))
    assert [end for _, end in seen] == [False] * (len(seen) - 1) + [True] * bool(seen)
    return [number for number, _ in seen]


def one_thread(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A group on one thread, the second consumer behind the first."""
    first: list[int] = []
    second: list[int] = []
    group = ring.consumer_group("readers", threads=1)
    group.add("first", lambda event: first.append(event.number))
    group.add("second", lambda event: second.append(event.number)).depends_on("first")
    feed()
    with group:
        group.drain(PATIENCE)
    assert first == second
    return second


def on_demand(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A group that is asked to run once."""
    seen: list[int] = []
    group = ring.consumer_group("readers")
    group.add("reader", lambda event: seen.append(event.number))
    feed()
    while group.run_once():
        continue
    group.stop()
    return seen


def in_small_batches(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A handler whose batches are limited, and who is told their size."""
    seen: list[int] = []
    sizes: list[int] = []

    class Handler:
        def on_batch_start(self, size: int) -> None:
            sizes.append(size)

        def __call__(self, event: Any) -> None:
            seen.append(event.number)

    _group(ring, feed, Handler(), max_batch=2)
    assert sum(sizes) == len(seen)
    assert all(0 < size <= 2 for size in sizes)
    return seen


def batch(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A handler of arrays."""
    seen: list[int] = []

    @ringbus.batch
    def handle(events: Any, first: int) -> None:
        assert len(events)
        seen.extend(events["number"].tolist())

    _group(ring, feed, handle)
    return seen


def lapped(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A handler that does not gate."""
    seen: list[int] = []
    _group(ring, feed, lambda event: seen.append(event.number), gating=False)
    return seen


def lapped_batch(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A handler of arrays that does not gate."""
    seen: list[int] = []

    @ringbus.batch
    def handle(events: Any) -> None:
        assert len(events)
        seen.extend(events["number"].tolist())

    _group(ring, feed, handle, gating=False)
    return seen


def workers(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """Workers, each event to whoever is free."""
    seen: list[int] = []
    _group(ring, feed, lambda event: seen.append(event.number), workers=3)
    return sorted(seen)


def keyed_workers(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """Workers by key."""
    seen: list[int] = []
    _group(ring, feed, lambda event: seen.append(event.number), workers=3, key="number")
    return sorted(seen)


def keyed_batch_workers(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """Workers by key that take arrays."""
    seen: list[int] = []

    @ringbus.batch
    def handle(events: Any) -> None:
        assert len(events)
        seen.extend(events["number"].tolist())

    _group(ring, feed, handle, workers=2, key="number")
    return sorted(seen)


def asynchronous(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A coroutine function as handler."""
    seen: list[int] = []

    async def handle(event: Any) -> None:
        seen.append(event.number)

    async def run() -> None:
        group = ring.consumer_group("readers")
        group.add("reader", handle)
        feed()
        async with group:
            pass

    asyncio.run(run())
    return seen


def subscription(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """`async for`, until the ring is closed."""

    async def run() -> list[int]:
        events = ring.subscribe("reader")
        feed()
        ring.close()
        return [event.number async for event in events]

    return asyncio.run(run())


def poll(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A poller with a handler."""
    seen: list[int] = []
    with ring.poller("reader") as poller:
        feed()
        count = poller.poll(lambda event: seen.append(event.number))
        assert count == len(seen)
        assert poller.poll(seen.append) == 0
        assert poller.sequence == ring.cursor
    return seen


def take(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A poller asked for lists, two at a time."""
    seen: list[int] = []
    with ring.poller("reader") as poller:
        feed()
        while events := poller.take(2, timeout=0):
            seen += [event.number for event in events]
        assert poller.sequence == ring.cursor
    return seen


def take_array(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A poller asked for arrays."""
    seen: list[int] = []
    with ring.poller("reader") as poller:
        feed()
        while (events := poller.take_array(3, timeout=0)) is not None:
            assert len(events)
            seen += events["number"].tolist()
        assert poller.sequence == ring.cursor
    return seen


def iteration(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A poller as an iterator, until the ring is closed."""
    with ring.poller("reader") as poller:
        feed()
        ring.close()
        return [event.number for event in poller]


def next_event(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A poller asked for one after the other."""
    seen: list[int] = []
    with ring.poller("reader") as poller:
        feed()
        while (event := poller.next(timeout=0)) is not None:
            seen.append(event.number)
        assert poller.sequence == ring.cursor
    return seen


def lapped_poller(ring: ringbus.RingBuffer[Any], feed: Feed) -> list[int]:
    """A poller that does not gate."""
    with ring.poller("reader", gating=False) as poller:
        feed()
        seen = [event.number for event in poller.take(timeout=0)]
        assert poller.missed == 0
    return seen


ANY_SLOTS = [
    plain,
    numbered,
    one_thread,
    on_demand,
    in_small_batches,
    workers,
    keyed_workers,
    asynchronous,
    subscription,
    poll,
    take,
    iteration,
    next_event,
]
"""Consumers of events and of objects alike."""

STRUCTURED = [batch, lapped, lapped_batch, lapped_poller, keyed_batch_workers, take_array]
"""Consumers that need structured slots: arrays of them, or copies."""
