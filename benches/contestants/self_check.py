"""Checks the checksums of a benchmark program, small rings included: `self_check.py PROGRAM`.

Expects what benches/contestants/README.md says: word i of event n is n + i, and the consumers add all words up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

EVENTS = 12_000
RATE = 20_000
SECONDS = 0.3
SHAPES = ((64, 8192, 1), (128, 4096, 16), (64, 1024, 1))
"""Bytes of an event, slots, events of a claim. The last is for those who give their core away when they wait."""
TWO_THREADS = frozenset({"harness", "1p1c", "pingpong"})
"""Who spins needs a core."""
COPIES = {"1p2c": 2, "1pnc": 3}
"""Consumers that each see every event."""
TIMED = frozenset({"pingpong", "paced", "16x16"})
PACED = frozenset({"paced", "16x16"})


def main(program: str) -> int:
    """Run each scenario of each contestant, and say what is wrong."""
    checked, wrong = 0, 0
    for entry in json.loads(_output([program, "--list"])):
        for arguments, copies in _runs(entry):
            checked += 1
            fault = _fault([program, *arguments], arguments, copies)
            if fault is not None:
                wrong += 1
                print(f"WRONG {' '.join(arguments)}: {fault}", file=sys.stderr)
    print(f"  {checked} runs checked, {wrong} wrong")
    return 1 if wrong or not checked else 0


def _runs(entry: dict[str, Any]) -> Iterator[tuple[list[str], int]]:
    """The arguments of each run of one contestant and scenario, and how many consumers see each event."""
    scenario = entry["scenario"]
    for wait in entry["waits"]:
        if wait == "spin" and scenario not in TWO_THREADS:
            continue
        base = ["--scenario", scenario, "--contestant", entry["contestant"], "--wait", wait]
        if scenario in PACED:
            yield from _paced_runs(base, scenario)
            continue
        for size, capacity, batch in SHAPES[:2] if wait == "spin" else SHAPES:
            if batch > 1 and not entry["batches"]:
                continue
            shape = ["--events", str(EVENTS), "--size", str(size), "--capacity", str(capacity), "--batch", str(batch)]
            copies = COPIES.get(scenario, 1)
            yield [*base, *shape, "--consumers", str(copies)], copies


def _paced_runs(base: list[str], scenario: str) -> Iterator[tuple[list[str], int]]:
    pace = ["--rate", str(RATE), "--seconds", str(SECONDS), "--warmup", "0.1", "--size", "128", "--capacity", "1024"]
    if scenario == "paced":
        yield [*base, *pace, "--producers", "1", "--consumers", "1", "--mode", "one"], 1
        return
    for mode, copies in (("one", 1), ("all", 4)):
        yield [*base, *pace, "--producers", "4", "--consumers", "4", "--mode", mode], copies


def _fault(command: list[str], arguments: list[str], copies: int) -> str | None:
    try:
        printed = json.loads(_output(command))
    except (subprocess.SubprocessError, ValueError) as error:
        return str(error)
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    wanted = _expected(options, printed, copies)
    if printed["checksum"] != wanted:
        return f"the checksum is {printed['checksum']}, it should be {wanted}"
    counted = sum(count for _, count in printed["latency"]["buckets"]) if options["--scenario"] in TIMED else 1
    return None if counted else "the histogram is empty"


def _expected(options: dict[str, str], printed: dict[str, Any], copies: int) -> str:
    """The sum of all words but the second of timed scenarios, which is a time; paced ones say what they sent."""
    words, scenario = int(options["--size"]) // 8, options["--scenario"]
    sent = printed["sent"] if scenario in PACED else [EVENTS]
    producers = len(sent)
    numbers = sum(
        producers * (count * (count - 1) // 2) + producer * count for producer, count in enumerate(sent)
    )  # event i of producer p has number i * P + p
    left_out = 1 if scenario in TIMED else 0
    constant = words * (words - 1) // 2 - left_out
    return str(((words - left_out) * numbers + constant * sum(sent)) * copies % 2**64)


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
