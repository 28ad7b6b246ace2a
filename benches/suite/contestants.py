"""Who takes part: programs that are asked for what they have, and started afresh for each measure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.scenarios import Scenario

BENCHES = Path(__file__).resolve().parent.parent
BUILT = BENCHES / ".built"

OURS = "ringbus"
"""Our contestants' names begin with it."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One side of one scenario.

    Attributes:
        language: of its program.
        name: what its program calls it.
        program: the command.
        waits: how it can wait, in its own order.
        checksum: what it adds up, one of `checksums.KINDS`.
        batches: whether it claims several at once where it is asked to.
    """

    language: str
    name: str
    program: tuple[str, ...]
    waits: tuple[str, ...]
    checksum: str
    batches: bool

    @property
    def is_ours(self) -> bool:
        """Whether it is ringbus."""
        return self.name.startswith(OURS)

    @property
    def is_harness(self) -> bool:
        """Whether it moves nothing: what the loops around everything cost."""
        return self.name == "harness"

    def begins_with(self, words: tuple[str, ...]) -> bool:
        """Whether its name, or its language and name, begins with one of these."""
        return self.name.startswith(words) or f"{self.language} {self.name}".startswith(words)

    def wait_in(self, scenario: Scenario) -> str | None:
        """The first of the scenario's ways to wait that it has."""
        return next((wait for wait in scenario.waits if wait in self.waits), None)


@dataclass(frozen=True, slots=True)
class Program:
    """One language's program.

    Attributes:
        language: its language.
        command: how it is started.
    """

    language: str
    command: tuple[str, ...]

    def contestants(self) -> list[tuple[str, Contestant]]:
        """Pairs of scenario and contestant, as the program lists them.

        Raises:
            ProgramError: it cannot be started, or its list cannot be read.
        """
        return [(entry["scenario"], self._contestant(entry)) for entry in self._list()]

    def _list(self) -> list[dict[str, Any]]:
        try:
            done = subprocess.run([*self.command, "--list"], capture_output=True, text=True, timeout=60, check=True)
            return list(json.loads(done.stdout))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise ProgramError(self.language, str(error)) from error

    def _contestant(self, entry: dict[str, Any]) -> Contestant:
        timed = entry["scenario"] in {"pingpong", "paced", "16x16"}
        return Contestant(
            self.language,
            entry["contestant"],
            self.command,
            tuple(entry["waits"]),
            entry.get("checksum", "timed" if timed else "words"),
            bool(entry.get("batches", False)),
        )


class ProgramError(Exception):
    """A language's program does not answer."""

    def __init__(self, language: str, why: str) -> None:
        super().__init__(f"{language}: {why}; run `make bench-peers`")


def programs() -> tuple[list[Program], list[str]]:
    """The programs that are built, and a word for each language that is not."""
    found = [Program("python", (sys.executable, str(BENCHES / "contestants" / "python" / "program.py")))]
    missing: list[str] = []
    for language in ("cpp", "java", "rust", "go"):
        path = BUILT / language / "contestants"
        if path.exists():
            found.append(Program(language, (str(path),)))
        else:
            missing.append(f"{language}: skipped, it is not built (`make bench-peers` says why)")
    return found, missing


def assemble(found: Sequence[Program]) -> tuple[dict[str, list[Contestant]], list[str]]:
    """The contestants by the programs' word for a scenario, and a word for each program that does not answer."""
    sides: dict[str, list[Contestant]] = {}
    words: list[str] = []
    for program in found:
        try:
            for scenario, contestant in program.contestants():
                sides.setdefault(scenario, []).append(contestant)
        except ProgramError as error:
            words.append(str(error))
    return sides, words
