"""What the commands that look into rings have in common: their argument, and what they say of unusable files."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ringbus.cli.app import BAD_USAGE, complain
from ringbus.errors import RingBusError

Run = Callable[[argparse.Namespace], int]


def add_name(parser: argparse.ArgumentParser) -> None:
    """Declare the ring's name.

    Args:
        parser: the command's parser.
    """
    parser.add_argument("name", metavar="NAME", help="the ring's name, as `ringbus ls` lists it")


def unusable_is_bad_input(run: Run) -> Run:
    """Have a command end with exit code 2 where a ring is not there, is broken, or is none of ours.

    Args:
        run: the command.
    """

    def guarded(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except BrokenPipeError:
            raise
        except (RingBusError, OSError) as error:
            return complain(str(error), BAD_USAGE)

    return guarded
