"""Compiles `ringbus.h` and the programs of examples/c, compares the header with the library, and runs the programs."""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import ringbus
from support.c_library import CODES, FUNCTIONS, HEADER, LIBRARY, AttachOptions, ConsumerOptions, Info, Slots, Wait
from support.documents import EXAMPLES, ROOT
from support.segments import rings_folder

__all__ = ["rings_folder"]

C = EXAMPLES / "c"
TEXT = HEADER.read_text("utf-8")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
STRUCTURES = {
    "ringbus_wait": Wait,
    "ringbus_attach_options": AttachOptions,
    "ringbus_info": Info,
    "ringbus_slots": Slots,
    "ringbus_consumer_options": ConsumerOptions,
}
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler, cc")
needs_cxx = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler, c++")
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


def run(*command: object, **options: Any) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def compiled(folder: Path, compiler: str, standard: str, name: str, text: str) -> Path:
    """Compile a program with every warning an error, and link it with the library."""
    source, program = folder / name, folder / "program"
    source.write_text(text)
    library = ringbus.get_library()
    run(compiler, f"-std={standard}", *STRICT, f"-I{ringbus.get_include()}", source, "-o", program, library)
    return program


def run_linked(program: Path) -> str:
    return run(program, env={**os.environ, "LD_LIBRARY_PATH": str(Path(ringbus.get_library()).parent)})


# -- the header and the library ---------------------------------------------------------------------------------------


def declared() -> set[str]:
    return set(re.findall(r"^(?!static)[a-z][\w ]*[ *](ringbus_\w+)\(", TEXT, re.MULTILINE))


def defined() -> set[str]:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "crates/ringbus-c/src").glob("*.rs"))
    return set(re.findall(r'no_mangle\)\]\npub (?:unsafe )?extern "C" fn (ringbus_\w+)', sources))


def test_the_header_declares_what_the_library_exports_and_nothing_else() -> None:
    assert declared() == defined() - {"ringbus_lock_table_v1"} == {f"ringbus_{name}" for name in FUNCTIONS}
    assert all(hasattr(LIBRARY, name) for name in defined())


@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm")
def test_the_library_exports_the_interface_alone() -> None:
    table = run("nm", "-D", "--defined-only", ringbus.get_library())
    assert set(re.findall(r" T (\w+)$", table, re.MULTILINE)) == defined()


def test_every_code_of_the_header_has_its_name_in_the_library() -> None:
    codes = {name: value for name, value in CODES.items() if value < 0 or name == "RINGBUS_OK"}
    assert len(codes) == 23
    assert {name: LIBRARY.ringbus_code_name(value).decode() for name, value in codes.items()} == {n: n for n in codes}
    others = set(range(-40, 20)) - set(codes.values())
    assert {LIBRARY.ringbus_code_name(value) for value in others} == {b"unknown"}


def test_the_versions_are_those_of_the_header() -> None:
    (version,) = re.findall(r"^#define RINGBUS_ABI_VERSION (\d+)$", TEXT, re.MULTILINE)
    assert LIBRARY.ringbus_abi_version() == int(version) == 1


LAYOUT = "\n".join(
    [
        '#include <stdio.h>\n#include "ringbus.h"\nint main(void) {',
        *(f'printf("{name} %zu\\n", sizeof({name}));' for name in STRUCTURES),
        *(
            f'printf("{name}.{field[0]} %zu\\n", offsetof({name}, {field[0]}));'
            for name, structure in STRUCTURES.items()
            for field in structure._fields_
        ),
        *(f'printf("{name} %d\\n", {name});' for name in CODES),
        "return 0; }",
    ]
)


def expected_layout() -> set[str]:
    sizes = {f"{name} {ctypes.sizeof(structure)}" for name, structure in STRUCTURES.items()}
    fields = {
        f"{name}.{field[0]} {getattr(structure, field[0]).offset}"
        for name, structure in STRUCTURES.items()
        for field in structure._fields_
    }
    return sizes | fields | {f"{name} {value}" for name, value in CODES.items()}


@needs_cc
@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_the_header_is_strict_c_and_its_structures_are_those_of_the_tests(tmp_path: Path, standard: str) -> None:
    program = compiled(tmp_path, "cc", standard, "layout.c", LAYOUT)
    assert set(run_linked(program).splitlines()) == expected_layout()


