"""`ringbus top`: every shared ring of this user, live, at no cost to them."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ringbus import sharing
from ringbus.cli.app import BAD_USAGE, OK
from ringbus.cli.looking import unusable_is_bad_input
from ringbus.cli.text import bar, columns, consumer_notes, life, printable, short, tree
from ringbus.errors import RingBusError, RingNotFoundError
from ringbus.watching import ConsumerView, RingView, Watch

SUMMARY: Final = "Watch shared rings live: rates, lag and waiting time of each consumer."
FIRST_LOOK: Final = 0.2
"""Seconds between the two looks that the first frame's rates come from."""

_MARKS: Final = {"dead": "31", "evicted": "31", "away": "33", "stopped": "33", "held": "36", "joining": "36"}
"""The colour of what is not simply alive."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments.

    Args:
        parser: the command's parser.
    """
    parser.epilog = (
        "On a terminal it redraws the screen until q or Ctrl-C; elsewhere it writes a frame a second as lines. "
        "Exit codes: 0 done; 2 there is no such ring, or it is broken."
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="only this ring (default: all of this user)")
    parser.add_argument("--once", action="store_true", help="write one frame and end")
    parser.add_argument("--every", metavar="SECONDS", type=_seconds, default=1.0, help="between frames (default 1)")


def _seconds(text: str) -> float:
    number = float(text)
    if not 0.05 <= number <= 3600:
        raise argparse.ArgumentTypeError("from 0.05 to 3600")
    return number


@unusable_is_bad_input
def run(arguments: argparse.Namespace) -> int:
    """Run it.

    Args:
        arguments: what was given.

    Returns:
        The exit code.
    """
    top = Top(arguments.name)
    top.look()
    time.sleep(FIRST_LOOK)
    if arguments.once:
        print("\n".join(top.frame(colour=False)))
        return BAD_USAGE if top.broken else OK
    with contextlib.suppress(KeyboardInterrupt):
        if sys.stdout.isatty():
            _redraw(top, arguments.every)
        else:
            _write_lines(top, arguments.every)
    return OK


def _write_lines(top: Top, every: float) -> None:
    while True:
        print("\n".join(top.frame(colour=False)), end="\n\n", flush=True)
        time.sleep(every)


def _redraw(top: Top, every: float) -> None:
    """Draw frames on the terminal's other screen, until q is typed."""
    with _screen():
        while True:
            width, height = shutil.get_terminal_size()
            lines = [_cut(line, width) for line in top.frame(colour=True)][: height - 1]
            sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[0m\x1b[K\n" for line in lines) + "\x1b[J")
            sys.stdout.flush()
            if _is_quit(every):
                return


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, without a cursor, keys read one by one."""
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = None if keys is None else termios.tcgetattr(keys)
    try:
        if keys is not None:
            tty.setcbreak(keys)
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        if keys is not None and before is not None:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)


def _is_quit(seconds: float) -> bool:
    """Wait so long, and tell whether q was typed."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and os.read(sys.stdin.fileno(), 1) in (b"q", b"Q", b"")


def _cut(line: str, width: int) -> str:
    """The line as far as the terminal shows it; colours take no room."""
    shown, at = 0, 0
    while at < len(line) and shown < width:
        if line[at] == "\x1b":
            at = line.index("m", at)
        else:
            shown += 1
        at += 1
    return line[:at]


@dataclass(frozen=True)
class Look:
    """A ring as it was at some moment."""

    at: float
    view: RingView


class Top:
    """The rings that are watched, and how each was at the last look."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.broken: dict[str, str] = {}
        self._watches: dict[str, Watch] = {}
        self._before: dict[str, Look] = {}

    def look(self) -> dict[str, Look]:
        """Look at each ring: new ones are attached to, those that are gone are let go.

        Raises:
            RingNotFoundError: the one ring that was asked for is not there.
        """
        names = sharing.rings() if self.name is None else [self.name]
        self._watches = {name: watch for name, watch in self._watches.items() if name in names and watch.is_current()}
        self.broken, looks = {}, {}
        for name in names:
            try:
                watch = self._watches.setdefault(name, self._watches.get(name) or Watch(name))
                looks[name] = Look(time.monotonic(), watch.look())
            except RingNotFoundError:
                if self.name is not None:
                    raise
            except (RingBusError, OSError) as error:
                if self.name is not None:
                    raise
                self.broken[name] = str(error)
        earlier, self._before = self._before, looks
        return earlier

    def frame(self, *, colour: bool) -> list[str]:
        """Look again; what there is to see, as lines."""
        earlier = self.look()
        lines = [f"{len(self._before)} ring(s) in {sharing.folder()}   {time.strftime('%H:%M:%S')}"]
        for name, now in self._before.items():
            before = earlier.get(name, now)
            if before.view.header["instance"] != now.view.header["instance"]:
                before = now
            lines += ["", *_ring(before, now, colour=colour)]
        lines += [f"{name}: {printable(fault)}" for name, fault in self.broken.items()]
        return lines


def _ring(before: Look, now: Look, *, colour: bool) -> Iterator[str]:
    view, passed = now.view, max(now.at - before.at, 1e-9)
    used = view.capacity - view.remaining
    moved = view.published - before.view.published
    dead = sum(not each.alive for each in view.producers)
    yield (
        f"{_marked(view.name, '1', colour)}  {life(view)}  {printable(' | '.join(view.event_names))}  "
        f"{short(moved / passed)}/s  published {view.published - view.header['start'] + 1:,}  "
        f"{bar(used / view.capacity)} {max(used, 0):,} of {view.capacity:,} slots in use  "
        f"{len(view.producers)} producer(s){f', {dead} dead' if dead else ''}"
    )
    if not view.consumers:
        yield "  no consumers: events are overwritten"
        return
    known = {each.name: each for each in before.view.consumers}
    ordered = list(tree(view.consumers))
    rows: list[tuple[str, ...]] = [("  consumer", "state", "pid", "rate", "lag", "", "waits", "", "")]
    for lead, each in ordered:
        rows.append(_row(lead, known.get(each.name, each), each, passed, view.capacity))
    head, *lines = columns(rows, right=frozenset((2, 3, 4, 6)))
    yield head
    for (_, each), line in zip(ordered, lines, strict=True):
        yield _marked(line, _MARKS.get(each.state, ""), colour)


def _row(lead: str, before: ConsumerView, each: ConsumerView, passed: float, capacity: int) -> tuple[str, ...]:
    waiting = (each.blocked_ns - before.blocked_ns) / (passed * 1e9)
    return (
        f"  {lead}{printable(each.name)}",
        each.state if each.state == "live" else each.state.upper(),
        str(each.pid or ""),
        f"{short((each.events - before.events) / passed)}/s",
        f"{each.lag:,}",
        bar(each.lag / capacity),
        f"{min(max(waiting, 0.0), 1.0):.0%}",
        bar(waiting),
        consumer_notes(each),
    )


def _marked(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text
