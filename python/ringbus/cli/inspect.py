"""`ringbus inspect NAME`: all that a shared ring's segment says."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from ringbus.cli.app import OK
from ringbus.cli.looking import add_name, unusable_is_bad_input
from ringbus.cli.text import columns, consumer_notes, life, printable, size, tree
from ringbus.rebuilt import Document
from ringbus.watching import RingView, Watch

SUMMARY: Final = "Show a shared ring: header, schema, graph, counters, who lives where."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments.

    Args:
        parser: the command's parser.
    """
    parser.epilog = "Exit codes: 0 done; 2 there is no such ring, or it is broken."
    add_name(parser)
    parser.add_argument("--json", action="store_true", help="write one JSON document")


@unusable_is_bad_input
def run(arguments: argparse.Namespace) -> int:
    """Run it.

    Args:
        arguments: what was given.

    Returns:
        The exit code.
    """
    view = Watch(arguments.name).look()
    print(json.dumps(_document(view), indent=2) if arguments.json else "\n".join(_page(view)))
    return OK


def _document(view: RingView) -> dict[str, Any]:
    return {**asdict(view), "header": dict(view.header)}


def _page(view: RingView) -> Iterator[str]:
    header = view.header
    kind = "one producer" if header["producers"] == "single" else "any number of producers"
    yield f"{view.name}: {life(view)}, {view.capacity:,} slots, for {kind}"
    facts = {
        "layout version": header["layout_version"],
        "size": f"{size(header['total_bytes'])}, {header['slot_bytes']} bytes a slot",
        "slot headers": ", ".join(name for name in ("stamped", "tagged") if header[name]) or "none",
        "first sequence": f"{header['start']:,}",
        "cursor": f"{view.cursor:,} (published {view.published:,}, free slots {view.remaining:,}, pads {view.pads:,})",
        "schema hash": header["schema_hash"],
        "instance": header["instance"],
    }
    yield from (f"  {line}" for line in columns([(name, str(fact)) for name, fact in facts.items()]))
    for document in view.schema:
        yield from ("", f"event {printable(document['event'])}")
        yield from (f"  {line}" for line in _fields(document))
    yield from ("", "producers")
    yield from (f"  {line}" for line in _producers(view))
    yield from ("", "consumers")
    yield from (f"  {line}" for line in _consumers(view))


def _fields(document: Document) -> list[str]:
    rows = [("FIELD", "KIND", "TYPE", "BYTE", "")]
    for field in document["fields"]:
        needed = "" if field.get("required") else "has a default"
        rows.append((printable(field["name"]), field["kind"], field["dtype"], str(field["offset"]), needed))
    return columns(rows, right=frozenset((3,)))


def _producers(view: RingView) -> list[str]:
    if not view.producers:
        return ["none"]
    return [
        "one process" if not each.pid else
        f"pid {each.pid}{'' if each.alive else ', dead'}, {each.open_claims} open claim(s)"
        for each in view.producers
    ]  # fmt: skip


def _consumers(view: RingView) -> list[str]:
    if not view.consumers:
        return ["none"]
    rows = [("NAME", "STATE", "PID", "SEQUENCE", "LAG", "EVENTS", "BATCHES", "WAITS", "BLOCKED", "")]
    for lead, each in tree(view.consumers):
        rows.append(
            (
                f"{lead}{printable(each.name)}",
                each.state,
                str(each.pid or ""),
                f"{each.sequence:,}",
                f"{each.lag:,}",
                f"{each.events:,}",
                f"{each.batches:,}",
                f"{each.waits:,}",
                f"{each.blocked_ns / 1e9:,.3f} s",
                consumer_notes(each),
            )
        )
    return columns(rows, right=frozenset(range(2, 9)))
