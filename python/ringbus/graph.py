"""Who follows whom among the consumers of a ring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ringbus import _core
from ringbus.errors import PeerDiedError
from ringbus.remote import RemoteProcessor

if TYPE_CHECKING:
    from ringbus.consumer import Consumer
    from ringbus.roster import Roster


def follow(roster: Roster, consumer: Consumer, names: tuple[str, ...], entries: int, before: int = 0) -> None:
    """Have the consumer follow those in `entries`, or those of `before` if one of the former has just died.

    Raises:
        PeerDiedError: one has left or died meanwhile.
    """
    for runner in consumer.runners:
        runner.depend_on(entries)
    try:
        roster.check_followed(names, entries)
    except PeerDiedError:
        for runner in consumer.runners:
            runner.depend_on(before)  # the entry of who is gone may be its own by now
        raise
    consumer.depends_on_names = names
    consumer.upstream = roster.known(names)
    for runner in consumer.runners:
        if isinstance(runner, RemoteProcessor):
            runner.follow(names)


def in_order(
    roster: Roster, consumers: Mapping[str, Consumer], changed: Mapping[str, tuple[str, ...]] | None = None
) -> list[str]:
    """The names of a group's consumers, each after those that it follows.

    Args:
        roster: who takes part in their ring.
        consumers: by name.
        changed: whom some of them are to follow from now on.

    Raises:
        TopologyError: a cycle, or nobody has that name.
    """
    graph = {name: list(consumer.depends_on_names) for name, consumer in consumers.items()}
    graph |= {name: list(depends_on) for name, depends_on in (changed or {}).items()}
    rows = (row.name for row in roster.rows())
    # Who was followed from the start may have died since: that must not keep the others from leaving.
    followed = (name for consumer in consumers.values() for name in consumer.depends_on_names)
    outside = sorted({*roster.named, *rows, *followed} - set(graph))
    names = list(graph)
    return [names[index] for index in _core.topological_order(list(graph.items()), outside)]
