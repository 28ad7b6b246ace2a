"""Compiled handlers: what they are given, how they fail, and that they run as any other consumer does."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import ringbus
from support.events import PATIENCE, PRODUCERS
from support.machine import (
    Tick,
    add_up,
    code_of_sevens,
    fill,
    in_order,
    numbers,
    publish,
    refuse_sevens,
    spin_for_ever,
    sums,
    ticks,
)

numba = pytest.importorskip("numba", reason="the extra ringbus[compiled] is not installed")


NANOSECOND = np.timedelta64(1, "ns")


class Wide(ringbus.Event):
    """An event with a field of each family."""

    name: str = ringbus.text(8)
    flag: bool = False
    small: ringbus.uint8 = 0
    ratio: ringbus.float32 = 0.0
    levels: Any = ringbus.array("f8", (2, 2), default=[[0, 0], [0, 0]])
    data: bytes = ringbus.blob(4, default=b"")
    at: Any = ringbus.field("datetime64[ns]", default=np.datetime64(0, "ns"))


class Quote(ringbus.Event):
    """Another event."""

    bid: float
    number: int = 0


@ringbus.compiled
def write_wide(event: Any, state: Any) -> None:
    """Read and write each field."""
    if event.name == b"abc":
        state.names += 1
    event.flag = not event.flag
    event.small += 1
    event.ratio = event.ratio * 2
    event.levels[1, 0] = event.levels[0, 1] + 1
    event.data.data[0] = 65 + event.data.length
    event.data.length = 1
    event.at = event.at + NANOSECOND


@ringbus.compiled
def count_rows(event: Any, state: Any) -> None:
    """A table as state."""
    state[event.number % 3, 0] += 1
    state[event.number % 3, 1] = len(state)


@pytest.fixture(params=PRODUCERS)
def ring(request: pytest.FixtureRequest) -> ringbus.RingBuffer[Tick]:
    """A small ring of ticks."""
    return ticks(16, producers=request.param)


# -- what a handler is given ------------------------------------------------------------------------------------------


def test_a_compiled_handler_sees_every_event_in_order(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    group.add("order", in_order, state=sums())
    with group:
        publish(ring, 1000)
    assert (group["order"].state.count, group["order"].state.last) == (1000, 999)
    assert group["order"].state.batches == group["order"].statistics().batches


def test_fields_of_every_family_are_read_and_written() -> None:
    ring = ringbus.RingBuffer(Wide, 8)
    group, seen = ring.consumer_group("group"), list[Wide]()
    group.add("write", write_wide, state={"names": 0})
    group.add("see", seen.append).depends_on("write")
    with group:
        ring.publish(name="abc", ratio=0.5, small=7, levels=[[1, 2], [9, 4]], data=b"xy", at=np.datetime64(9, "ns"))
        ring.publish(name="abcd")
    first, second = seen
    assert group["write"].state.names == 1
    assert (first.flag, first.small, first.ratio, first.data) == (True, 8, 1.0, b"C")
    assert first.levels.tolist() == [[1, 2], [3, 4]]
    assert first.at == np.datetime64(10, "ns")
    assert (second.name, second.levels[1, 0]) == ("abcd", 1.0)


def test_the_state_is_read_while_the_handler_runs(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("sum", add_up, state=sums())
    with group:
        publish(ring, 10)
        group.drain(PATIENCE)
        assert (consumer.state.count, consumer.state["total"]) == (10, 45)
        publish(ring, 1)
    assert consumer.state.count == 11


def test_an_array_that_is_given_as_state_is_worked_on_itself(ring: ringbus.RingBuffer[Tick]) -> None:
    table = np.zeros((3, 2), np.int64)
    group = ring.consumer_group("group")
    group.add("rows", count_rows, state=table)
    with group:
        publish(ring, 7)
    assert group["rows"].state is table
    assert table.tolist() == [[3, 3], [2, 3], [2, 3]]


def test_a_table_of_another_length_needs_no_other_code() -> None:
    ring = ticks()
    compiled = numba.core.event.RecordingListener()
    for length in (3, 5):
        group, table = ring.consumer_group("group"), np.zeros((length, 2), np.int64)
        with numba.core.event.install_listener("numba:compile", compiled):
            group.add(f"rows{length}", count_rows, state=table)
            if length == 3:
                compiled.buffer.clear()
        with group:
            publish(ring, 1)
        assert table[0].tolist() == [1, length]
    assert not compiled.buffer


def test_a_dtype_as_state_begins_as_zeros(ring: ringbus.RingBuffer[Tick]) -> None:
    dtype = np.dtype([("count", "i8"), ("total", "f8")], align=True)
    group = ring.consumer_group("group")
    group.add("sum", add_up, state=dtype)
    with group:
        publish(ring, 4)
    assert group["sum"].state.tolist() == (4, 6.0)


def test_two_consumers_of_one_function_have_a_state_each(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    for name in ("a", "b"):
        group.add(name, add_up, state=sums(), start="latest")
    with group:
        publish(ring, 3)
    assert [group[name].state.count for name in ("a", "b")] == [3, 3]


def test_a_marked_function_stays_an_ordinary_function() -> None:
    state = np.zeros((), [("count", "i8"), ("total", "i8")]).view(np.recarray)[()]
    add_up(Tick(number=5), state)
    assert (state.count, state.total) == (1, 5)


# -- graphs and options -----------------------------------------------------------------------------------------------


def test_compiled_and_python_handlers_follow_each_other(ring: ringbus.RingBuffer[Tick]) -> None:
    @ringbus.compiled
    def square(event: Any) -> None:
        event.square = event.number * event.number

    group, seen = ring.consumer_group("group"), list[int]()
    group.add("square", square)
    group.add("see", lambda tick: seen.append(tick.square)).depends_on("square")
    group.add("sum", add_up, state=sums()).depends_on("see")
    with group:
        publish(ring, 100)
    assert seen == [number**2 for number in range(100)]
    assert group["sum"].state.count == 100


def test_max_batch_bounds_what_is_handled_before_others_go_on(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    group.add("order", in_order, state=sums(), max_batch=4)
    publish(ring, 16)
    assert group.run_once() == 16
    assert group["order"].state.batches == 4
    group.stop()


def test_pads_are_stepped_over_and_end_no_batch() -> None:
    ring = ticks(16)
    group = ring.consumer_group("group")
    group.add("order", in_order, state=sums())
    publish(ring, 3)
    with pytest.raises(KeyError), ring.claim(5):
        raise KeyError
    publish(ring, 2, first=8)
    with pytest.raises(KeyError), ring.claim(2):
        raise KeyError
    assert group.run_once() == 5
    assert group["order"].state.tolist() == (5, 0, 1, 9)
    group.stop()


def test_each_event_type_has_its_own_code() -> None:
    @ringbus.compiled
    def count(event: Any, state: Any) -> None:
        state[event.number] += 1

    ring = ringbus.RingBuffer(Tick | Quote, 16)
    group = ring.consumer_group("group")
    group.add("both", count, state=np.zeros(3, np.int64), kinds=[Tick, Quote])
    group.add("ticks", add_up, state=sums(), kinds=[Tick])
    with group:
        for number in (0, 1, 2, 1):
            ring.publish(Tick, number=number)
            ring.publish(Quote, bid=1.0, number=number)
    assert group["both"].state.tolist() == [2, 4, 2]
    assert (group["ticks"].state.count, group["ticks"].state.total) == (4, 4)


@pytest.mark.parametrize("key", [None, "number"])
def test_workers_share_the_events(ring: ringbus.RingBuffer[Tick], key: str | None) -> None:
    group = ring.consumer_group("group")
    consumer = group.add("share", add_up, state=sums(), workers=3, key=key)
    with group:
        publish(ring, 500)
    counts = [state.count for state in consumer.states]
    assert sum(counts) == 500
    assert sum(state.total for state in consumer.states) == sum(range(500))
    if key:
        assert min(counts) > 0
    with pytest.raises(ringbus.ConfigurationError, match=r"3 workers.*states"):
        _ = consumer.state


def test_a_consumer_that_does_not_gate_is_told_what_it_missed(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    late = group.add("late", in_order, state=sums(), gating=False)
    publish(ring, 100)
    group.run_once()
    assert late.missed > 0
    assert late.missed + late.state.count == 100
    group.stop()


def test_latencies_are_counted_where_the_ring_stamps() -> None:
    ring = ticks(stamp=True)
    group = ring.consumer_group("group")
    group.add("sum", add_up, state=sums())
    with group:
        publish(ring, 50)
    latency = group["sum"].statistics().latency
    assert latency is not None
    assert (latency.count, group["sum"].state.count) == (50, 50)
    assert 0 < latency.min_ns <= latency.p50_ns <= latency.max_ns


def test_compiled_handlers_of_one_thread_groups_are_refused() -> None:
    group = ticks().consumer_group("group", threads=1)
    with pytest.raises(ringbus.ConfigurationError, match=r"'sum' is compiled.*threads=1"):
        group.add("sum", add_up, state=sums())


def test_compiled_handlers_come_and_go_while_events_flow() -> None:
    ring = ticks(16)
    group = ring.consumer_group("group", dynamic=True)
    group.add("first", add_up, state=sums())
    with group, ring.source(fill, numbers()):
        second = group.add("second", in_order, state=sums(), depends_on=("first",))
        while second.state.count < 100:
            time.sleep(0)
        group.remove("second")
        count = second.state.count
        assert second.left
        group["first"].statistics()
        assert second.state.count == count
        while group["first"].state.count < count + 100:
            time.sleep(0)


def test_life_cycle_functions_are_called_on_the_handlers_thread(ring: ringbus.RingBuffer[Tick]) -> None:
    @ringbus.compiled
    def idle(event: Any) -> None:
        event.square = 1

    said, timed_out = list[str](), threading.Event()
    idle.on_start = lambda: said.append(threading.current_thread().name)  # type: ignore[attr-defined] # a function's own
    idle.on_shutdown = lambda: said.append("end")  # type: ignore[attr-defined] # a function's own
    idle.on_timeout = lambda sequence: timed_out.set()  # type: ignore[attr-defined] # a function's own
    group = ring.consumer_group("group")
    group.add("idle", idle, timeout=0.01)
    with group:
        assert timed_out.wait(PATIENCE)
    assert said == ["ringbus-group-idle", "end"]


# -- failures ---------------------------------------------------------------------------------------------------------


def test_an_exception_halts_the_group_and_names_the_sequence(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    group.add("sum", refuse_sevens, state=sums())
    publish(ring, 8)
    with pytest.raises(ringbus.HandlerError, match=r"'sum' failed at sequence 7 with Tick\(number=7") as caught, group:
        group.join(PATIENCE)
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    assert cause.args == ("a seven", 7)
    assert "refuse_sevens" in str(cause.__traceback__ and _last_frame(cause))
    assert group["sum"].state.count == 7


def _last_frame(error: BaseException) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else traceback.tb_frame.f_code.co_name


@pytest.mark.parametrize("workers", [1, 2])
def test_a_policy_that_skips_goes_on_after_the_exception(ring: ringbus.RingBuffer[Tick], workers: int) -> None:
    group = ring.consumer_group("group", on_error="skip")
    consumer = group.add("sum", refuse_sevens, state=sums(), workers=workers)
    with group:
        publish(ring, 100)
    assert sum(state.count for state in consumer.states) == 90
    assert consumer.sequence >= 99 - workers


def test_a_handler_that_returns_nothing_but_a_failure_goes_on_until_then(ring: ringbus.RingBuffer[Tick]) -> None:
    @ringbus.compiled
    def handler(event: Any, state: Any) -> int | None:
        if event.number == 7:
            return 70
        state.count += 1
        return None

    group = ring.consumer_group("group")
    group.add("some", handler, state=sums())
    with pytest.raises(ringbus.HandlerError, match="'some' failed at sequence 7") as caught, group:
        publish(ring, 10)
    assert "70" in str(caught.value.__cause__)
    assert group["some"].state.count == 7


def test_a_number_that_is_not_0_is_a_failure(ring: ringbus.RingBuffer[Tick]) -> None:
    group = ring.consumer_group("group")
    group.add("sum", code_of_sevens, state=sums())
    publish(ring, 8)
    with pytest.raises(ringbus.HandlerError) as caught, group:
        group.join(PATIENCE)
    assert (caught.value.sequence, group["sum"].state.count) == (7, 7)
    assert isinstance(caught.value.__cause__, ringbus.ReturnCodeError)
    assert caught.value.__cause__.code == 7


def test_a_halt_ends_a_handler_that_has_much_to_do() -> None:
    ring = ticks(1024)
    group = ring.consumer_group("group")
    consumer = group.add("slow", spin_for_ever, state=sums())
    publish(ring, 1024)
    group.start()
    while consumer.state.count == 0:
        time.sleep(0)
    group.halt()
    assert 0 < consumer.state.count < 1024


def test_a_thread_of_a_compiled_handler_holds_no_gil() -> None:
    ring = ticks(1024)
    group = ring.consumer_group("group")
    consumer = group.add("slow", spin_for_ever, state=sums())
    publish(ring, 1024)
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1000)  # whoever holds the GIL keeps it
        group.start()
        while consumer.state.count < 3:
            time.sleep(0)
        assert consumer.state.count < 1024
    finally:
        sys.setswitchinterval(before)
        group.halt()


# -- what cannot be compiled ------------------------------------------------------------------------------------------


def test_what_numba_cannot_compile_is_said_at_add_with_the_line() -> None:
    @ringbus.compiled
    def opens(event: Any) -> None:
        event.number = open("file")  # noqa: SIM115, PTH123 (what Numba cannot compile; never run)

    ring = ticks()
    group = ring.consumer_group("group")
    with pytest.raises(ringbus.CompilationError, match="Untyped global name 'open'") as caught:
        group.add("opens", opens)
    error = caught.value
    assert (error.consumer, error.path, error.line) == ("opens", __file__, opens.__code__.co_firstlineno + 2)
    assert error.source.startswith("event.number = open")
    assert isinstance(error.__cause__, numba.core.errors.NumbaError)
    assert len(group) == 0
    assert not ring.statistics().consumers


def test_a_field_that_there_is_not_is_named_with_those_there_are() -> None:
    @ringbus.compiled
    def misspells(event: Any, state: Any) -> None:
        state.count += 1
        state.count += event.numbr

    with pytest.raises(ringbus.CompilationError, match="no field 'numbr'; there are number, square, count") as caught:
        ticks().consumer_group("group").add("misspells", misspells, state={"count": 0})
    assert caught.value.line == misspells.__code__.co_firstlineno + 3


def test_without_numba_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ringbus.machine.loops", None)
    monkeypatch.delattr("ringbus.machine.loops", raising=False)
    with pytest.raises(ringbus.ConfigurationError, match=r"pip install 'ringbus\[compiled\]'"):
        ticks().consumer_group("group").add("sum", add_up, state=sums())


@pytest.mark.parametrize(
    ("handler", "options", "match"),
    [
        (add_up, {}, "takes a state, and was given none"),
        (add_up, {"state": object()}, "the state of 'x' is <object"),
        (add_up, {"state": {}}, "name its fields"),
        (add_up, {"state": np.zeros(4)[::2]}, "not contiguous"),
        (add_up, {"state": np.array([object()])}, "objects of Python"),
        (add_up, {"state": {"a": np.zeros(1, ">i8")}}, "byte order"),
        (add_up, {"state": sums(), "workers": 2, "key": len}, "use a field's name"),
        (add_up, {"state": sums(), "workers": 2, "key": "x"}, "key='x'"),
        (lambda event: None, {"state": sums()}, "is not compiled"),
        (ringbus.compiled(lambda a, b, c, d, e: None), {}, r"a handler is h\(event\[, state"),
        (add_up, {"state": sums(), "cpu": 4096}, "has cpu=4096; this process may run on "),
    ],
)
def test_what_does_not_go_together_is_refused(handler: Any, options: dict[str, Any], match: str) -> None:
    group = ticks().consumer_group("group")
    with pytest.raises(ringbus.ConfigurationError, match=match):
        group.add("x", handler, **options)
    assert len(group) == 0


def test_only_functions_are_compiled() -> None:
    with pytest.raises(ringbus.ConfigurationError, match="decorate a function"):
        ringbus.compiled(object())  # type: ignore[type-var] # refused, as tested
    with pytest.raises(ringbus.ConfigurationError, match="the ring holds objects"):
        ringbus.RingBuffer(factory=list, capacity=4).consumer_group("group").add("sum", add_up, state=sums())


# -- processors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_a_handlers_thread_is_bound_to_its_processor(compiled: bool) -> None:
    allowed = os.sched_getaffinity(0)
    cpu, seen = min(allowed), list[set[int]]()
    ring = ticks()
    group = ring.consumer_group("group")
    if compiled:

        @ringbus.compiled
        def handler(event: Any) -> None:
            event.square = 0

        handler.on_start = lambda: seen.append(os.sched_getaffinity(0))  # type: ignore[attr-defined] # a function's own
        group.add("here", handler, cpu=cpu)
    else:
        group.add("here", lambda tick: seen.append(os.sched_getaffinity(0)), cpu=cpu)
    with group:
        publish(ring, 1)
    assert seen == [{cpu}]
    assert os.sched_getaffinity(0) == allowed
