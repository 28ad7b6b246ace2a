"""One measure: a process, what it prints, and whether that is right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

from suite import checksums
from suite.contestants import Contestant
from suite.histogram import Histogram
from suite.scenarios import Scenario

TIMEOUT = 30.0
"""Seconds for a process, beside 2 for each thread or process that it starts and the time of its scenario."""

_HAS_NOT = 3
"""The exit code of a program that has not what it was asked for."""

_IN_TIME = 0.999
"""The share of the events that a side has to send before the time is over: what is due at its very end may be late."""

Status = Literal["ok", "skipped", "WRONG", "failed", "timed out"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one process.

    Attributes:
        status: "ok", or why there is no figure.
        word: about it.
        events: of all producers.
        seconds: of the timed pass.
        mean_batch: events that a consumer took at a time, where the contestant says.
        runtime: what it runs on.
        latency: where the scenario has one.
        windows: the latencies of each quarter of a long run.
    """

    status: Status
    word: str = ""
    events: int = 0
    seconds: float = 0.0
    mean_batch: float | None = None
    runtime: str = ""
    latency: Histogram | None = None
    windows: list[Histogram] = field(default_factory=list)

    @property
    def ns(self) -> float:
        """The time of one event."""
        return self.seconds * 1e9 / self.events


@dataclass(frozen=True, slots=True)
class Measure:
    """What a process is asked for."""

    scenario: Scenario
    contestant: Contestant
    wait: str
    events: int

    def command(self) -> list[str]:
        """The command line, as the contract of the programs has it."""
        scenario = self.scenario
        options: dict[str, object] = {
            "scenario": scenario.program,
            "contestant": self.contestant.name,
            "events": self.events,
            "size": scenario.size,
            "capacity": scenario.capacity,
            "batch": scenario.batch,
            "wait": self.wait,
            "consumers": scenario.consumers,
            "producers": scenario.producers,
        }
        if scenario.rate is not None:
            options |= {
                "rate": scenario.rate,
                "seconds": f"{scenario.seconds:g}",
                "warmup": f"{scenario.warmup:g}",
                "mode": scenario.mode,
            }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [*self.contestant.program, *words]

    def run(self) -> Outcome:
        """Start the process, wait for it, and check what it says."""
        scenario = self.scenario
        limit = TIMEOUT + 2 * scenario.takes_part + 1.25 * (scenario.seconds + scenario.warmup)
        try:
            code, out, err = _finished(self.command(), limit)
        except subprocess.TimeoutExpired:
            return Outcome("timed out", f"no answer within {limit:.0f} s")
        if code == _HAS_NOT:
            return Outcome("skipped", _last_line(err))
        if code != 0:
            return Outcome("failed", f"exit code {code}: {_last_line(err)}")
        try:
            return self.judge(json.loads(out))
        except (ValueError, KeyError, TypeError) as error:
            return Outcome("failed", f"its answer cannot be read: {error!r}")

    def judge(self, answer: dict[str, Any]) -> Outcome:
        """Compare the checksum with the one of what was sent."""
        scenario = self.scenario
        sent = answer.get("sent") or checksums.shares(answer["events"], scenario.producers)
        wanted = checksums.expected(self.contestant.checksum, scenario, sent)
        if scenario.rate is None and sum(sent) != self.events:
            return Outcome("WRONG", f"{sum(sent):,} events, and {self.events:,} were asked for")
        if str(answer["checksum"]) != wanted:
            return Outcome("WRONG", f"the checksum is {answer['checksum']}, and should be {wanted}")
        latency = answer.get("latency")
        if latency and not latency["buckets"]:
            return Outcome("failed", f"no event of the measured time arrived; {self._behind(sum(sent))}")
        return Outcome(
            "ok",
            word=self._behind(sum(sent)),
            events=sum(sent),
            seconds=float(answer["seconds"]),
            mean_batch=answer.get("mean_batch"),
            runtime=answer.get("runtime") or "",
            latency=Histogram().add(latency["buckets"]) if latency else None,
            windows=[Histogram().add(window) for window in answer.get("windows") or ()],
        )

    def _behind(self, sent: int) -> str:
        if sent >= self.events * _IN_TIME:
            return ""
        return f"did not keep up: {sent / self.events:.0%} of the events were sent in time"


def _finished(command: list[str], limit: float) -> tuple[int, str, str]:
    """Run a program in a process group of its own, so that a late one goes with all that it started."""
    with TemporaryFile() as out, TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True, cwd=Path(__file__).parent)
        try:
            code = process.wait(limit)
        finally:
            _end(process.pid)
            process.wait()
        return code, _text(out), _text(err)


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode("utf-8", "replace"))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip()[:200] if lines else "it says nothing"
