"""`ringbus ls`: the shared rings of this user, alive or left behind."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Final

from ringbus import sharing
from ringbus.cli.app import BAD_USAGE, OK
from ringbus.cli.text import columns, life, printable, size
from ringbus.errors import RingBusError, RingNotFoundError
from ringbus.watching import RingView, Watch

SUMMARY: Final = "List the shared rings of this user, alive or left behind."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments.

    Args:
        parser: the command's parser.
    """
    parser.epilog = "Exit codes: 0 done; 2 a file in the folder is no ring or a broken one."
    parser.add_argument("--json", action="store_true", help="write one JSON document")


@dataclass(frozen=True)
class Listed:
    """A name in the folder, and what is there: a ring, or why not."""

    name: str
    view: RingView | None
    fault: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Run it.

    Args:
        arguments: what was given.

    Returns:
        The exit code.
    """
    listed = [entry for name in sharing.rings() if (entry := _listed(name)) is not None]
    if arguments.json:
        print(json.dumps([_described(entry) for entry in listed], indent=2))
    else:
        print("\n".join(_table(listed)))
    return BAD_USAGE if any(entry.fault for entry in listed) else OK


def _listed(name: str) -> Listed | None:
    try:
        return Listed(name, Watch(name).look())
    except RingNotFoundError:  # removed since the folder was read
        return None
    except (RingBusError, OSError) as error:
        return Listed(name, None, str(error))


def _table(listed: list[Listed]) -> list[str]:
    if not listed:
        return [f"no rings in {sharing.folder()}"]
    rows: list[tuple[str, ...]] = [("NAME", "STATE", "EVENTS", "SLOTS", "SIZE", "PUBLISHED", "PRODUCERS", "CONSUMERS")]
    for entry in listed:
        view = entry.view
        if view is None:
            rows.append((entry.name, "broken", *[""] * 6))
            continue
        rows.append(
            (
                entry.name,
                life(view),
                printable(" | ".join(view.event_names)),
                f"{view.capacity:,}",
                size(view.header["total_bytes"]),
                f"{view.published - view.header['start'] + 1:,}",
                str(len(view.producers)),
                printable(", ".join(consumer.name for consumer in view.consumers)) or "none",
            )
        )
    faults = [f"{entry.name}: {printable(entry.fault)}" for entry in listed if entry.fault]
    return [*columns(rows, right=frozenset((3, 4, 5, 6))), *faults]


def _described(entry: Listed) -> dict[str, object]:
    view = entry.view
    if view is None:
        return {"name": entry.name, "state": "broken", "fault": entry.fault}
    return {
        "name": entry.name,
        "state": life(view),
        "events": view.event_names,
        "capacity": view.capacity,
        "total_bytes": view.header["total_bytes"],
        "cursor": view.cursor,
        "producers": len(view.producers),
        "consumers": [consumer.name for consumer in view.consumers],
    }
