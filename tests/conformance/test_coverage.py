"""Each statement has at least one test, and no test names a statement that does not exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from support.statements import BETTER, NUMBERED

_NAME = re.compile(r"test_(?:(\d\d)|better_([a-z]))_")


@functools.cache
def by_statement() -> dict[str, list[str]]:
    """The names of the tests in this folder, by the number or letter that they carry."""
    found: dict[str, list[str]] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (carries := _NAME.match(node.name)):
                found.setdefault(carries[1] or carries[2], []).append(node.name)
    return found


def test_every_numbered_statement_has_a_test() -> None:
    missing = {number: text for number, text in NUMBERED.items() if f"{number:02}" not in by_statement()}
    assert not missing


def test_every_improvement_has_a_test() -> None:
    missing = {letter: text for letter, text in BETTER.items() if letter not in by_statement()}
    assert not missing


def test_no_test_carries_a_number_that_is_no_statement() -> None:
    known = {f"{number:02}" for number in NUMBERED} | set(BETTER)
    assert set(by_statement()) == known


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda path: path.stem)
def test_no_conformance_test_is_skipped(path: Path) -> None:
    if path.name == Path(__file__).name:
        return
    assert not re.search(r"pytest\.(mark\.)?(skip|xfail)", path.read_text(encoding="utf-8"))
