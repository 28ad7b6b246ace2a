"""Runs each program under examples/ as a user does, and compares what it prints with examples/output."""

import subprocess
import sys

import pytest

from support.documents import EXAMPLES, matches, section

PROGRAMS = sorted(EXAMPLES.glob("*.py"))
MOST_LINES = 60


def output_of(program):
    return EXAMPLES / "output" / f"{program.stem}.txt"


def test_there_are_examples():
    assert len(PROGRAMS) >= 10


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_prints_what_its_output_file_says(program):
    command = [sys.executable, "-W", "error", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=25, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert matches(output_of(program).read_text("utf-8"), done.stdout), done.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_an_example_is_short_and_says_what_it_shows(program):
    text = program.read_text("utf-8")
    assert text.startswith('"""')
    assert text.count("\n") <= MOST_LINES


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_each_section_of_an_example_ends(program):
    text = program.read_text("utf-8")
    names = [line.partition("[start:")[2].rstrip("]") for line in text.splitlines() if "--8<-- [start:" in line]
    assert all(section(text, name) for name in names)


def test_no_output_is_left_of_an_example_that_is_gone():
    assert sorted((EXAMPLES / "output").glob("*.txt")) == [output_of(program) for program in PROGRAMS]
