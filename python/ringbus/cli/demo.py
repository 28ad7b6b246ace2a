"""`ringbus demo`: a trading pipeline on a real tape, checked against a plain loop and beside queues."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ringbus.cli.app import BAD_USAGE, FAILED, complain
from ringbus.demo.events import Limits
from ringbus.demo.feed import load
from ringbus.demo.plot import draw
from ringbus.demo.processes import KILLABLE
from ringbus.demo.progress import Progress
from ringbus.demo.report import bad_input, document, table
from ringbus.demo.run import Demo, Outcome
from ringbus.demo.tape import sample_path
from ringbus.errors import FeedError

if TYPE_CHECKING:
    from ringbus.demo.feed import FeedReport
    from ringbus.demo.tape import Tape

SUMMARY: Final = "Run a trading pipeline on a real tape of trades and best quotes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments.

    Args:
        parser: the command's parser.
    """
    parser.epilog = (
        "Exit codes: 0 all results are equal; 1 they differ, the run failed or was interrupted; 2 wrong usage or input."
    )
    add = parser.add_argument
    add("--feed", metavar="FILE", type=Path, help="a raw Binance feed (.jsonl, .jsonl.gz) or a tape file")
    add("--speed", metavar="10x", type=speed, help="replay by the tape's own clock, this many times as fast")
    add("--limit", metavar="N", type=count, help="take the first N trades and quotes only")
    add("--threads", choices=("each", "1"), default="each", help="a thread for each consumer (default), or one for all")
    add("--processes", action="store_true", help="a process each for book, bars and risk")
    add("--kill", choices=KILLABLE, help="with --processes: kill one in the middle (SIGKILL); it is started again")
    add("--strict", action="store_true", help="stop at the first line that cannot be read, or an early end")
    add("--plot", metavar="FILE.svg", type=Path, help="draw price, bars and latency")
    add("--no-queue", action="store_true", help="leave out the same pipeline on queues")
    add("--json", action="store_true", help="write one JSON document instead of the table")


def speed(text: str) -> float:
    """Read a speed such as 10x, 10 or 0.5x.

    Args:
        text: what was given.

    Returns:
        The factor, above 0.

    Raises:
        ArgumentTypeError: when it is not one.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)[xX]?", text)
    factor = float(match[1]) if match else 0.0
    if not 0 < factor < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed: give a number above 0, such as 10x")
    return factor


def count(text: str) -> int:
    """Read a number of events.

    Args:
        text: what was given.

    Returns:
        The number, at least 1.

    Raises:
        ArgumentTypeError: when it is not one.
    """
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of events: give a whole number from 1")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo.

    Args:
        arguments: as declared in `add_arguments`.

    Returns:
        The exit code.
    """
    if fault := _misuse(arguments):
        return complain(fault, BAD_USAGE)
    try:
        tape, feed = _load(arguments)
    except FeedError as error:
        return complain(str(error), BAD_USAGE)
    except KeyboardInterrupt:
        return complain("interrupted while the tape was read: nothing was run", FAILED)
    outcome = Outcome(
        tape,
        feed,
        arguments.speed,
        one_thread=arguments.threads == "1",
        processes=arguments.processes,
        kill=arguments.kill,
    )
    Demo(outcome, Limits.of(tape), sys.stderr).run(with_queue=not arguments.no_queue)
    _say(outcome, as_json=arguments.json)
    return max(outcome.exit_code, _plot(outcome, arguments.plot) if arguments.plot else 0)


def _misuse(arguments: argparse.Namespace) -> str:
    """What is wrong with the arguments together; empty when nothing is."""
    plot = arguments.plot
    if plot and not plot.absolute().parent.is_dir():
        return f"--plot {plot}: there is no folder {plot.parent}"
    if plot and plot.is_dir():
        return f"--plot {plot}: is a folder: name a file in it"
    if arguments.kill and not arguments.processes:
        return "--kill: there is no process to kill: add --processes"
    if arguments.processes and arguments.threads == "1":
        return "--threads 1: the consumers have a process each with --processes: leave one out"
    return ""


def _load(arguments: argparse.Namespace) -> tuple[Tape, FeedReport]:
    path = arguments.feed or sample_path()
    progress = Progress(sys.stderr, f"read {path.name}", "lines")
    tape, feed = load(path, strict=arguments.strict, limit=arguments.limit, progress=progress.show)
    progress.done(len(tape), "events")
    return tape, feed


def _say(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        for line in bad_input(outcome.feed):
            print(line, file=sys.stderr)
        print(json.dumps(document(outcome), indent=2))
    else:
        print(f"\n{table(outcome)}")


def _plot(outcome: Outcome, path: Path) -> int:
    try:
        path.write_text(draw(outcome), encoding="utf-8")
    except (OSError, ValueError) as error:
        return complain(f"--plot {path}: {error}", FAILED)
    print(f"drawn: {path}", file=sys.stderr)
    return 0
