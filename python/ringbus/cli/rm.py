"""`ringbus rm NAME`: remove a shared ring that nobody lives in."""

from __future__ import annotations

import argparse
from typing import Final

from ringbus import sharing
from ringbus.cli.app import BAD_USAGE, FAILED, OK, complain
from ringbus.cli.text import printable
from ringbus.errors import LayoutError, RingBusError
from ringbus.watching import GONE, Watch

SUMMARY: Final = "Remove shared rings; refuses while somebody lives in one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments.

    Args:
        parser: the command's parser.
    """
    parser.epilog = "Exit codes: 0 done; 1 somebody lives in it; 2 there is no such ring, or it is broken."
    parser.add_argument("names", metavar="NAME", nargs="+", help="a ring's name, as `ringbus ls` lists it")
    parser.add_argument(
        "--force", action="store_true", help="remove it whoever lives in it (they get RingReplacedError), broken or not"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run it.

    Args:
        arguments: what was given.

    Returns:
        The exit code, the highest of all names.
    """
    return max(_remove(name, force=arguments.force) for name in arguments.names)


def _remove(name: str, *, force: bool) -> int:
    try:
        if not force and sharing.is_alive(name):
            return complain(f"somebody lives in {name}: {_residents(name)}; end them first, or use --force", FAILED)
        sharing.unlink(name)
    except (LayoutError, OSError, RingBusError) as error:
        if force and name in sharing.rings():
            return _remove_file(name)
        return complain(str(error), BAD_USAGE)
    return OK


def _residents(name: str) -> str:
    view = Watch(name).look()
    consumers = [
        f"consumer {each.name} (pid {each.pid}, {each.state})" for each in view.consumers if each.state not in GONE
    ]
    producers = [f"producer (pid {each.pid})" for each in view.producers if each.pid and each.alive]
    return printable(", ".join((*consumers, *producers))) or "a process that is attached"


def _remove_file(name: str) -> int:
    """Remove what is no ring, and lock files that bear its name."""
    place = sharing.folder()
    (place / name).unlink(missing_ok=True)
    for left in place.glob(f".{name}.*"):
        left.unlink(missing_ok=True)
    return OK
