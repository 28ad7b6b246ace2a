"""C functions as handlers and sources: how they are found, what they are given, and wrong ones."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ringbus
from ringbus.machine import foreign
from support.events import PATIENCE
from support.machine import publish, ticks

COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler (cc)")

SOURCE = """
#include <stdint.h>

typedef struct { int64_t number, square; } tick;

int on_event(void *event, int64_t sequence, int end_of_batch, void *state) {
    int64_t *sums = state;
    tick *t = event;
    if (t->number == 7) return 42;
    t->square = t->number * t->number;
    sums[0] += 1; sums[1] += t->number; sums[2] += end_of_batch; sums[3] = sequence;
    return 0;
}

int on_batch(void *events, int64_t count, int64_t stride, int64_t first, void *state) {
    int64_t *sums = state;
    for (int64_t i = 0; i < count; i++) {
        tick *t = (tick *)((char *)events + i * stride);
        if (t->number == 7) return -3;
        sums[0] += 1; sums[1] += t->number; sums[3] = first + i;
    }
    sums[2] += 1;
    return 0;
}

int fill(void *event, int64_t sequence, void *state) {
    int64_t *next = state;
    tick *t = event;
    if (*next == 20) return 0;
    if (*next == 30) return -9;
    t->number = (*next)++;
    t->square = sequence;
    return 1;
}
"""

SIGNATURES = {"on_event": "event", "on_batch": "batch", "fill": "fill"}
EVENT = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_void_p]
BATCH = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
FILL = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
ARGUMENTS: dict[str, list[Any]] = {"on_event": EVENT, "on_batch": BATCH, "fill": FILL}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The functions above, built."""
    folder = tmp_path_factory.mktemp("machine")
    source, built = folder / "handlers.c", folder / "handlers.so"
    source.write_text(SOURCE)
    assert COMPILER is not None
    subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", str(built), str(source)], check=True, timeout=60)
    return ctypes.CDLL(str(built))


def by_ctypes(library: ctypes.CDLL, name: str) -> Any:
    function = library[name]
    function.argtypes, function.restype = ARGUMENTS[name], ctypes.c_int
    return function


def by_cffi(library: ctypes.CDLL, name: str) -> Any:
    ffi = pytest.importorskip("cffi").FFI()
    signature = foreign.SIGNATURES[SIGNATURES[name]].replace("(", "(*)(", 1)
    return ffi.cast(signature, ctypes.cast(library[name], ctypes.c_void_p).value)


def by_capsule(library: ctypes.CDLL, name: str) -> Any:
    signature = foreign.SIGNATURES[SIGNATURES[name]].encode()
    KEPT.append(signature)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return make(("PyCapsule_New", ctypes.pythonapi))(ctypes.cast(library[name], ctypes.c_void_p), signature, None)


def by_scipy(library: ctypes.CDLL, name: str) -> Any:
    return pytest.importorskip("scipy").LowLevelCallable(by_ctypes(library, name))


KEPT: list[bytes] = []
WAYS = pytest.mark.parametrize("find", [by_ctypes, by_cffi, by_capsule, by_scipy])
Find = Callable[[ctypes.CDLL, str], Any]


@WAYS
@pytest.mark.parametrize("form", ["on_event", "on_batch"])
def test_a_c_function_handles_events(library: ctypes.CDLL, find: Find, form: str) -> None:
    ring, sums = ticks(16), np.zeros(4, np.int64)
    group = ring.consumer_group("group")
    consumer = group.add("c", find(library, form), state=sums)
    with group:
        publish(ring, 5)
        publish(ring, 10, first=10)
    assert sums[:2].tolist() == [15, 10 + sum(range(10, 20))]
    assert sums[3] == 14
    assert 1 <= sums[2] <= consumer.statistics().batches + 1
    assert consumer.state is sums


