"""What is measured: each scenario apart from who takes part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Unit = Literal["throughput", "latency"]
Wait = Literal["spin", "yield", "block"]

SPIN: tuple[Wait, ...] = ("spin", "yield", "block")
"""Where there is a core for each: the quickest that a contestant has."""
YIELD: tuple[Wait, ...] = ("yield", "block")
"""Where more take part than there are cores."""
SLEEP: tuple[Wait, ...] = ("block", "yield")
"""Where both sides should cost nothing while idle; who cannot sleep yields."""

KIB = 1024


@dataclass(frozen=True, slots=True)
class Scenario:
    """One table.

    Attributes:
        id: its name in the record and for `--only`.
        title: its heading.
        note: what a reader has to know.
        program: the contestants' word for it (`--scenario`).
        takes_part: threads or processes at once.
        unit: "throughput" (ns an event) or "latency".
        size: bytes of an event.
        batch: events of a claim.
        capacity: slots.
        waits: how its sides wait, in the order of preference.
        producers: how many.
        consumers: how many.
        copies: consumers that see every event.
        mode: "one" or "all": who gets an event of the 16+16 run.
        rate: events a second in all; None goes as fast as it can.
        seconds: how long events are sent at `rate`, after `warmup` seconds that are not counted.
        warmup: those seconds.
        runs: processes of each side; None as many as the run has.
        pilot: events of the first run, which only says how many the others shall have.
        most: the most events of a run.
        sides: how those that take part begin, by name or by language and name; empty for all that have it.
        curve: the plot that this scenario is a point of, with its place on the axis.
        in_table: whether it has a table of its own.
        in_quick: whether a quick run has it.
    """

    id: str
    title: str
    program: str
    takes_part: int
    note: str = "64 bytes an event; the producer writes all words, the consumers add them up"
    unit: Unit = "throughput"
    size: int = 64
    batch: int = 1
    capacity: int = 64 * KIB
    waits: tuple[Wait, ...] = SPIN
    producers: int = 1
    consumers: int = 1
    copies: int = 1
    mode: Literal["one", "all"] = "one"
    rate: int | None = None
    seconds: float = 0.0
    warmup: float = 0.0
    runs: int | None = None
    pilot: int = 1_000_000
    most: int = 20_000_000
    sides: tuple[str, ...] = ()
    curve: tuple[str, int] | None = None
    in_table: bool = True
    in_quick: bool = True

    @property
    def words(self) -> int:
        """Words of 8 bytes of an event."""
        return self.size // 8


_FIELDS = "an event has 4 fields: a symbol of 16 bytes, a whole number, two floats; the handler reads two of them"
_ROWS = "events of 64 bytes in blocks of 1,024; one column of them is summed"
_COLUMNS = "an event holds 8 whole columns of 1,024 values (64 KiB); one column is summed; counted by rows"
_MINUTES = 120.0
"""Seconds of the 16+16 run, after `_WARMUP`."""
_WARMUP = 30.0


def machine_code() -> list[Scenario]:
    """What every language has: events of 64 bytes, each of whose words is written and read."""
    one = Scenario("1p1c", "1 producer, 1 consumer, single claims", "1p1c", 2)
    more = replace(one, waits=YIELD, most=8_000_000)
    bounce = "the round trip of one event, through two rings or channels"
    return [
        replace(one, id="harness", program="harness", takes_part=1, title="The harness itself: fill and add, no ring"),
        one,
        replace(one, id="1p1c-batch", title="1 producer, 1 consumer, claims of 64", batch=64),
        _of(more, "1p2c", "1 producer, 2 consumers that each see all", 3, consumers=2, copies=2),
        _of(more, "2p1c", "2 producers, 1 consumer", 3, producers=2),
        _of(more, "3p1c", "3 producers, 1 consumer", 4, producers=3, in_quick=False),
        _of(more, "pipeline3", "A pipeline of 3", 4, consumers=3),
        _of(more, "diamond3", "A diamond of 3", 4, consumers=3),
        replace(
            _of(one, "pingpong", "Ping-pong between threads", 2, capacity=KIB, pilot=2_000, most=1_000_000),
            unit="latency",
            note=bounce,
        ),
    ]


def python() -> list[Scenario]:
    """What Python code sends from one process to another."""
    fields = Scenario("", "", "", 2, _FIELDS, capacity=8 * KIB, waits=SLEEP, pilot=20_000, most=2_000_000)
    rows = replace(fields, note=_ROWS, batch=KIB, pilot=200 * KIB, most=20_000 * KIB)
    four = replace(fields, consumers=4, copies=4, most=500_000, in_quick=False)
    dicts = replace(fields, note="a dict of the 4 fields", sides=("ringbus", "harness", "multi", "pyzmq", "cloudtoid"))
    bounce = replace(
        fields, unit="latency", note="the round trip of one event", capacity=KIB, pilot=1_000, most=100_000
    )
    spin = replace(bounce, waits=("spin",))
    return [
        _of(fields, "threads-fields", "Python threads, an event each", 2),
        _of(fields, "processes-fields", "2 processes, an event each", 2),
        _of(dicts, "processes-dict", "2 processes, a dict each", 2, in_quick=False),
        _of(replace(fields, note="from `bytes` to `bytes`"), "processes-bytes", "2 processes, 64 bytes each", 2),
        _of(rows, "processes-rows", "2 processes, NumPy rows", 2),
        _of(replace(rows, note=_COLUMNS), "processes-columns", "2 processes, NumPy columns", 2, in_quick=False),
        _of(four, "processes-fan4", "1 process to 4 that each see all", 5),
        _of(spin, "pingpong-spin", "Ping-pong between processes, spinning", 2),
        _of(bounce, "pingpong-block", "Ping-pong between processes, blocking", 2),
    ]


def paced() -> list[Scenario]:
    """Events at a given rate; latencies from the time each was due, so that a stall counts for all it delays."""
    one = Scenario(
        "paced", "100,000 events a second, one to one", "paced", 2, unit="latency", rate=100_000, seconds=2.0,
        warmup=0.5, size=128, capacity=8 * KIB, waits=SLEEP,
        note="latency from the time an event was due; the sender sleeps until then",
    )  # fmt: skip
    run = replace(
        one, program="16x16", takes_part=32, producers=16, consumers=16, seconds=_MINUTES, warmup=_WARMUP, runs=1,
        sides=("ringbus", "channel", "queue.Queue", "multiprocessing.Queue"),
        note="latency from the time an event was due; one process a side, its quarters are the spread",
    )  # fmt: skip
    return [
        one,
        replace(run, id="16x16-one", title="16 producers, 16 consumers, each event to one of them"),
        replace(
            run,
            id="16x16-all",
            title="16 producers, 16 consumers, each event to all",
            mode="all",
            copies=16,
            in_quick=False,
        ),
    ]


def curves() -> list[Scenario]:
    """How the cost of an event depends on the ring, the event and the consumers."""
    one = Scenario(
        "", "", "1p1c", 2, most=8_000_000, in_table=False, runs=3, in_quick=False,
        sides=("raw", "ringbus compiled", "java disruptor"),
    )  # fmt: skip
    many = replace(one, program="1pnc", waits=YIELD)
    return [
        *(_point(one, "ring", 1 << bits, capacity=1 << bits) for bits in range(10, 21, 2)),
        *(_point(one, "event", size, size=size, capacity=4 * KIB) for size in (16, 32, 64, 128, 256, 512, 1024)),
        *(
            _point(many, "consumers", count, takes_part=count + 1, consumers=count, copies=count)
            for count in (1, 2, 3, 4)
        ),
    ]  # fmt: skip


def every() -> list[Scenario]:
    """All of them, in the order of the page."""
    return [*machine_code(), *python(), *paced(), *curves()]


def _of(like: Scenario, name: str, title: str, takes_part: int, **changes: Any) -> Scenario:
    return replace(like, id=name, program=name, title=title, takes_part=takes_part, **changes)


def _point(like: Scenario, curve: str, value: int, **changes: Any) -> Scenario:
    return replace(like, id=f"{curve}-{value}", title=f"{curve} of {value:,}", curve=(curve, value), **changes)