@needs_cxx
@pytest.mark.parametrize("standard", ["c++11", "c++17"])
def test_the_header_is_strict_cpp(tmp_path: Path, standard: str) -> None:
    program = compiled(tmp_path, "c++", standard, "layout.cpp", LAYOUT)
    assert set(run_linked(program).splitlines()) == expected_layout()


@needs_cc
def test_the_inline_functions_find_slots_stamps_and_types(tmp_path: Path) -> None:
    text = """
    #include <assert.h>
    #include "ringbus.h"
    int main(void) {
        unsigned char memory[4 * 32];
        ringbus_slots slots = {memory, 3, 32, 16, 0, 8}, plain = {memory, 3, 32, 16, -1, -1};
        int64_t stamp = 77;
        memset(memory, 1, sizeof memory);
        assert(ringbus_slot(&slots, 6) == memory + 64 && ringbus_event(&slots, 6) == (void *)(memory + 80));
        memcpy(ringbus_slot(&slots, 6), &stamp, sizeof stamp);
        ringbus_set_event_type(&slots, 6, 515);
        ringbus_clear_event(&slots, 6);
        assert(memory[79] == 1 && memory[80] == 0 && memory[95] == 0 && memory[96] == 1);
        assert(ringbus_published_ns(&slots, ringbus_slot(&slots, 6)) == 77);
        assert(ringbus_event_type(&slots, ringbus_slot(&slots, 6)) == 515);
        assert(ringbus_published_ns(&plain, memory) == 0 && ringbus_event_type(&plain, memory) == 0);
        assert(ringbus_default_attach_options().size == sizeof(ringbus_attach_options));
        assert(ringbus_default_consumer_options().size == sizeof(ringbus_consumer_options));
        return 0;
    }
    """
    run_linked(compiled(tmp_path, "cc", "c99", "inline.c", text))


# -- the programs -----------------------------------------------------------------------------------------------------


class Trade(ringbus.Event):
    """As `struct trade`."""

    symbol: str = ringbus.text(8)
    price: float
    quantity: int


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("programs")
    flags = " ".join(("-O2", "-std=c99", *STRICT))
    run("make", "-C", C, f"PYTHON={sys.executable}", f"OUT={out}", f"CFLAGS={flags}")
    return out


