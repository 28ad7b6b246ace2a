"""What the hot paths leave behind: collections, kept blocks, malloc calls, page faults; a program of its own counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from suite.contestants import BENCHES

_PROGRAM = BENCHES / "contestants" / "python" / "garbage.py"


def count(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """The counts of each path; empty, with a word, where the program fails."""
    command = [sys.executable, str(_PROGRAM), *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        say(f"garbage: not counted: {done.stderr.strip().splitlines()[-1:]}")
        return {}
    found: dict[str, Any] = json.loads(done.stdout)
    return found