@WAYS
def test_a_c_function_is_a_source(library: ctypes.CDLL, find: Find) -> None:
    ring, count = ticks(16), np.zeros(1, np.int64)
    group, seen = ring.consumer_group("group"), list[tuple[int, int]]()
    group.add("see", lambda tick: seen.append((tick.number, tick.square)))
    with group, ring.source(find(library, "fill"), count, batch=4) as source:
        assert source.join(PATIENCE)
    assert seen == [(number, number) for number in range(20)]


@pytest.mark.parametrize(("form", "sequence", "code"), [("on_event", 7, 42), ("on_batch", 0, -3)])
def test_a_code_that_is_not_0_is_a_failure(library: ctypes.CDLL, form: str, sequence: int, code: int) -> None:
    ring = ticks(16)
    group = ring.consumer_group("group")
    group.add("c", by_ctypes(library, form), state=np.zeros(4, np.int64))
    publish(ring, 8)
    with pytest.raises(ringbus.HandlerError) as caught:
        group.run_once()
    assert caught.value.sequence == sequence
    assert isinstance(caught.value.__cause__, ringbus.ReturnCodeError)
    assert caught.value.__cause__.code == code


def test_a_negative_code_of_a_source_is_a_failure(library: ctypes.CDLL) -> None:
    source = ticks().source(by_ctypes(library, "fill"), np.array([30])).start()
    with pytest.raises(ringbus.SourceError) as caught:
        source.join(PATIENCE)
    assert isinstance(caught.value.__cause__, ringbus.ReturnCodeError)
    assert (caught.value.sequence, caught.value.__cause__.code) == (0, -9)


def test_the_user_data_of_a_low_level_callable_is_its_state(library: ctypes.CDLL) -> None:
    scipy, sums, ring = pytest.importorskip("scipy"), np.zeros(4, np.int64), ticks()
    data = ctypes.cast(sums.ctypes.data, ctypes.c_void_p)
    group = ring.consumer_group("group")
    group.add("c", scipy.LowLevelCallable(by_ctypes(library, "on_event"), data))
    publish(ring, 3)
    group.run_once()
    group.stop()
    assert sums[0] == 3


def test_a_callback_of_ctypes_is_a_c_function() -> None:
    seen, ring = list[int](), ticks()
    callback = ctypes.CFUNCTYPE(ctypes.c_int, *EVENT)(lambda event, sequence, end, state: seen.append(sequence) or 0)
    group = ring.consumer_group("group")
    group.add("c", callback)
    with group:
        publish(ring, 3)
    assert seen == [0, 1, 2]


def test_a_wrong_signature_is_named_with_the_right_one(library: ctypes.CDLL) -> None:
    wrong = library.on_event
    wrong.argtypes, wrong.restype = [ctypes.c_void_p, ctypes.c_double], ctypes.c_int
    group = ticks().consumer_group("group")
    with pytest.raises(ringbus.ConfigurationError) as caught:
        group.add("c", wrong)
    assert "int (void *, double)" in str(caught.value)
    assert foreign.SIGNATURES["event"] in str(caught.value)
    assert foreign.SIGNATURES["batch"] in str(caught.value)
    with pytest.raises(ringbus.ConfigurationError, match=r"it has to be 'int .void ., int64_t, void ..'"):
        ticks().source(by_ctypes(library, "on_batch"))


def test_a_function_without_types_says_what_to_set(library: ctypes.CDLL) -> None:
    untyped = ctypes.CDLL(library._name).on_event
    with pytest.raises(ringbus.ConfigurationError, match="without argtypes; set its argtypes and restype"):
        ticks().consumer_group("group").add("c", untyped)


def test_a_capsule_without_a_name_says_how_to_name_it(library: ctypes.CDLL) -> None:
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    capsule = make(("PyCapsule_New", ctypes.pythonapi))(ctypes.cast(library.fill, ctypes.c_void_p), None, None)
    with pytest.raises(ringbus.ConfigurationError, match="a capsule without a name; name the capsule"):
        ticks().consumer_group("group").add("c", capsule)


