"""What the program is asked for, and what it answers: the contract of all contestants' programs."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from suite.histogram import Histogram

_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True)
class Options:
    """One measure, as the command line has it.

    Attributes:
        scenario: what is measured.
        contestant: who.
        events: of all producers; round trips in a ping-pong.
        size: bytes of an event.
        capacity: slots of a ring, items of a bounded queue.
        batch: events of a claim.
        wait: "spin", "yield" or "block".
        consumers: how many.
        producers: how many.
        rate: events a second in all, of paced scenarios.
        seconds: how long, after `warmup` seconds.
        warmup: those seconds.
        mode: "one" or "all": who gets an event of the 16+16 run.
    """

    scenario: str
    contestant: str
    events: int = 100_000
    size: int = 64
    capacity: int = 8192
    batch: int = 1
    wait: str = "block"
    consumers: int = 1
    producers: int = 1
    rate: int = 100_000
    seconds: float = 3.0
    warmup: float = 0.5
    mode: str = "one"

    @property
    def words(self) -> int:
        """Words of 8 bytes of an event."""
        return self.size // 8

    @property
    def warm_up(self) -> int:
        """Events of the pass that is not counted: whole claims for each producer."""
        unit = self.producers * self.batch
        return max(min(self.events // 4, 100_000) // unit, 1) * unit


@dataclass(slots=True)
class Answer:
    """What the program prints.

    Attributes:
        seconds: of the timed pass.
        checksum: of all that arrived.
        mean_batch: events a consumer took at a time.
        latency: where the scenario has it.
        sent: events of each producer, where not all were sent.
        windows: the latencies of each quarter.
        events: how many in all; 0 as many as were asked for.
    """

    seconds: float
    checksum: int
    mean_batch: float | None = None
    latency: Histogram | None = None
    sent: list[int] = field(default_factory=list)
    windows: list[Histogram] = field(default_factory=list)
    events: int = 0

    def as_json(self, options: Options) -> str:
        """One line."""
        answer: dict[str, Any] = {
            "contestant": options.contestant,
            "scenario": options.scenario,
            "events": self.events or sum(self.sent) or options.events,
            "seconds": self.seconds,
            "checksum": str(self.checksum % _MODULUS),
            "mean_batch": self.mean_batch,
            "wait": options.wait,
            "latency": {"unit": "ns", "buckets": self.latency.buckets()} if self.latency else None,
            "runtime": f"{platform.python_implementation()} {platform.python_version()}",
        }
        if self.sent:
            answer["sent"] = self.sent
        if self.windows:
            answer["windows"] = [window.buckets() for window in self.windows]
        return json.dumps(answer)


Run = Callable[[Options], Answer]


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant in one scenario.

    Attributes:
        scenario: which.
        contestant: its name.
        run: measures it.
        waits: how it can wait.
        checksum: what it adds up (suite/checksums.py).
        batches: whether it claims several at once.
    """

    scenario: str
    contestant: str
    run: Run
    waits: tuple[str, ...] = ("block",)
    checksum: str = "words"
    batches: bool = False

    def as_data(self) -> dict[str, Any]:
        """For `--list`."""
        return {
            "contestant": self.contestant,
            "scenario": self.scenario,
            "waits": self.waits,
            "checksum": self.checksum,
            "batches": self.batches,
        }


def parse() -> tuple[bool, Options]:
    """Whether the list is wanted, and the options."""
    parser = argparse.ArgumentParser(prog="program.py")
    parser.add_argument("--list", action="store_true")
    for name, kind in _ARGUMENTS.items():
        parser.add_argument(f"--{name}", type=kind)
    found = vars(parser.parse_args())
    wants_list = found.pop("list")
    given = {name: value for name, value in found.items() if value is not None}
    return wants_list, Options(**({"scenario": "", "contestant": ""} | given))


_ARGUMENTS: dict[str, Callable[[str], Any]] = {
    "scenario": str,
    "contestant": str,
    "events": int,
    "size": int,
    "capacity": int,
    "batch": int,
    "wait": str,
    "consumers": int,
    "producers": int,
    "rate": int,
    "seconds": float,
    "warmup": float,
    "mode": str,
}
