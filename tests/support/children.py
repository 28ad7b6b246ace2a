"""Python programs in processes of their own: for forks, signals and ends, which no test may do in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SECONDS = 20.0
"""The longest that a child may take; one that takes longer hangs."""

HEAD = """
import sys, threading, time
import ringbus

class Tick(ringbus.Event):
    value: int
"""
"""What every child begins with."""

FORK_WARNING = "ignore:This process:DeprecationWarning"
"""Python 3.12 and later warn of a fork beside threads; that it is survived is what the tests are about."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it printed."""
        return self.out.splitlines()


def program(text: str) -> list[str]:
    """The command that runs `HEAD` and then `text`."""
    return [sys.executable, "-X", "faulthandler", "-W", FORK_WARNING, "-c", HEAD + textwrap.dedent(text)]


def run_child(text: str, *arguments: str) -> Ended:
    """Run a program to its end. A child that hangs is a failure, with what it said until then."""
    with start_child(text, *arguments) as child:
        out, err = child.communicate(timeout=SECONDS)
        return Ended(child.returncode, out, err)


@contextmanager
def start_child(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside the test; it ends with the `with` at the latest, and all that it has forked too."""
    child = subprocess.Popen(
        [*program(text), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield child
    except subprocess.TimeoutExpired as error:
        _kill(child)
        out, err = child.communicate()
        raise AssertionError(f"the child hangs; it printed {out!r} and said {err!r}") from error
    finally:
        _kill(child)
        child.communicate()


def _kill(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)


def assert_clean(ended: Ended) -> None:
    """The child ended as Python programs end: code 0, nothing said."""
    assert (ended.code, ended.err) == (0, ""), ended
