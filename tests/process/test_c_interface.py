"""The C interface beside Python on one ring: claims, polls, graphs, time-outs, and what each refusal says."""

from __future__ import annotations

import ctypes
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ringbus
from support.c_library import CODES, FOREVER, LIBRARY, SECOND, CError, Handle, Ring, Wait, attached, call
from support.children import run_child, start_child
from support.handed import Tick
from support.segments import rings_folder

__all__ = ["rings_folder"]

pytestmark = pytest.mark.usefixtures("rings_folder")


class Other(ringbus.Event):
    """Another event."""

    count: int
    weight: float


class OtherInC(ctypes.Structure):
    """The same event, as C has it."""

    _fields_ = (("count", ctypes.c_int64), ("weight", ctypes.c_double))


def ring_of(capacity: int = 8, **options: Any) -> ringbus.RingBuffer[Any]:
    return ringbus.RingBuffer(options.pop("event", Tick), capacity, name="ticks", **options)


@pytest.fixture(params=["single", "multi"])
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Tick]:
    return ring_of(producers=request.param)


@pytest.fixture
def c_ring(ring: ringbus.RingBuffer[Tick]) -> Iterator[Ring]:
    with attached("ticks") as c_ring:
        yield c_ring


def values(events: Any) -> list[int]:
    return [event.value for event in events]


def refused(name: str, text: str = "") -> Any:
    return pytest.raises(CError, match=f"^{name}: .*{text}")


# -- what goes through ------------------------------------------------------------------------------------------------


