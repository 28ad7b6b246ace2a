"""`ringbus dump NAME`: the last events of a shared ring, as JSON lines or as a NumPy file."""

from __future__ import annotations

import argparse
import decimal
import enum
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from ringbus.cli.app import BAD_USAGE, OK, complain
from ringbus.cli.looking import add_name, unusable_is_bad_input
from ringbus.errors import RingBusError
from ringbus.watching import Watch

SUMMARY: Final = "Print the last events of a shared ring as JSON lines, or write them to a .npy file."
LINES: Final = 10
"""Events that are printed where no count is given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments.

    Args:
        parser: the command's parser.
    """
    parser.epilog = "Exit codes: 0 done; 2 there is no such ring, or it is broken."
    add_name(parser)
    parser.add_argument("--count", metavar="N", type=_count, help=f"the last N (default {LINES}; with --npy all)")
    parser.add_argument("--npy", metavar="FILE", type=Path, help="write a structured array instead")
    parser.add_argument(
        "--type", metavar="EVENT", help="only events of this type; --npy needs it where there are several"
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


@unusable_is_bad_input
def run(arguments: argparse.Namespace) -> int:
    """Run it.

    Args:
        arguments: what was given.

    Returns:
        The exit code.
    """
    watch = Watch(arguments.name)
    known = {kind.__name__: kind for kind in watch.ring.event_types}
    if arguments.type is not None and arguments.type not in known:
        return complain(f"{arguments.name} has the event types {', '.join(known)}, not {arguments.type}", BAD_USAGE)
    kinds = list(known.values()) if arguments.type is None else [known[arguments.type]]
    if arguments.npy is None:
        for sequence, event in _last(watch, kinds, arguments.count or LINES):
            print(json.dumps({"sequence": sequence, **_described(event)}, ensure_ascii=False))
        return OK
    if len(kinds) > 1:
        return complain(
            f"{arguments.name} has several event types; name one with --type: {', '.join(known)}", BAD_USAGE
        )
    events = [event.record() for _, event in _last(watch, kinds, arguments.count or watch.ring.capacity)]
    with arguments.npy.open("wb") as file:
        np.save(file, np.array(events, dtype=kinds[0].dtype), allow_pickle=False)
    return OK


def _last(watch: Watch, kinds: list[Any], count: int) -> Iterator[tuple[int, Any]]:
    """The last `count` events of these types that are published now and not overwritten before they are read."""
    ring = watch.ring
    end = ring._ring.published()
    begin = max(end - ring.capacity + 1, ring._ring.cursor - ring.capacity + 1, int(watch.header["start"]))
    if len(kinds) == len(ring.event_types):
        begin = max(begin, end - count + 1)
    found: list[tuple[int, Any]] = []
    with ring.poller("dump", gating=False, start=begin, kinds=kinds if len(ring.event_types) > 1 else None) as poller:
        while (numbered := poller._try_numbered()) is not None and numbered[0] <= end:
            found.append(numbered)
    yield from found[-count:]


def _described(event: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"event": type(event).__name__}
    if event.published_ns:
        described["published_ns"] = event.published_ns
    for name in type(event).dtype.names:
        try:
            described[name] = _plain(getattr(event, name))
        except RingBusError as error:
            described[name] = {"unreadable": str(error)}
    return described


def _plain(value: Any) -> Any:  # noqa: PLR0911 (one answer for each kind of value)
    """A value as JSON has it."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, decimal.Decimal | np.datetime64 | np.timedelta64):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, np.ndarray | np.void):
        return _plain(value.tolist()) if value.dtype.kind not in "mM" else value.astype(str).tolist()
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
