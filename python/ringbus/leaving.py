"""How the consumers of a group leave the ring, and what becomes of those that follow them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ringbus import _core, lifecycle
from ringbus.crew import running_loop
from ringbus.errors import PeerDiedError, TopologyError
from ringbus.runners import Runner

if TYPE_CHECKING:
    from ringbus.consumer import Consumer
    from ringbus.group import ConsumerGroup


def leave(group: ConsumerGroup[Any], consumers: Iterable[Consumer]) -> None:
    """Take those consumers of the group off the ring, in this order; their counts are kept."""
    rows, _ = group.rows()
    for consumer in [consumer for consumer in consumers if not consumer.left]:
        consumer.keep_counts(rows)
        for runner in consumer.runners:
            _leave_one(group, runner)
        if group.ring._roster.named.get(consumer.name) is consumer:
            del group.ring._roster.named[consumer.name]


def _leave_one(group: ConsumerGroup[Any], runner: Runner) -> None:
    """Leave; who depends on it from outside the group halts with PeerDiedError."""
    try:
        runner.leave()
    except TopologyError:
        if running_loop() is None:
            _part(group, runner)
        else:  # the dependents may have tasks on this loop, which must be let end
            threading.Thread(target=_part, args=(group, runner), daemon=True).start()


def _part(group: ConsumerGroup[Any], runner: Runner) -> None:
    for other in lifecycle.groups_of(group.ring):
        if other is not group and other.follows(group):
            other.fail(PeerDiedError(runner.name, f"its group {group.name!r} has stopped"))
            other._finish()
    try:
        runner.leave()
    except TopologyError:  # a poller, or somebody in another process
        if not isinstance(runner, _core.Processor | _core.CompiledProcessor):
            raise
        runner.part()
