"""The files beside this one hold `assert_type` and, with an ignore of its own code, each call that must not pass.

Both checkers read them strictly: an error fails, and so does an ignore that hides none.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CASES = sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name)
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--warn-unused-ignores", "--no-error-summary"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_there_are_typing_cases() -> None:
    assert CASES


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_public_types_read_as_documented(checker: str) -> None:
    command = [sys.executable, *CHECKERS[checker], *map(str, CASES)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
