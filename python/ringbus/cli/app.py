"""The command line's frame: a module of this package for each command, found by its name in COMMANDS."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Protocol, cast

from ringbus.errors import RingBusError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = ("demo", "ls", "rm", "inspect", "top", "dump")
"""Each name is a module beside this one that follows `Command`."""

OK: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2


class Command(Protocol):
    """What a command's module offers."""

    SUMMARY: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run it and return the exit code."""
        ...


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with every command."""
    parser = argparse.ArgumentParser(prog="ringbus", description="The LMAX Disruptor for Python.")
    parser.add_argument("--version", action="version", version=f"ringbus {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = cast("Command", importlib.import_module(f"ringbus.cli.{name}"))
        own = commands.add_parser(name, help=command.SUMMARY, description=command.SUMMARY)
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows the program's name; None takes it from sys.argv.

    Returns:
        The exit code: 0 when all is well, 1 when the run failed, 2 for wrong usage or input.
    """
    try:
        parsed = build_parser().parse_args(arguments)
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone
        _give_up_output()
        return FAILED
    except RingBusError as error:
        return complain(_with_cause(error), FAILED)
    except ExceptionGroup as errors:
        if errors.split(RingBusError)[1] is not None:
            raise
        return max(complain(_with_cause(error), FAILED) for error in errors.exceptions)
    except OSError as error:
        _give_up_output()
        return complain(str(error), FAILED)
    except KeyboardInterrupt:
        return complain("interrupted", FAILED)
    return code


def complain(message: str, code: int) -> int:
    """Say on standard error what went wrong.

    Args:
        message: what.
        code: the exit code.

    Returns:
        The exit code.
    """
    print(f"ringbus: {message}", file=sys.stderr)
    return code


def _give_up_output() -> None:
    """See to it that nothing fails again when the interpreter flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_cause(error: BaseException) -> str:
    """Write an error, what it came from, and what was noted on its way, without a traceback."""
    cause = error.__cause__
    came_from = [] if cause is None else [f"caused by {type(cause).__name__}: {cause}"]
    return "\n  ".join([str(error), *came_from, *getattr(error, "__notes__", ())])


def _version() -> str:
    try:
        return version("ringbus")
    except PackageNotFoundError:
        return "(not installed)"
