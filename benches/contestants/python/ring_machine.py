"""ringbus as machine code on both sides of shared rings: functions of Numba's that claim and read by the C interface.

For what a compiled source cannot do: wait for something else than free slots, as an answer or the time.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from contextlib import ExitStack
from typing import Any

import c_interface
import numba
import numpy as np
import ring_events
from c_interface import Attached, claim, clock_gettime, clock_nanosleep, commit, publish, wait_for
from crew import Member
from numba import types
from numba.extending import intrinsic
from options import Answer, Entry, Options
from ring_compiled import event_of
from schedule import QUARTERS, Plan, sharpen_sleep

import ringbus
from suite.histogram import SUB_BITS, Histogram

FOR_EVER = -1
MONOTONIC = 1
ABSOLUTE = 1
SECOND = 1_000_000_000

_NUMBERS = itertools.count()


@intrinsic
def word_at(_typing: Any, address: Any) -> Any:
    """The word at an address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], context.get_value_type(types.int64).as_pointer())
        return builder.load(pointer)

    return types.int64(address), generate


@intrinsic
def set_word_at(_typing: Any, address: Any, _value: Any) -> Any:
    """Write the word at an address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], context.get_value_type(types.int64).as_pointer())
        builder.store(arguments[1], pointer)
        return context.get_dummy_value()

    return types.none(address, types.int64), generate


@numba.njit(inline="always")
def now(clock: Any) -> int:
    """The monotonic clock in ns; `clock` is memory for its two words."""
    clock_gettime(MONOTONIC, clock.ctypes.data)
    return clock[0] * SECOND + clock[1]


@numba.njit(inline="always")
def event_at(slots: Any, sequence: int) -> int:
    """The address of the event of a sequence."""
    return slots[0] + (sequence & slots[1]) * slots[2]


@numba.njit(nogil=True)
def echo(consumer: int, there: Any, producer: int, back: Any, size: Any) -> None:
    """Send back what comes; `size`: round trips, words of an event."""
    trips, words, first = size[0], size[1], np.zeros(1, np.int64)
    for _ in range(trips):
        wait_for(consumer, 1, FOR_EVER, first.ctypes.data)
        sequence = claim(producer, 1, FOR_EVER)
        source, target = event_at(there, first[0]), event_at(back, sequence)
        for index in range(words):
            set_word_at(target + 8 * index, word_at(source + 8 * index))
        publish(producer, sequence, sequence)
        commit(consumer, first[0])


@numba.njit(nogil=True)
def play(producer: int, there: Any, consumer: int, back: Any, noted: Any) -> int:
    """Send, wait for the answer, note the time; `noted`: the times, words of an event. The sum of the answers."""
    times, words = noted
    first, clock, total = np.zeros(1, np.int64), np.zeros(2, np.int64), 0
    for trip in range(times.size):
        sequence = claim(producer, 1, FOR_EVER)
        event, sent = event_at(there, sequence), now(clock)
        for index in range(words):
            set_word_at(event + 8 * index, trip + index)
        set_word_at(event + 8, sent)
        publish(producer, sequence, sequence)
        wait_for(consumer, 1, FOR_EVER, first.ctypes.data)
        answer = event_at(back, first[0])
        times[trip] = now(clock) - word_at(answer + 8)
        for index in range(words):
            total += word_at(answer + 8 * index)
        total -= word_at(answer + 8)
        commit(consumer, first[0])
    return total


def ping_pong(*, process: bool) -> Any:
    """Two shared rings; the other side is a thread or a process."""

    def run(options: Options) -> Answer:
        kind = event_of(options.words)
        with ExitStack() as stack:
            rings = [stack.enter_context(ring_events.shared(kind, options, name, ["it"])) for name in ("there", "back")]
            names = [ring.name for ring in rings]
            there, back = (Attached(name) for name in names)
            warm_up = min(options.events // 4, 10_000)
            member = Member(_echo, (*names, options, warm_up), process=process)
            producer, consumer = there.producer(options.wait), back.consumer("it", options.wait)
            play(producer, there.slots, consumer, back.slots, (np.empty(0, np.int64), options.words))
            member.hear()
            _played(options, (producer, there.slots, consumer, back.slots), warm_up)
            member.hear()
            answer = _played(options, (producer, there.slots, consumer, back.slots), options.events)
            member.join()
            c_interface.close_producer(producer)
            c_interface.leave(consumer)
        return answer

    return run


def _played(options: Options, ends: tuple[Any, ...], trips: int) -> Answer:
    times = np.empty(trips, np.int64)
    begin = time.perf_counter()
    checksum = play(*ends, (times, options.words))
    return Answer(time.perf_counter() - begin, checksum, latency=Histogram.of(times))


def _echo(there_name: str, back_name: str, options: Options, warm_up: int, line: Any) -> None:
    there, back = Attached(there_name), Attached(back_name)
    consumer, producer = there.consumer("it", options.wait), back.producer(options.wait)
    ends = (consumer, there.slots, producer, back.slots)
    echo(*ends, (0, options.words))
    for trips in (warm_up, options.events):
        line.send("ready")
        echo(*ends, (trips, options.words))
    c_interface.leave(consumer)
    c_interface.close_producer(producer)


# -- at a given rate --------------------------------------------------------------------------------------------------

_CLOCK, _TOTAL, _FIRST, _EACH, _COUNTS = 0, 2, 3, 4, 8
"""Places in a handler's state: two words for the clock, the checksum, the first number that counts, the numbers of a
quarter, and the counts of each quarter."""
_BUCKETS = 1 << (SUB_BITS + 6)
_SMALL = 1 << (SUB_BITS + 1)


@numba.njit(inline="always")
def bucket(value: int) -> int:
    """The index of the bucket of a value: as in suite/histogram.py."""
    if value < 0:
        return 0
    exponent = 0
    while value >= _SMALL:
        value >>= 1
        exponent += 1
    return (exponent << SUB_BITS) + value


@ringbus.compiled
def note(event: Any, state: Any) -> None:
    """Note how late an event is, and add its words up."""
    late = now(state) - event.words[1]
    total = -event.words[1]
    for index in range(event.words.size):
        total += event.words[index]
    state[_TOTAL] += total
    past = event.words[0] - state[_FIRST]
    if past >= 0:
        quarter = min(past // state[_EACH], QUARTERS - 1)
        state[_COUNTS + quarter * _BUCKETS + min(bucket(late), _BUCKETS - 1)] += 1


@numba.njit(nogil=True)
def send(producer: int, slots: Any, schedule: Any, number: int, words: int) -> int:
    """Send each event when it is due; `schedule`: start, stop, producers, events of all, rate. How many were sent."""
    start, stop, producers, events, rate = schedule[0], schedule[1], schedule[2], schedule[3], schedule[4]
    clock, sent = np.zeros(2, np.int64), 0
    while number < events:
        due = start + number * SECOND // rate
        at = now(clock)
        if at < due:
            clock[0], clock[1] = due // SECOND, due % SECOND
            clock_nanosleep(MONOTONIC, ABSOLUTE, clock.ctypes.data, 0)
        elif at > stop:
            break
        sequence = claim(producer, 1, FOR_EVER)
        event = event_at(slots, sequence)
        for index in range(words):
            set_word_at(event + 8 * index, number + index)
        set_word_at(event + 8, due)
        publish(producer, sequence, sequence)
        sent += 1
        number += producers
    return sent


def paced(options: Options) -> Answer:
    """Producers and compiled handlers on threads of their own, on one ring."""
    name = f"suite-{os.getpid()}-{next(_NUMBERS)}"
    ring: Any = ringbus.RingBuffer(
        event_of(options.words),
        options.capacity,
        name=name,
        producers="single" if options.producers == 1 else "multi",
        wait=ring_events.WAITS[options.wait],
        replace=True,
    )
    try:
        return _on(ring, name, options)
    finally:
        ring.unlink()


def _on(ring: Any, name: str, options: Options) -> Answer:
    group, state = ring.consumer_group("group"), np.zeros(_COUNTS + QUARTERS * _BUCKETS, np.int64)
    state[_FIRST] = round(options.rate * options.warmup)
    state[_EACH] = max(round(options.rate * options.seconds) // QUARTERS, 1)
    shared = options.mode == "one" and options.consumers > 1
    for number in range(1 if shared else options.consumers):
        group.add(f"note-{number}", note, state=state.copy(), workers=options.consumers if shared else 1)
    with group:
        sent = _send_all(name, options)
    states = [found for number in range(1 if shared else options.consumers) for found in group[f"note-{number}"].states]
    windows = [_window(states, quarter) for quarter in range(QUARTERS)]
    whole = Histogram()
    for window in windows:
        whole.add(window.buckets())
    checksum = sum(int(found[_TOTAL]) for found in states)
    batch = group.statistics().consumers["note-0"].mean_batch
    return Answer(options.seconds, checksum, batch, whole, sent, windows)


def _send_all(name: str, options: Options) -> list[int]:
    """What each producer's thread has sent."""
    attached, sent = Attached(name), [0] * options.producers
    places = [attached.producer(options.wait) for _ in sent]
    nothing = np.array((0, 0, 1, 0, options.rate), np.int64)
    send(places[0], attached.slots, nothing, 0, options.words)
    plan = Plan.soon(options)
    schedule = np.array((plan.start_ns, plan.stop_ns, options.producers, plan.events, options.rate), np.int64)

    def run(producer: int) -> None:
        sharpen_sleep(options)
        sent[producer] = send(places[producer], attached.slots, schedule, producer, options.words)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(options.producers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in places:
        c_interface.close_producer(place)
    return sent


def _window(states: list[Any], quarter: int) -> Histogram:
    begin = _COUNTS + quarter * _BUCKETS
    counts = sum(found[begin : begin + _BUCKETS] for found in states)
    return Histogram().add([(_lowest(index), int(counts[index])) for index in np.flatnonzero(counts).tolist()])


def _lowest(index: int) -> int:
    """The lowest value of the bucket at an index."""
    if index < _SMALL:
        return index
    exponent = (index >> SUB_BITS) - 1
    return (index - (exponent << SUB_BITS)) << exponent


def entries() -> list[Entry]:
    """What this module has."""
    name = "ringbus compiled, C interface"
    return [
        Entry("pingpong", name, ping_pong(process=False), ("spin", "yield", "block"), "timed"),
        Entry("pingpong-spin", name, ping_pong(process=True), ("spin",), "timed"),
        Entry("pingpong-block", name, ping_pong(process=True), ("block",), "timed"),
        Entry("paced", name, paced, ("block", "yield"), "timed"),
        Entry("16x16", name, paced, ("block", "yield"), "timed"),
    ]