@pytest.mark.parametrize(
    "written",
    [
        "int (void *, int64_t, int, void *)",
        "int(void*,int64_t,int,void*)",
        "int (void *event, long sequence, int end_of_batch, const void *state)",
        "int32_t (*)(char *, long long, int, struct sums *)",
        "int (*handler)(void *, Py_ssize_t, int32_t, double *)",
    ],
)
def test_a_signature_may_be_written_in_many_ways(written: str) -> None:
    assert foreign._canonical(written) == foreign._canonical(foreign.SIGNATURES["event"])


@pytest.mark.parametrize("written", ["void (void *, int64_t, int, void *)", "int (void *, int, int, void *)", "int ()"])
def test_another_signature_is_another(written: str) -> None:
    assert foreign._canonical(written) != foreign._canonical(foreign.SIGNATURES["event"])


# -- workers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("producers", ["single", "multi"])
def test_all_workers_work_at_the_same_time(producers: Any) -> None:
    together, ring = threading.Barrier(4), ticks(16, producers=producers)

    def meet(event: Any, sequence: int, end: int, state: Any) -> int:
        together.wait(PATIENCE)
        return 0

    group = ring.consumer_group("group")
    group.add("c", ctypes.CFUNCTYPE(ctypes.c_int, *EVENT)(meet), workers=4)
    with group:
        publish(ring, 12)


def test_whoever_is_free_takes_the_next_while_another_is_held_up() -> None:
    """After events that were quick, too: then nobody is woken before one is handled."""
    ring, held, rest = ticks(64), threading.Event(), threading.Event()

    def handle(event: Any, sequence: int, end: int, state: Any) -> int:
        if sequence == 1000:
            held.set()
            rest.wait(PATIENCE)
        if sequence == 1003:
            rest.set()
        return 0

    group = ring.consumer_group("group")
    group.add("c", ctypes.CFUNCTYPE(ctypes.c_int, *EVENT)(handle), workers=3)
    with group:
        publish(ring, 1001)
        assert held.wait(PATIENCE)
        publish(ring, 3)
        assert rest.wait(PATIENCE)


def test_workers_that_rest_hold_up_neither_the_producer_nor_who_follows() -> None:
    ring, seen = ticks(1), []
    group = ring.consumer_group("group")
    consumer = group.add("c", ctypes.CFUNCTYPE(ctypes.c_int, *EVENT)(lambda *_: 0), workers=4)
    group.add("after", lambda tick: seen.append(tick.number)).depends_on("c")
    with group:
        for number in range(200):
            ring.publish(number=number)
            group.drain(PATIENCE)
            assert seen[-1] == number
    assert consumer.statistics().events == 200
    assert consumer.sequence == 199


@pytest.mark.parametrize("wait", ["busy_spin", "yielding", "sleeping", "blocking", "phased_backoff"])
def test_workers_that_rest_are_halted_with_the_one_that_waits(wait: Any) -> None:
    ring = ticks(64)
    group = ring.consumer_group("group")
    group.add("c", ctypes.CFUNCTYPE(ctypes.c_int, *EVENT)(lambda *_: 0), workers=8, wait=wait)
    group.start()
    publish(ring, 100)
    group.drain(PATIENCE)
    group.halt()
    group.join(PATIENCE)
    assert group.state == "stopped"


def test_a_worker_takes_no_more_than_its_batch_in_one_step(library: ctypes.CDLL) -> None:
    ring, sums = ticks(64), np.zeros(4, np.int64)
    group = ring.consumer_group("group")
    consumer = group.add("c", by_ctypes(library, "on_event"), state=sums, workers=2, max_batch=3)
    publish(ring, 50, first=10)
    worker = consumer.runners[0]
    steps = list(iter(worker.step, 0))
    assert sum(steps) == 50
    assert max(steps) <= 3
