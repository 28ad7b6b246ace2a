"""Single words of a segment set to what a broken peer might leave there: an error, wrong data or a time-out follows,
never a loop without end, an overflow or a write to memory that is mapped read-only.
"""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ringbus
from support.children import run_child, start_child
from support.segments import (
    AVAILABLE,
    CLAIMED,
    CONSUMERS,
    ENTRY,
    LINE,
    PUBLISHED,
    SCHEMA,
    change_header,
    depends_on_of,
    intent_of,
    rings_folder,
    sequence_of,
    words_of,
)

__all__ = ["rings_folder"]

MOST, LEAST = (1 << 63) - 1, -(1 << 63)
FAR = (LEAST, -2, 1 << 31, 1 << 61, (1 << 62) - 1, 1 << 62, MOST)
far = pytest.mark.parametrize("value", FAR)
kinds = pytest.mark.parametrize("producers", ["single", "multi"])


class Tick(ringbus.Event):
    """An event."""

    value: int


def ring_of(producers: Any, **options: Any) -> ringbus.RingBuffer[Tick]:
    return ringbus.RingBuffer(Tick, 8, producers=producers, name="ticks", timeout=0.05, **options)


@far
@kinds
@pytest.mark.parametrize("place", [CLAIMED, PUBLISHED])
def test_a_cursor_that_is_far_off_ends_no_verb_in_a_loop(
    rings_folder: Path, producers: str, place: int, value: int
) -> None:
    ring = ring_of(producers)
    poller, glance = ring.poller("gates"), ring.poller("glances", gating=False)
    watcher = ringbus.attach("ticks", Tick, read_only=True).poller("watches", gating=False)
    ring.publish(value=1)
    with words_of(rings_folder / "ticks") as words:
        words[place] = value
        for reader in (poller, glance, watcher):
            reader.take(100, 0.01)
            reader.take_array(100, 0.01)
        for verb in (lambda: ring.publish(value=2), lambda: ring.publish_batch(ring_rows(20), timeout=0.05)):
            with contextlib.suppress(ringbus.RingBusError):
                verb()
        ring.statistics()
        ring.recover()


def ring_rows(count: int) -> Any:
    return np.zeros(count, Tick.dtype)


@far
@kinds
def test_a_consumer_whose_place_is_far_off_is_followed_no_further_than_the_cursor(
    rings_folder: Path, producers: str, value: int
) -> None:
    ring = ring_of(producers)
    first = ring.poller("first")
    second = ring.poller("second", depends_on=["first"])
    ring.publish(value=1)
    with words_of(rings_folder / "ticks") as words:
        words[sequence_of(first.index)] = value
        with contextlib.suppress(ringbus.PeerDiedError):  # as one that was evicted before the first event
            assert len(second.take(100, 0.01)) <= 1  # what was published, and not what the word says
            words[sequence_of(second.index)] = value
            second.take(100, 0.01)
        for _ in range(20):
            try:
                ring.publish(value=2)
            except ringbus.WaitTimeout:
                break
        assert all(each.lag >= 0 for each in ring.statistics().consumers.values())


@far
def test_intents_that_are_far_off_do_not_keep_recovery_busy(rings_folder: Path, value: int) -> None:
    ring = ring_of("multi")
    child = """
    ring = ringbus.attach("ticks", Tick)
    ring.publish(value=1)
    print("ready", flush=True)
    time.sleep(60)
    """
    with start_child(child) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with words_of(rings_folder / "ticks") as words:
            words[intent_of(0)], words[intent_of(0) + 8] = 1, value
            words[intent_of(0, 1)], words[intent_of(0, 1) + 8] = value, MOST
            process.kill()
            process.wait()
            ring.recover()
    ring.publish(value=2)


@far
def test_a_publish_time_that_is_far_off_counts_as_some_latency(rings_folder: Path, value: int) -> None:
    ring = ring_of("multi", stamp=True)
    poller = ring.poller("reads")
    ring.publish(value=1)
    with words_of(rings_folder / "ticks") as words:
        place = AVAILABLE + 4096  # the slots of a ring whose available words fit a page
        assert struct.unpack_from("<q", words.memory, place + 8) == (1,)
        words[place] = value
        assert poller.take(1, 0.05)[0].published_ns == value
        assert poller.latency()[0] == 1