def test_what_c_publishes_python_reads(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with ring.poller("python") as poller, c_ring.producer() as producer:
        for first in range(0, 60, 3):
            producer.publish(first, first + 1, first + 2)
            assert values(poller.take(10, 5)) == [first, first + 1, first + 2]


def test_what_python_publishes_c_reads(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with c_ring.consumer("c") as consumer:
        for first in range(0, 60, 3):
            for value in range(first, first + 3):
                ring.publish(value=value)
            assert consumer.take() == [first, first + 1, first + 2]
            assert consumer.poll() == []
        (row,) = ring.statistics().consumers.values()
        assert (row.events, row.batches) == (60, 20)


def test_events_are_there_until_they_are_committed(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with c_ring.consumer("c") as consumer:
        for value in range(5):
            ring.publish(value=value)
        assert consumer.poll(2) == [0, 1]
        assert consumer.poll(3) == [0, 1, 2]
        consumer.commit(0)
        assert consumer.poll() == [1, 2, 3, 4]
        assert call("sequence", consumer.handle) == 0
        for wrong in (-1, 5):
            with refused("RINGBUS_INVALID"):
                consumer.commit(wrong)


def test_a_full_ring_holds_a_producer_of_c_up(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with ring.poller("slow") as poller, c_ring.producer() as producer:
        producer.publish(*range(8))
        assert call("remaining_capacity", c_ring.handle) == 0
        with refused("RINGBUS_FULL"):
            producer.try_claim()
        with refused("RINGBUS_TIMED_OUT", r"slow \(8 behind, pid \d+, alive\)"):
            producer.claim(1, 1000)
        with refused("RINGBUS_TIMED_OUT"):
            producer.claim(1, 0)
        assert call("cursor", c_ring.handle) == 7
        poller.take(1)
        poller.take(1, 0)
        producer.publish(8)
        assert values(poller.take(10)) == list(range(2, 9))


def test_a_consumer_of_c_holds_producers_of_python_up(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with c_ring.consumer("c") as consumer:
        for value in range(8):
            ring.publish(value=value)
        assert not ring.try_publish(value=8)
        with pytest.raises(ringbus.WaitTimeout, match=r"c \(8 behind"):
            ring.producer(timeout=0.01).publish(value=8)
        consumer.commit(consumer.poll(1)[-1])
        assert ring.try_publish(value=8)


def test_a_claim_that_c_aborts_is_never_seen(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with ring.poller("python") as poller, c_ring.consumer("c") as consumer, c_ring.producer() as producer:
        producer.publish(1)
        low, high = producer.claim(2)
        call("abort", producer.handle, low, high)
        producer.publish(2, 3)
        assert values(poller.take(10, 5)) == [1, 2, 3]
        assert consumer.take(1) == [1]
        assert consumer.take() == [2, 3]
        assert call("remaining_capacity", c_ring.handle) > 0


def test_c_steps_over_the_pads_of_python() -> None:
    ring = ring_of(producers="multi")
    with attached("ticks") as c_ring, c_ring.consumer("c") as consumer:
        for value in range(30):
            with pytest.raises(ZeroDivisionError), ring.claim(3):
                _ = 1 / 0
            ring.publish(value=value)
            assert consumer.take() == [value]
        with pytest.raises(ZeroDivisionError), ring.claim(3):
            _ = 1 / 0
        assert consumer.poll() == []
        assert call("sequence", consumer.handle) == ring.cursor


def test_a_producer_that_is_closed_with_a_claim_open_leaves_no_hole(
    ring: ringbus.RingBuffer[Tick], c_ring: Ring
) -> None:
    with ring.poller("python") as poller:
        with c_ring.producer() as producer:
            producer.claim(3)
        ring.publish(value=7)
        assert values(poller.take(10, 5)) == [7]


def test_the_slots_have_publish_times_and_types_where_the_ring_has_them() -> None:
    ring = ring_of(event=Tick | Other, stamp=True)
    with attached("ticks") as c_ring, ring.poller("python") as poller, c_ring.producer() as producer:
        slots = c_ring.slots
        assert (slots.stamp_offset, slots.type_offset) == (0, 8)
        assert c_ring.info.flags == CODES["RINGBUS_INFO_MULTI"] | 2 | 4
        before = time.monotonic_ns()
        low, high = producer.claim(1)
        ctypes.c_uint16.from_address(slots.slot(low) + slots.type_offset).value = 1
        fields = OtherInC.from_address(slots.event(low))
        fields.count, fields.weight = 5, 0.5
        call("publish", producer.handle, low, high)
        event = poller.next(5)
        assert (type(event), event.count, event.weight) == (Other, 5, 0.5)
        assert before <= event.published_ns <= time.monotonic_ns()


def test_what_the_ring_is_is_told(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    header = ringbus._core.Segment("ticks", "read").header()
    info = c_ring.info
    assert (info.capacity, info.slot_bytes, info.event_offset, info.start) == (8, 8, 0, 0)
    assert (f"{info.schema_hash:016x}", f"{info.instance:016x}") == (header["schema_hash"], header["instance"])
    assert info.flags == (1 if header["producers"] == "multi" else 0)
    (schema,) = json.loads(LIBRARY.ringbus_schema(c_ring.handle))
    assert schema["fields"][0]["name"] == "value"
    assert LIBRARY.ringbus_version().decode() == ringbus.__version__


# -- graphs, places, reading without holding up -----------------------------------------------------------------------


def test_a_consumer_of_c_follows_one_of_python_and_is_followed(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with (
        ring.poller("first") as first,
        c_ring.consumer("second", depends_on=["first"]) as second,
        ring.poller("third", depends_on=("second",)) as third,
    ):
        ring.publish(value=1)
        assert (second.poll(), third.take(1, 0)) == ([], [])
        assert values(first.take(1)) == [1]
        assert second.take() == [1]
        assert values(third.take(1, 5)) == [1]
        with refused("RINGBUS_HAS_DEPENDENTS", "ringbus_part"):
            call("leave", second.handle)


def test_who_depends_on_one_that_parts_is_told(c_ring: Ring, ring: ringbus.RingBuffer[Tick]) -> None:
    first = c_ring.consumer("first").__enter__()
    with c_ring.consumer("second", depends_on=["first"]) as second:
        ring.publish(value=1)
        first.take()
        call("part", first.handle)
        assert second.take() == [1]
        for verb in (second.poll, second.wait_for):
            with refused("RINGBUS_PEER_DIED", '"first" is gone: it left at sequence 0'):
                verb()


def test_who_depends_on_one_whose_process_died_is_told(c_ring: Ring) -> None:
    with start_child(
        "r = ringbus.attach('ticks')\nposition = r.poller('first')\nprint('here', flush=True)\ntime.sleep(60)"
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        with c_ring.consumer("second", depends_on=["first"]) as second:
            child.kill()
            child.wait()
            with refused("RINGBUS_PEER_DIED", rf"its process {child.pid} died at sequence -1"):
                second.wait_for()


def test_a_durable_place_of_c_stays(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    durable = CODES["RINGBUS_DURABLE"]
    with c_ring.consumer("c", flags=durable) as consumer:
        ring.publish(value=0)
        consumer.take()
    ring.publish(value=1)
    with c_ring.consumer("c", flags=durable, absent_limit=3) as consumer:
        assert consumer.take() == [1]
    for value in range(2, 12):
        ring.producer(timeout=5).publish(value=value)
    with c_ring.consumer("c", flags=durable) as consumer:
        assert call("missed", consumer.handle) > 0
    assert ring.forget("c")


def test_a_start_that_is_held_is_given_and_another_one_is_refused() -> None:
    ring = ring_of(require=("c",))
    for value in range(5):
        ring.publish(value=value)
    with attached("ticks") as c_ring:
        with c_ring.consumer("c", start=CODES["RINGBUS_START_AT"], start_at=3) as consumer:
            assert consumer.take() == [3, 4]
        with refused("RINGBUS_NOT_HELD"):
            c_ring.consumer("d", start=CODES["RINGBUS_START_AT"], start_at=1).__enter__()
        for start in ("RINGBUS_START_LATEST", "RINGBUS_START_OLDEST"):
            with c_ring.consumer("d", start=CODES[start]) as consumer:
                assert call("sequence", consumer.handle) == 4


@pytest.mark.parametrize("read_only", [False, True])
def test_one_that_does_not_gate_is_lapped_and_told(ring: ringbus.RingBuffer[Tick], read_only: bool) -> None:
    with (
        attached("ticks", flags=int(read_only)) as c_ring,
        c_ring.consumer("c", flags=CODES["RINGBUS_UNGATED"]) as consumer,
    ):
        ring.publish(value=0)
        (sequence,) = consumer.poll()
        assert consumer.read(sequence) == 0
        for value in range(1, 20):
            ring.publish(value=value)
        with refused("RINGBUS_LAPPED"):
            consumer.read(sequence)
        shown = consumer.wait_for()
        assert [consumer.read(sequence) for sequence in shown] == shown
        assert shown[-1] == 19
        assert call("missed", consumer.handle) == shown[0]


@pytest.mark.parametrize("kind", range(5))
def test_every_wait_strategy_waits_and_times_out(ring: ringbus.RingBuffer[Tick], c_ring: Ring, kind: int) -> None:
    wait = Wait(kind=kind, spins=10, first_ns=1000, second_ns=1000)
    with c_ring.consumer("c", wait=wait) as consumer, c_ring.producer(wait) as producer:
        assert consumer.wait_for(1, 2_000_000) == []
        publisher = threading.Thread(target=producer.publish, args=(5,))
        publisher.start()
        assert consumer.take() == [5]
        publisher.join()


def test_an_alert_ends_the_waits_of_other_threads(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    told: list[str] = []

    def wait() -> None:
        with c_ring.consumer("c") as consumer:
            joined.set()
            with refused("RINGBUS_ALERTED") as caught:
                consumer.wait_for(1, FOREVER)
            told.append(caught.value.name)

    joined, waiter = threading.Event(), threading.Thread(target=wait)
    waiter.start()
    joined.wait()
    call("alert", c_ring.handle)
    waiter.join()
    assert told == ["RINGBUS_ALERTED"]
    call("clear_alert", c_ring.handle)
    with c_ring.consumer("c") as consumer:
        assert consumer.wait_for(1, 1000) == []


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_ring_that_is_not_there_or_has_no_name_is_refused() -> None:
    with refused("RINGBUS_NOT_FOUND", r"there is no ring .*nowhere; make it first"), attached("nowhere"):
        pass
    with refused("RINGBUS_NOT_FOUND"), attached("nowhere", wait_ns=5_000_000):
        pass
    with refused("RINGBUS_INVALID", "letters, digits"), attached("../x"):
        pass
    with refused("RINGBUS_INVALID", "name is null"):
        call("attach", None, None, Handle())


def test_a_ring_that_is_waited_for_is_attached_to() -> None:
    maker = threading.Timer(0.05, ring_of)
    maker.start()
    with attached("ticks", wait_ns=FOREVER) as c_ring:
        assert c_ring.info.capacity == 8
    maker.join()


def test_another_schema_is_refused(c_ring: Ring) -> None:
    with attached("ticks", schema_hash=c_ring.info.schema_hash):
        pass
    with refused("RINGBUS_LAYOUT", "schema of hash"), attached("ticks", schema_hash=c_ring.info.schema_hash ^ 1):
        pass


def test_a_read_only_ring_takes_no_producer_and_nobody_who_holds_it_up(ring: ringbus.RingBuffer[Tick]) -> None:
    with attached("ticks", flags=CODES["RINGBUS_ATTACH_READ_ONLY"]) as c_ring:
        assert c_ring.info.flags & CODES["RINGBUS_INFO_READ_ONLY"]
        with refused("RINGBUS_READ_ONLY"):
            c_ring.producer().__enter__()
        with refused("RINGBUS_READ_ONLY"):
            c_ring.consumer("c").__enter__()


@pytest.mark.parametrize("name", ["detach", "producer_close", "leave", "part", "cursor", "remaining_capacity", "alert"])
def test_what_is_no_handle_is_refused(name: str, c_ring: Ring) -> None:
    for wrong in (None, ctypes.addressof(bytes_of_zero), ctypes.addressof(bytes_of_zero) + 1):
        with refused("RINGBUS_INVALID", r"the pointer is no ringbus_\w+, or was closed"):
            call(name, wrong)
    kind = "leave" if name not in {"leave", "part"} else "detach"
    with c_ring.consumer("c") as consumer:
        other = consumer.handle if kind == "leave" else c_ring.handle
        with refused("RINGBUS_INVALID"):
            call(name, other)


bytes_of_zero = (ctypes.c_uint64 * 4)()


def test_options_of_another_size_or_with_unknown_flags_are_refused(c_ring: Ring) -> None:
    for size in (0, 7, 40):
        with (
            refused("RINGBUS_INVALID", rf"the options say that they are {size} bytes, not 8 to 32"),
            attached("ticks", size=size),
        ):
            pass
    for size in (7, 88):
        with refused("RINGBUS_INVALID", rf"{size} bytes, not 8 to 80"):
            c_ring.consumer("c", size=size).__enter__()
    with refused("RINGBUS_INVALID", "flags are 0x8"), attached("ticks", flags=8):
        pass
    with refused("RINGBUS_INVALID", "flags are 0x4"):
        c_ring.consumer("c", flags=4).__enter__()
    with refused("RINGBUS_INVALID", "start is 9"):
        c_ring.consumer("c", start=9).__enter__()
    with refused("RINGBUS_INVALID", "the kind of wait is 5"):
        c_ring.producer(Wait(kind=5)).__enter__()


def test_names_that_are_taken_unknown_or_in_a_circle_are_refused(c_ring: Ring) -> None:
    with c_ring.consumer("a", flags=CODES["RINGBUS_DURABLE"]), refused("RINGBUS_NAME_TAKEN"):
        c_ring.consumer("a").__enter__()
    with refused("RINGBUS_NO_CONSUMER", '"b" depends on "x"'):
        c_ring.consumer("b", depends_on=["x"]).__enter__()
    with c_ring.consumer("b", depends_on=["a"]), refused("RINGBUS_INVALID", '"a" would depend on itself'):
        c_ring.consumer("a", depends_on=["b"]).__enter__()
    with refused("RINGBUS_INVALID", "a name of 65 bytes"):
        c_ring.consumer("x" * 65).__enter__()


def test_claims_that_make_no_sense_are_refused(c_ring: Ring) -> None:
    with c_ring.producer() as producer:
        for count in (0, -1, 9):
            with refused("RINGBUS_INVALID", rf"a claim of {count} is not in 1..=8"):
                producer.try_claim(count)
        low, high = producer.claim(3)
        for wrong in ((low, high - 1), (low + 1, high), (high, low), (low + 8, high + 8)):
            with refused("RINGBUS_INVALID", rf"which are \[{low}..{high}\]"):
                call("publish", producer.handle, *wrong)
        call("publish", producer.handle, low, high)
        with refused("RINGBUS_INVALID", r"which are \[\]"):
            call("publish", producer.handle, low, high)


def test_a_producer_has_so_many_claims_open_and_no_more(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    most, name = (7, "RINGBUS_NO_PLACE") if c_ring.info.flags & 1 else (1, "RINGBUS_CLAIM_OPEN")
    with c_ring.producer() as producer, ring.poller("python") as poller:
        claims = [producer.claim() for _ in range(most)]
        with refused(name):
            producer.claim()
        for low, high in reversed(claims):
            ctypes.c_int64.from_address(c_ring.slots.event(low)).value = low
            call("publish", producer.handle, low, high)
        assert values(poller.take(10, 5)) == [low for low, _ in claims]


def test_a_ring_of_one_producer_has_one_whether_of_python_or_of_c() -> None:
    ring = ring_of(producers="single")
    with attached("ticks") as c_ring:
        with c_ring.producer(), pytest.raises(ringbus.ClaimError, match="one producer"):
            ring.publish(value=1)
        ring.publish(value=1)
        with refused("RINGBUS_OTHER_PRODUCER"):
            c_ring.producer().__enter__()


def test_who_is_attached_to_a_ring_that_is_unlinked_is_told(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with c_ring.consumer("c") as consumer, c_ring.producer() as producer:
        producer.publish(1)
        ring.unlink()
        assert consumer.take() == [1]
        for verb in (consumer.poll, consumer.wait_for, producer.claim, producer.try_claim):
            with refused("RINGBUS_REPLACED", 'the ring "ticks" was unlinked'):
                verb()


def test_a_handle_from_before_a_fork_is_void_in_the_child(rings_folder: Path) -> None:
    ended = run_child("""
        import os
        sys.path.insert(0, "tests")
        from support.c_library import CError, attached, call
        ring = ringbus.RingBuffer(Tick, 8, name="ticks")
        with attached("ticks") as c_ring, c_ring.consumer("c") as consumer, c_ring.producer() as producer:
            ring.publish(value=1)
            child = os.fork()
            if child == 0:
                for verb in (consumer.poll, producer.claim, lambda: call("leave", consumer.handle)):
                    try:
                        verb()
                    except CError as error:
                        print(error.name, flush=True)
                with attached("ticks") as anew, anew.consumer("child"):
                    print(anew.info.capacity, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print(consumer.take(), ringbus.sharing.is_alive("ticks"))
    """)
    assert (ended.lines, ended.err) == ([*["RINGBUS_FORKED"] * 3, "8", "[1] True"], "")


def test_the_last_error_is_each_threads_own() -> None:
    with refused("RINGBUS_NOT_FOUND"), attached("nowhere"):
        pass
    other: list[bytes] = []
    thread = threading.Thread(target=lambda: other.append(LIBRARY.ringbus_last_error()))
    thread.start()
    thread.join()
    assert (other, b"nowhere" in LIBRARY.ringbus_last_error()) == ([b""], True)


def test_a_consumer_of_c_that_was_joined_last_second_waits_for_ever_no_longer_than_asked(c_ring: Ring) -> None:
    with c_ring.consumer("c") as consumer:
        begin = time.monotonic_ns()
        assert consumer.wait_for(1, SECOND // 50) == []
        assert time.monotonic_ns() - begin >= SECOND // 50


# -- many at once, and deaths -----------------------------------------------------------------------------------------


def test_producers_and_consumers_of_both_kinds_lose_nothing() -> None:
    ring, each = ring_of(64), 2_000
    starts = (0, 1_000_000, 2_000_000)
    expected = sorted(range(each)) + [value for start in starts[1:] for value in range(start, start + each)]

    def publish_in_c(start: int) -> None:
        with attached("ticks") as own, own.producer() as producer:
            for value in range(start, start + each, 4):
                producer.publish(*range(value, value + 4))

    def read_in_c(consumer: Any) -> None:
        while len(read) < len(expected):
            read.extend(consumer.take())

    read: list[int] = []
    with attached("ticks") as c_ring, c_ring.consumer("c") as consumer, ring.poller("python") as poller:
        threads = [threading.Thread(target=publish_in_c, args=(start,)) for start in starts[:2]]
        threads.append(threading.Thread(target=read_in_c, args=(consumer,)))
        for thread in threads:
            thread.start()
        publisher = threading.Thread(
            target=lambda: [ring.publish(value=value) for value in range(starts[2], starts[2] + each)]
        )
        publisher.start()
        taken: list[int] = []
        while len(taken) < len(expected):
            taken += values(poller.take(100, 10))
        for thread in (*threads, publisher):
            thread.join()
    assert sorted(taken) == expected
    assert read == taken


IN_C = """
sys.path.insert(0, "tests")
from support.c_library import attached, call
with attached("ticks") as c_ring:
    producer = c_ring.producer().__enter__()
    consumer = c_ring.consumer("c").__enter__()
    producer.publish(1)
    producer.claim(3)
    print("claimed", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_program_in_c_held_is_given_back(ring: ringbus.RingBuffer[Tick]) -> None:
    with ring.poller("python") as poller:
        with start_child(IN_C) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "claimed\n"
            child.kill()
            child.wait()
        producer = ring.producer(timeout=10)
        taken = []
        for value in range(2, 12):
            producer.publish(value=value)
            while not taken or taken[-1] < value:
                taken += values(poller.take(10, 10))
        assert taken == list(range(1, 12))
        assert [name for name in ring.statistics().consumers if name == "c"] == []


def test_what_a_killed_process_of_python_held_is_given_back_to_c(ring: ringbus.RingBuffer[Tick], c_ring: Ring) -> None:
    with c_ring.consumer("c") as consumer:
        with start_child("""
            ring = ringbus.attach("ticks")
            poller = ring.poller("python")
            ring.publish(value=1)
            claim = ring.claim(3)
            claim.__enter__()
            print("claimed", flush=True)
            time.sleep(60)
        """) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "claimed\n"
            child.kill()
            child.wait()
        with c_ring.producer() as producer:
            assert consumer.take() == [1]
            for value in range(2, 12):
                producer.publish(value)
                assert consumer.take() == [value]
