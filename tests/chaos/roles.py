"""The parts that processes play: producers, consumers, watchers, and owners of handlers in processes.

Each ends with 0 after SIGTERM, when it has done all it had to; with `PEER_DIED` where the one it follows has died. What
else it raises is written to a file, and it ends with 1.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import ringbus
from chaos.ledger import ACKNOWLEDGED, ATTEMPTED, Ledger, check_all

MOST_CLAIMED = 24
"""Slots of a claim, at the most."""
PEER_DIED = 3
PATIENCE = 20.0
_MASK = 2**64 - 1


class Beat(ringbus.Event):
    """Says who published it, which of the producer's events it is, and that it is whole."""

    producer: ringbus.int32
    number: int
    check: ringbus.uint64
    echo: ringbus.uint64 = 0


def checked(producer: int, number: int) -> int:
    """What `check` must be in a whole event."""
    return (producer * 0x9E3779B97F4A7C15 + number * 0xC2B2AE3D27D4EB4F) & _MASK


def are_whole(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each is whole."""
    producers, numbers = rows["producer"].astype(np.uint64), rows["number"].astype(np.uint64)
    wanted = producers * np.uint64(0x9E3779B97F4A7C15) + numbers * np.uint64(0xC2B2AE3D27D4EB4F)
    return np.asarray(rows["check"] == wanted)


def folder(ring: str) -> Path:
    """Where the ledgers of a ring are."""
    return Path(os.environ["RINGBUS_CHAOS"], ring)


class Stop:
    """Set by SIGTERM."""

    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _set(self, *_: object) -> None:
        self.is_set = True

    def wait(self) -> None:
        """Wait for it."""
        while not self.is_set:
            time.sleep(0.002)


# -- producers --------------------------------------------------------------------------------------------------------


class _AbortError(Exception):
    """Makes Pads of a claim."""


class Publishing:
    """One producer: publishes its numbers one after the other, in all ways there are."""

    def __init__(self, ring: ringbus.RingBuffer[Beat], number: int, seed: int, held_ms: float, stop: Stop) -> None:
        self._ring = ring
        self._producer = number
        self._ledger = Ledger(folder(str(ring.name)) / f"claims-{number}")
        self._rng = random.Random(seed)
        self._held = held_ms / 1000
        self._stop = stop
        self._next = 0
        self._ways: list[Callable[[], int]] = [self._fields, self._translator, self._claim, self._some, self._batch]
        self._ways += [self._fields] * 5
        self._ways += [self._hold] * 10 if held_ms else [self._abort]

    def run(self) -> None:
        """Publish until told to stop. Where another process is the one producer, try again."""
        while not self._stop.is_set:
            try:
                self._next += self._rng.choice(self._ways)()
            except ringbus.ClaimError:
                time.sleep(0.001)

    def _attempt(self, count: int) -> list[dict[str, int]]:
        self._ledger.claim(ATTEMPTED, self._next, count)
        numbers = range(self._next, self._next + count)
        return [
            {"producer": self._producer, "number": number, "check": checked(self._producer, number)}
            for number in numbers
        ]

    def _acknowledge(self, count: int) -> int:
        self._ledger.claim(ACKNOWLEDGED, self._next, count)
        return count

    def _fields(self) -> int:
        self._ring.publish(**self._attempt(1)[0])
        return self._acknowledge(1)

    def _translator(self) -> int:
        wanted = self._attempt(1)[0]
        self._ring.publish(lambda event: _fill(event, wanted))
        return self._acknowledge(1)

    def _claim(self) -> int:
        wanted = self._attempt(1)[0]
        with self._ring.claim() as event:
            _fill(event, wanted)
        return self._acknowledge(1)

    def _some(self) -> int:
        count = self._rng.randint(1, 8)
        wanted = self._attempt(count)
        with self._ring.claim(count, reset=False) as rows:
            rows[:] = [(*beat.values(), 0) for beat in wanted]
        return self._acknowledge(count)

    def _batch(self) -> int:
        count = self._rng.randint(1, MOST_CLAIMED)
        wanted = [(*beat.values(), 0) for beat in self._attempt(count)]
        self._ring.publish_batch(np.array(wanted, Beat.dtype))
        return self._acknowledge(count)

    def _hold(self) -> int:
        """Keep a claim open for a while, with a second one inside of it if there is room."""
        count = self._rng.randint(1, 4)
        wanted = self._attempt(count + 1)
        with self._ring.claim(count) as rows:
            rows[: count // 2] = [(*beat.values(), 0) for beat in wanted[: count // 2]]
            time.sleep(self._rng.uniform(0, self._held))
            inner = self._ring.try_claim() if self._ring.producers == "multi" else None
            if inner is not None:
                with inner as event:
                    time.sleep(self._rng.uniform(0, self._held))
                    _fill(event, wanted[count])
            rows[:] = [(*beat.values(), 0) for beat in wanted[:count]]
        return self._acknowledge(count + (inner is not None))

    def _abort(self) -> int:
        try:
            with self._ring.claim(self._rng.randint(1, 3)):
                raise _AbortError
        except _AbortError:
            return 0


def _fill(event: Beat, wanted: dict[str, int]) -> None:
    for name, value in wanted.items():
        setattr(event, name, value)


def producer(ring: str, number: int, seed: int, *, held_ms: float = 0.0, threads: int = 1, make: Any = None) -> int:
    """Publish under the numbers `number`, `number + 1`, ..., a thread each."""
    stop = Stop()
    handle = _make(ring, **make) if make else ringbus.attach(ring, Beat, wait=PATIENCE)
    while not (folder(ring) / "go").exists() and not stop.is_set:
        time.sleep(0.002)
    parts = [Publishing(handle, number + index, seed + index, held_ms, stop) for index in range(threads)]
    others = [threading.Thread(target=part.run) for part in parts[1:]]
    for thread in others:
        thread.start()
    parts[0].run()
    for thread in others:
        thread.join()
    return 0


def _make(name: str, capacity: int, producers: Literal["single", "multi"], start: int) -> ringbus.RingBuffer[Beat]:
    return ringbus.RingBuffer(Beat, capacity, name=name, producers=producers, start=start)


# -- consumers --------------------------------------------------------------------------------------------------------


def _handlers(ledger: Ledger, echo: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """A handler of single events and one of batches. "write" leaves an echo in the event, "read" wants to find it."""

    def one(event: Beat, sequence: int) -> None:
        whole = event.check == checked(event.producer, event.number)
        if echo == "write":
            event.echo = event.check ^ _MASK
        elif echo == "read":
            whole = whole and event.echo == event.check ^ _MASK
        ledger.see(sequence, event.producer, event.number, whole)

    @ringbus.batch
    def rows(events: npt.NDArray[Any], first_sequence: int) -> None:
        whole = are_whole(events)
        if echo == "write":
            events["echo"] = ~events["check"]
        elif echo == "read":
            whole &= events["echo"] == ~events["check"]
        ledger.see_rows(first_sequence, events, whole)

    return one, rows


def consumer(
    ring: str,
    name: str,
    life: int,
    *,
    batch: bool = False,
    echo: str = "",
    read_only: bool = False,
    **options: Any,
) -> int:
    """See everything until told to stop, and then to the end."""
    stop = Stop()
    handle = ringbus.attach(ring, Beat, wait=PATIENCE, read_only=read_only)
    one, rows = _handlers(Ledger(folder(ring) / f"seen-{name}-{life}"), echo)
    group = handle.consumer_group(f"{name}-{life}", at_exit="halt")
    try:
        group.add(name, rows if batch else one, gating=not read_only, **options)
    except ringbus.PeerDiedError:
        return PEER_DIED
    group.start()
    return _until_stopped(group, stop)


def _until_stopped(group: ringbus.ConsumerGroup[Any], stop: Stop) -> int:
    while not stop.is_set and not group.join(0.02):
        continue
    try:
        group.stop(PATIENCE)
    except ringbus.PeerDiedError:
        return PEER_DIED
    return 0


def remote(event: Beat, sequence: int) -> None:
    """A handler in a process of its own; each such process has a ledger."""
    if not _remote:
        _remote.append(Ledger(folder(os.environ[_RING]) / f"seen-remote-{time.monotonic_ns()}"))
    whole = event.check == checked(event.producer, event.number)
    _remote[0].see(sequence, event.producer, event.number, whole)


_remote: list[Ledger] = []
_RING = "RINGBUS_CHAOS_RING"
"""Tells the handler's process which ring it serves."""


def owner(ring: str, name: str) -> int:
    """Own a handler in a process, which is started again when it dies."""
    stop = Stop()
    os.environ[_RING] = ring
    group = ringbus.attach(ring, Beat, wait=PATIENCE).consumer_group("owner", at_exit="halt")
    group.add(name, remote, process=True, on_death=ringbus.Restart(limit=100, backoff=0.001))
    group.start()
    return _until_stopped(group, stop)


# -- standing in the way ----------------------------------------------------------------------------------------------


def blocker(ring: str, name: str, *, claim: bool = False) -> int:
    """Hold the ring up: a reader that takes nothing, or a claim that stays open. After SIGTERM let go, and stay."""
    stop = Stop()
    place = folder(ring)
    handle = ringbus.attach(ring, Beat, wait=PATIENCE)
    if claim:
        with handle.claim() as event:
            _fill(event, {"producer": 0, "number": 0, "check": checked(0, 0)})
            (place / f"ready-{name}").touch()
            stop.wait()
    else:
        ledger = Ledger(place / f"seen-{name}-0")
        reader = handle.poller(name)
        (place / f"ready-{name}").touch()
        stop.wait()
        for event in reader.take(handle.capacity, 0.0):
            ledger.see(0, event.producer, event.number, event.check == checked(event.producer, event.number))
    (place / f"let-go-{name}").touch()
    while not (place / "leave").exists():
        time.sleep(0.002)
    return 0


def idle(event: Beat) -> None:
    """A handler that does nothing."""


def check(ring: str, start: int, pads: int, claims: list[int], parts: list[tuple[str, str]]) -> int:
    """Check the ledgers of a ring: apart, so that the test's own memory is that of the ring alone."""
    check_all(folder(ring), start, pads, claims, parts).write(folder(ring) / "findings")
    return 0


ROLES: dict[str, Callable[..., int]] = {
    "producer": producer,
    "consumer": consumer,
    "owner": owner,
    "blocker": blocker,
    "check": check,
}