def test_a_bit_set_of_followed_entries_is_only_shown(rings_folder: Path) -> None:
    ring = ring_of("multi")
    first = ring.poller("first")
    with words_of(rings_folder / "ticks") as words:
        words[depends_on_of(first.index)] = -1
        ring.publish(value=1)
        assert len(first.take(10, 0.5)) == 1
        with pytest.raises(ringbus.TopologyError):
            first.close()


def test_names_and_counters_may_hold_anything(rings_folder: Path) -> None:
    ring = ring_of("multi")
    first = ring.poller("first")
    with words_of(rings_folder / "ticks") as words:
        entry = CONSUMERS + first.index * ENTRY
        words.memory[entry + 56 : entry + 120] = b"\xff" * 64
        words.memory[entry + 2 * LINE : entry + 3 * LINE] = b"\xff" * LINE
        ring.publish(value=1)
        assert len(first.take(10, 0.5)) == 1
        assert len(ring.statistics().consumers) == 1


def test_a_watcher_writes_nothing_even_where_a_producer_has_died(rings_folder: Path) -> None:
    """Whoever waits looks for the dead; one that is attached read-only leaves them to others."""
    ring = ring_of("multi")
    child = """
    import os, signal
    ring = ringbus.attach("ticks", Tick)
    with ring.claim() as tick:
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run_child(child)
    watching = """
    ring = ringbus.attach("ticks", Tick, read_only=True)
    watcher = ring.poller("watches", gating=False)
    print(len(watcher.take(1, 0.2)), ring.recover(), ring._ring.wait_done(0, 5, 0.1))
    for call in (ring.unlink, lambda: ring.forget("nobody"), lambda: ring._ring.hold("somebody")):
        try:
            call()
        except ringbus.ConfigurationError as error:
            print("read-only" in str(error))
    """
    before = (rings_folder / "ticks").read_bytes()
    ended = run_child(watching)
    assert ended.code == 0, ended.err
    assert ended.lines == ["0 False True", "True", "True", "True"]
    assert (rings_folder / "ticks").read_bytes() == before
    assert ring.recover()


def test_a_watcher_does_not_count_as_living_in_the_ring(rings_folder: Path) -> None:
    ring = ring_of("multi")
    ring.publish(value=7)
    watching = """
    ring = ringbus.attach("ticks", Tick, read_only=True)
    print("ready", flush=True)
    time.sleep(60)
    """
    with start_child(watching) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert ringbus.sharing.is_alive("ticks")
        del ring
        assert not ringbus.sharing.is_alive("ticks")
        assert ring_of("multi").cursor == 0


def forge(path: Path, document: object) -> None:
    """Put another schema into a segment that is left behind, with a header that goes with it."""
    schema = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
    with path.open("r+b") as file:
        file.seek(SCHEMA)
        file.write(schema)
    change_header(path, 64, len(schema).to_bytes(8, "little"))


def field(**facts: object) -> dict[str, object]:
    return {"name": "value", "kind": "i8", "dtype": "<i8", "offset": 0, "size": 8, "required": True, **facts}


def event(*fields: object, **facts: object) -> list[object]:
    return [{"event": "Tick", "itemsize": 8, "alignment": 8, "fields": fields, "defaults": "00" * 8, **facts}]


@pytest.mark.parametrize(
    "document",
    [
        event(field(kind="scalar", dtype="|O")),
        event(field(kind="array", dtype="|O[1]")),
        event(field(kind="text", dtype="|O8")),
        event(field(kind="f8", dtype="|i1")),
        event(field(kind="text", dtype="|S0")),
        event(field(dtype="<i8[")),
        event(field(dtype="[('a', '<i8'")),
        event(field(kind="nonsense")),
        event(field(kind="enum")),
        event(field(kind="decimal", places=-1)),
        event(field(name="dtype")),
        event(field(name="__init__")),
        event(field(name="\0")),
        event(field(name=7)),
        event(field(), field()),
        event(7),
        event(),
        event(field(), itemsize=16),
        event(field(required=False), defaults="zz"),
        event(field(required=False), defaults=None),
        event(field()) * 70,
        [],
        {},
        [[]],
        [7],
        b"[" * 5000,
        b"\xff\xfe",
        b"",
    ],
)
def test_a_schema_that_makes_no_sense_is_refused(rings_folder: Path, document: object) -> None:
    ring = ring_of("multi")
    del ring
    forge(rings_folder / "ticks", document)
    with pytest.raises(ringbus.LayoutError):
        ringbus.attach("ticks")
    with pytest.raises(ringbus.LayoutError):
        ringbus.attach("ticks", Tick)
