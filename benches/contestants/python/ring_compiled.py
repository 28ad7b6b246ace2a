"""ringbus with compiled handlers and sources, between the threads of one process.

An event is `options.words` words of 8 bytes: the source writes all, the handlers add all up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from options import Answer, Entry, Options
from ring_events import WAITS

import ringbus

STATE = {"total": 0}
_THREAD_WAITS = ("spin", "yield", "block")


def event_of(words: int) -> Any:
    """The event type of so many words."""
    annotations = {"words": Any}
    return type(
        f"Words{words}", (ringbus.Event,), {"__annotations__": annotations, "words": ringbus.array("i8", words)}
    )


def fill(event: Any, state: Any) -> None:
    value, words = state.value, event.words
    for index in range(words.size):
        words[index] = value + index
    state.value = value + state.step


def fill_for_stages(event: Any, state: Any) -> None:
    """The stages write words 1 and 2."""
    value, words = state.value, event.words
    words[0] = value
    words[1] = 0
    words[2] = 0
    for index in range(3, words.size):
        words[index] = value + index
    state.value = value + state.step


@ringbus.compiled
def add(event: Any, state: Any) -> None:
    total, words = 0, event.words
    for index in range(words.size):
        total += words[index]
    state.total += total


@ringbus.compiled
def one_more(event: Any) -> None:
    event.words[1] = event.words[0] + 1


@ringbus.compiled
def one_more_than_that(event: Any) -> None:
    event.words[2] = event.words[1] + 1


@ringbus.compiled
def two_more(event: Any) -> None:
    event.words[2] = event.words[0] + 2


Graph = Callable[[Any, Options], list[str]]
"""Adds the consumers to a group, and names those whose totals count."""


def several(group: Any, options: Options) -> list[str]:
    """Consumers that each see all."""
    names = [f"add-{number}" for number in range(options.consumers)]
    for name in names:
        group.add(name, add, state=STATE)
    return names


def pipeline(group: Any, _options: Options) -> list[str]:
    """One after the other."""
    group.add("first", one_more)
    group.add("second", one_more_than_that).depends_on("first")
    group.add("third", add, state=STATE).depends_on("second")
    return ["third"]


def diamond(group: Any, _options: Options) -> list[str]:
    """One behind two."""
    group.add("left", one_more)
    group.add("right", two_more)
    group.add("both", add, state=STATE).depends_on("left", "right")
    return ["both"]


def moving(graph: Graph, source: Callable[..., None]) -> Callable[[Options], Answer]:
    """Sources, a ring, and a graph of handlers: a pass that is not counted, then the timed one."""

    def run(options: Options) -> Answer:
        ring: Any = ringbus.RingBuffer(
            event_of(options.words),
            options.capacity,
            producers="single" if options.producers == 1 else "multi",
            wait=WAITS[options.wait],
            prefault=True,
        )
        group = ring.consumer_group("group")
        names = graph(group, options)
        with group:
            _one_pass(ring, group, source, options, options.warm_up)
            before = group.statistics().consumers[names[0]]
            for name in names:
                group[name].state.total = 0
            seconds = _one_pass(ring, group, source, options, options.events)
            counted = group.statistics().consumers[names[0]]
            checksum = sum(int(group[name].state.total) for name in names)
        batches = counted.batches - before.batches
        return Answer(seconds, checksum, (counted.events - before.events) / max(batches, 1))

    return run


def _one_pass(ring: Any, group: Any, function: Callable[..., None], options: Options, events: int) -> float:
    sources = [
        ring.source(
            function,
            {"value": producer, "step": options.producers},
            name=f"source-{producer}",
            batch=options.batch,
            limit=len(range(producer, events, options.producers)),
            reset=False,
        )
        for producer in range(options.producers)
    ]
    begin = time.perf_counter()
    for source in sources:
        source.start()
    for source in sources:
        source.join()
    group.drain()
    return time.perf_counter() - begin


def harness(options: Options) -> Answer:
    """The loop of a source and that of a handler, in turn, on one event."""
    import numba

    words, total = options.words, np.zeros(1, np.int64)

    @numba.njit(nogil=True)
    def loop(event: Any, events: int, total: Any) -> None:
        for value in range(events):
            for index in range(event.size):
                event[index] = value + index
            for index in range(event.size):
                total[0] += event[index]

    loop(np.zeros(words, np.int64), options.warm_up, np.zeros(1, np.int64))
    begin = time.perf_counter()
    loop(np.zeros(words, np.int64), options.events, total)
    return Answer(time.perf_counter() - begin, int(total[0]))


def entries() -> list[Entry]:
    """What this module has."""
    shapes: dict[str, tuple[Graph, Callable[..., None]]] = {
        "1p1c": (several, fill),
        "1p2c": (several, fill),
        "1pnc": (several, fill),
        "2p1c": (several, fill),
        "3p1c": (several, fill),
        "pipeline3": (pipeline, fill_for_stages),
        "diamond3": (diamond, fill_for_stages),
    }
    found = [
        Entry(scenario, "ringbus compiled", moving(*shape), _THREAD_WAITS, batches=True)
        for scenario, shape in shapes.items()
    ]
    return [Entry("harness", "harness", harness, _THREAD_WAITS), *found]
