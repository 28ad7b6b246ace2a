"""Each statement has a test in one process and one between two, and no test names a statement that does not exist."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ringbus
from support.statements import BETTER, NUMBERED
from support.variants import ALL, APART, Number, Place, Split, Variant

_NAME = re.compile(r"test_(?:(\d\d)|better_([a-z]))_")


IN_ONE_PROCESS = {"h": "rings of objects are never shared"}
"""Statements that two processes cannot have, and why."""


@functools.cache
def by_statement() -> dict[str, list[Callable[..., object]]]:
    """The tests in this folder, by the number or letter that they carry."""
    found: dict[str, list[Callable[..., object]]] = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        for name, test in vars(module(path)).items():
            if carries := _NAME.match(name):
                found.setdefault(carries[1] or carries[2], []).append(test)
    return found


def module(path: Path) -> ModuleType:
    """The module that the tests are in."""
    spec = importlib.util.spec_from_file_location(f"walked_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def variants_of(test: Any) -> list[Variant]:
    """The variants that a test runs over: those that it picks, or all."""
    if "variant" not in inspect.signature(test).parameters:
        return []
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    return next((mark.args[1] for mark in marks if mark.args[0] == "variant"), ALL)


def places_of(statement: str) -> set[Place]:
    """The places of those who take part, in all tests of a statement."""
    return {variant.place for test in by_statement()[statement] for variant in variants_of(test)}


def test_every_numbered_statement_has_a_test() -> None:
    missing = {number: text for number, text in NUMBERED.items() if f"{number:02}" not in by_statement()}
    assert not missing


def test_every_improvement_has_a_test() -> None:
    missing = {letter: text for letter, text in BETTER.items() if letter not in by_statement()}
    assert not missing


def test_no_test_carries_a_number_that_is_no_statement() -> None:
    known = {f"{number:02}" for number in NUMBERED} | set(BETTER)
    assert set(by_statement()) == known


@pytest.mark.parametrize("statement", [*(f"{number:02}" for number in NUMBERED), *BETTER])
def test_every_statement_is_tested_in_one_process_and_between_two(statement: str) -> None:
    places = places_of(statement)
    assert "threads" in places
    assert (places == {"threads"}) == (statement in IN_ONE_PROCESS)


@pytest.mark.parametrize("variant", APART, ids=str)
def test_the_two_sides_of_a_ring_are_two_processes(variant: Variant) -> None:
    sides = variant.at_producers(os.getpid), variant.at_consumers(os.getpid)
    assert os.getpid() in sides
    assert sides[0] != sides[1]


def test_a_difference_between_what_the_two_sides_see_is_a_failure() -> None:
    one, other = ringbus.RingBuffer(Number, 8), ringbus.RingBuffer(Number, 8)
    split = Split(one, other)
    one.publish(value=1)
    with pytest.raises(AssertionError, match="the producers see 0, the consumers -1"):
        split.cursor  # noqa: B018 (it is looked at)
    with pytest.raises(AssertionError):
        split.is_available(0)


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda path: path.stem)
def test_no_conformance_test_is_skipped(path: Path) -> None:
    if path.name == Path(__file__).name:
        return
    assert not re.search(r"pytest\.(mark\.)?(skip|xfail)", path.read_text(encoding="utf-8"))
