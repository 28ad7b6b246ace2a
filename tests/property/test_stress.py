"""Threads at random: many producers, many consumers, joins and leaves, and sums that must come out.

The numbers of threads and events and the ways they take come from the seed; how the threads interleave does not.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

import ringbus

SHARE = 10_000
"""Events of a producer in the short form."""


class Row(ringbus.Event):
    producer: ringbus.int32
    number: int
    check: ringbus.uint64


class Box:
    __slots__ = ("check", "number", "producer")


class OopsError(Exception):
    """What goes wrong inside a claim."""


def checked(producer: int, number: int) -> int:
    """What the third field must be if the event is whole."""
    return (producer * 0x9E3779B97F4A7C15 + number * 0xC2B2AE3D27D4EB4F) & (2**64 - 1)


def fields(producer: int, number: int) -> dict[str, int]:
    return {"producer": producer, "number": number, "check": checked(producer, number)}


class Tally:
    """What one consumer saw of each producer, in order and whole."""

    def __init__(self) -> None:
        self.last: dict[int, int] = defaultdict(lambda: -1)
        self.events = 0
        self.wrong: list[object] = []

    def see(self, producer: int, number: int, check: int) -> None:
        if check != checked(producer, number) or number <= self.last[producer]:
            self.wrong.append((producer, number, check, self.last[producer]))
        self.last[producer] = number
        self.events += 1

    def one(self, event: Any) -> None:
        self.see(event.producer, event.number, event.check)

    @ringbus.batch
    def rows(self, events: Any) -> None:
        for producer, number, check in events.tolist():
            self.see(producer, number, check)


def publish_share(ring: ringbus.RingBuffer[Any], producer: int, count: int, rng: random.Random) -> None:
    """Publish 0 .. count - 1 in all ways there are, with claims that fail in between."""
    number = 0
    while number < count:
        way = rng.choice(
            ("fields", "fields", "fields", "translator", "try", "claim", "some", "batch", "fail", "fail some")
        )
        some = min(rng.randint(1, 8), count - number)
        if way in ("fail", "fail some"):
            with pytest.raises(OopsError), ring.claim() if way == "fail" else ring.claim(some):
                raise OopsError
        elif way == "some":
            with ring.claim(some, reset=False) as rows:
                rows[:] = [tuple(fields(producer, number + index).values()) for index in range(some)]
            number += some
        elif way == "batch":
            ring.publish_batch(
                np.array([tuple(fields(producer, number + index).values()) for index in range(some)], Row.dtype)
            )
            number += some
        else:
            number += publish_one(ring, way, fields(producer, number))


def publish_one(ring: ringbus.RingBuffer[Any], way: str, wanted: dict[str, int]) -> int:
    """Publish one event; 0 when the ring was full for one that does not wait."""

    def fill(event: Any) -> None:
        for name, value in wanted.items():
            setattr(event, name, value)

    if way == "try":
        return int(ring.try_publish(**wanted))
    if way == "claim":
        with ring.claim() as event:
            fill(event)
    elif way == "translator":
        ring.publish(fill)
    else:
        ring.publish(**wanted)
    return 1


def all_at_once(targets: list[Callable[[], None]]) -> None:
    """Run each on a thread of its own, from a common start; raise what they raise."""
    barrier = threading.Barrier(len(targets))
    raised: list[BaseException] = []

    def run(target: Callable[[], None]) -> None:
        try:
            barrier.wait()
            target()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            raised.append(error)

    threads = [threading.Thread(target=run, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def drain(poller: ringbus.EventPoller[Any], tally: Tally, rng: random.Random) -> None:
    """Take everything until the ring is closed, in all ways there are."""
    while True:
        way = rng.choice(("next", "take", "array"))
        if way == "next":
            event = poller.next()
            events = [] if event is None else [event]
            done = event is None
        elif way == "take":
            events = poller.take(rng.randint(1, 64))
            done = not events
        else:
            rows = poller.take_array(rng.randint(1, 64))
            done = rows is None
            events = []
            if rows is not None:
                for producer, number, check in rows.tolist():
                    tally.see(producer, number, check)
        for event in events:
            tally.one(event)
        if done:
            return


def crowd(rng: random.Random, producers: int, pollers: int, share: int, kind: Literal["single", "multi"]) -> None:
    """Producers, pollers and two handlers on one ring: everybody sees everything, whole and in order."""
    ring = ringbus.RingBuffer(
        Row, rng.choice((8, 64, 1024)), producers=kind, start=rng.choice((0, 2**31 - 9, 2**32 - 9))
    )
    seeds = [rng.getrandbits(64) for _ in range(producers + pollers)]
    tallies = [Tally() for _ in range(pollers + 2)]
    taken = [ring.poller(f"poller-{index}") for index in range(pollers)]
    group = ring.consumer_group("group")
    group.add("one", tallies[-1].one)
    group.add("batch", tallies[-2].rows).depends_on("one")

    def produce() -> None:
        all_at_once(
            [
                lambda index=index: publish_share(ring, index, share, random.Random(seeds[index]))  # type: ignore[misc]
                for index in range(producers)
            ]
        )
        ring.close()

    def consume(index: int) -> None:
        drain(taken[index], tallies[index], random.Random(seeds[producers + index]))

    with group:
        all_at_once([produce, *(lambda index=index: consume(index) for index in range(pollers))])  # type: ignore[misc]
    for tally in tallies:
        assert tally.wrong == []
        assert tally.events == producers * share


@pytest.mark.parametrize("producers", [1, 3])
def test_everybody_sees_everything_whole_and_in_order(rng: random.Random, producers: int) -> None:
    crowd(rng, producers, 2, SHARE, "multi")


def test_one_producer_is_seen_whole_and_in_order(rng: random.Random) -> None:
    crowd(rng, 1, 2, SHARE, "single")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("producers", "pollers"), [(2, 2), (4, 3)])
def test_a_crowd_sees_everything_whole_and_in_order(rng: random.Random, producers: int, pollers: int) -> None:
    crowd(rng, producers, pollers, 5 * SHARE, "multi")


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_who_is_lapped_sees_only_whole_events_and_counts_the_rest(
    rng: random.Random, kind: Literal["single", "multi"]
) -> None:
    ring = ringbus.RingBuffer(Row, 16, producers=kind)
    tallies = [Tally(), Tally(), Tally()]
    poller = ring.poller("poller", gating=False)
    group = ring.consumer_group("group")
    one = group.add("one", tallies[1].one, gating=False)
    batch = group.add("batch", tallies[2].rows, gating=False)
    seed, other = rng.getrandbits(64), rng.getrandbits(64)

    def produce() -> None:
        publish_share(ring, 0, 3 * SHARE, random.Random(seed))
        group.drain()
        ring.close()

    with group:
        all_at_once([produce, lambda: drain(poller, tallies[0], random.Random(other))])
    assert [tally.wrong for tally in tallies] == [[], [], []]
    for tally, missed in zip(tallies, (poller.missed, one.missed, batch.missed), strict=True):
        # Pads are stepped over, or among the missed.
        assert tally.events + missed + ring.statistics().pads >= 3 * SHARE
        assert tally.events + missed <= ring.cursor + 1


def test_joins_and_leaves_cost_nobody_an_event(rng: random.Random) -> None:
    ring = ringbus.RingBuffer(Row, 32)
    steady, stages = Tally(), [Tally() for _ in range(20)]
    group = ring.consumer_group("group", dynamic=True)
    group.add("steady", steady.one)
    seeds = [rng.getrandbits(64) for _ in range(2)]

    def come_and_go() -> None:
        for index, tally in enumerate(stages):
            name = f"guest-{index}"
            if index % 2:
                guest = group.add(name, tally.one, depends_on=("steady",))
                begin = guest.sequence
                group.remove(name)
                assert guest.sequence >= begin
            else:
                with ring.poller(name) as poller:
                    for event in poller.take(16, timeout=0.01):
                        tally.one(event)

    producers = [
        lambda index=index: publish_share(ring, index, SHARE, random.Random(seeds[index]))  # type: ignore[misc]
        for index in range(2)
    ]
    with group:
        all_at_once([*producers, come_and_go])
    assert steady.wrong == []
    assert steady.events == 2 * SHARE
    assert all(tally.wrong == [] for tally in stages)


def test_objects_are_whole_and_cleared_once(rng: random.Random) -> None:
    cleared = Tally()
    ring = ringbus.RingBuffer(factory=Box, capacity=16, clear=cleared.one)
    tallies = [Tally(), Tally()]
    group = ring.consumer_group("group")
    group.add("one", tallies[0].one)
    group.add("two", tallies[1].one).depends_on("one")
    seeds = [rng.getrandbits(64) for _ in range(2)]

    def produce(producer: int) -> None:
        ways = random.Random(seeds[producer])
        number = 0
        while number < SHARE:
            number += publish_one(ring, ways.choice(("fields", "translator", "try", "claim")), fields(producer, number))

    with group:
        all_at_once([lambda: produce(0), lambda: produce(1)])
    for tally in (*tallies, cleared):
        assert tally.wrong == []
        assert tally.events == 2 * SHARE