@needs_cc
@needs_make
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_program_in_c_sums_what_python_publishes(programs: Path, rings_folder: Path, kind: str) -> None:
    ring = ringbus.RingBuffer(Trade, 64, name="trades", producers=kind)
    with subprocess.Popen([programs / "sum", "trades"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        producer = ring.producer(timeout=10)
        for number in range(1000):
            producer.publish(symbol="BTC-USD", price=float(number), quantity=2)
        producer.publish(symbol="", price=0.0, quantity=0)
        assert process.stdout.read() == "1000 trades, 999000.00 in all\n"
    assert process.returncode == 0
    assert ring.statistics().consumers == {}


@needs_cc
@needs_make
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_program_in_c_feeds_a_consumer_in_python(programs: Path, rings_folder: Path, kind: str) -> None:
    ring = ringbus.RingBuffer(Trade, 64, name="trades", producers=kind)
    with ring.poller("python") as poller, subprocess.Popen([programs / "feed", "trades", "1000"]) as process:
        trades = []
        while not trades or trades[-1].quantity:
            trades += poller.take(100, 10)
        assert process.wait(10) == 0
    assert [trade.price for trade in trades] == [float(number) for number in range(1001)]
    assert {trade.symbol for trade in trades} == {"BTC-USD"}


@needs_cc
@needs_make
def test_two_programs_in_c_meet_on_a_ring_that_python_made(programs: Path, rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Trade, 64, name="trades")
    with subprocess.Popen([programs / "sum", "trades"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        run(programs / "feed", "trades", "5000", timeout=20)
        assert process.stdout.read() == "5000 trades, 24995000.00 in all\n"
    assert ring.cursor == 5000


@needs_cc
@needs_make
def test_a_program_in_c_says_why_it_cannot(programs: Path, rings_folder: Path) -> None:
    done = subprocess.run([programs / "feed", "trades", "1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"attach: there is no ring .*trades; make it first, .*\n", done.stderr)


@pytest.mark.skipif(shutil.which("rustc") is None, reason="there is no Rust compiler, rustc")
def test_a_program_in_rust_joins_by_the_c_interface(tmp_path: Path, rings_folder: Path) -> None:
    folder = Path(ringbus.get_library()).parent
    program, rpath = tmp_path / "watch", f"link-arg=-Wl,-rpath,{folder}"
    run(
        "rustc",
        "--edition=2024",
        "-Dwarnings",
        EXAMPLES / "rust" / "watch.rs",
        "-L",
        folder,
        "-C",
        rpath,
        "-o",
        program,
    )
    ring = ringbus.RingBuffer(Trade, 64, name="trades")
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        ring.publish(symbol="BTC-USD", price=1.5, quantity=2)
        ring.publish(symbol="end", price=0.0, quantity=0)
        lines = [line.replace("\0", "") for line in process.stdout]
    assert (process.returncode, lines) == (0, ["BTC-USD 1.5 2\n", "end 0 0\n"])


@needs_cc
def test_an_extension_in_cython_shares_its_process_with_python(
    tmp_path: Path, rings_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("Cython", reason="Cython is not installed")
    source, library = tmp_path / "total.c", Path(ringbus.get_library())
    run(sys.executable, "-m", "cython", "-3", EXAMPLES / "cython" / "total.pyx", "-o", source)
    includes = (f"-I{ringbus.get_include()}", f"-I{sysconfig.get_path('include')}")
    extension = tmp_path / f"total{sysconfig.get_config_var('EXT_SUFFIX')}"
    run("cc", "-shared", "-fPIC", *includes, source, "-o", extension, library, f"-Wl,-rpath,{library.parent}")
    monkeypatch.syspath_prepend(tmp_path)
    total = importlib.import_module("total").Total
    ring = ringbus.RingBuffer(Trade, 64, name="trades")
    consumer = total(b"trades")
    for number in range(10):
        ring.publish(symbol="BTC-USD", price=float(number), quantity=2)
    assert (consumer.take(-1), consumer.total) == (10, 90.0)
    with pytest.raises(RuntimeError, match="a consumer named"):
        total(b"trades")
    consumer.close()
    assert ring.statistics().consumers == {}


# -- costs ------------------------------------------------------------------------------------------------------------

COUNTING = """
#include <stdio.h>
#include <stdlib.h>
#include "ringbus.h"

void *__libc_malloc(size_t bytes);
static long allocations;
void *malloc(size_t bytes) { allocations++; return __libc_malloc(bytes); }

int main(void) {
    ringbus_ring *ring;
    ringbus_producer *producer;
    ringbus_consumer *consumer;
    int64_t first = 0, high, turn, sum = 0;
    ringbus_slots slots;
    long before;
    if (ringbus_attach("trades", NULL, &ring) < 0 || ringbus_get_slots(ring, &slots) < 0) return 1;
    if (ringbus_producer_open(ring, NULL, &producer) < 0 || ringbus_join(ring, "c", NULL, &consumer) < 0) return 2;
    free(malloc(8));
    before = allocations;
    for (turn = 0; turn < 10000; turn++) {
        while ((high = ringbus_try_claim(producer, 3)) >= 0) {
            memset(ringbus_event(&slots, high), 1, 8);
            if (ringbus_publish(producer, high - 2, high) < 0) return 3;
        }
        if (high != RINGBUS_FULL) return 4;
        while (ringbus_poll(consumer, 7, &first) > 0) {
            sum += *(const unsigned char *)ringbus_event(&slots, first);
            if (ringbus_commit(consumer, first) < 0) return 5;
        }
    }
    printf("%d %ld %d\\n", before > 0, allocations - before, sum > 0);
    return 0;
}
"""


@needs_cc
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_nothing_is_allocated_between_claim_and_commit(tmp_path: Path, rings_folder: Path, kind: str) -> None:
    ring = ringbus.RingBuffer(Trade, 64, name="trades", producers=kind)
    assert run_linked(compiled(tmp_path, "cc", "c11", "counting.c", COUNTING)) == "1 0 1\n"
    assert ring.cursor > 10_000
