"""The consumers of a group: how they join it, follow each other, and are taken out."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ringbus.consumer import Consumer
from ringbus.errors import PeerDiedError, TopologyError
from ringbus.graph import follow, in_order
from ringbus.runners import runners_for

if TYPE_CHECKING:
    from ringbus.group import ConsumerGroup
    from ringbus.options import Role
    from ringbus.roster import Roster
    from ringbus.runners import Runner


class Members:
    """The consumers of one group.

    Attributes:
        named: each by its name, in the order in which they joined.
    """

    def __init__(self, roster: Roster) -> None:
        """Begin without any."""
        self._roster = roster
        self.named: dict[str, Consumer] = {}

    def join(self, group: ConsumerGroup[Any], role: Role, depends_on: Sequence[str]) -> Consumer:
        """Take a consumer's places on the ring, behind those that it follows.

        Raises:
            PeerDiedError: one of those left or died meanwhile; the places are given back.
        """
        entries = self._roster.entries(role.name, depends_on)
        consumer = Consumer(group, role.name)
        report = group.failures.reporter(weakref.ref(group), weakref.ref(consumer), role.policy)
        consumer.runners = runners_for(group, role, report)
        try:
            follow(self._roster, consumer, tuple(depends_on), entries)
        except PeerDiedError:
            for runner in consumer.runners:
                runner.leave()
            raise
        self.named[role.name] = consumer
        self._roster.named[role.name] = consumer
        return consumer

    def connect(self, consumer: Consumer, names: Sequence[str]) -> None:
        """Make it follow those named, beside those that it follows already.

        Raises:
            TopologyError: it would be a cycle, or nobody has that name.
        """
        together = tuple(dict.fromkeys((*consumer.depends_on_names, *names)))
        in_order(self._roster, self.named, {consumer.name: together})
        before = self._roster.entries(consumer.name, consumer.depends_on_names)
        follow(self._roster, consumer, together, self._roster.entries(consumer.name, together), before)

    def check_not_followed(self, consumer: Consumer) -> None:
        """Refuse to take out a consumer that others follow.

        Raises:
            TopologyError: it names them.
        """
        rows = self._roster.rows()
        followers = {row.name.partition("/")[0] for row in rows if row.depends_on & consumer.entries}
        if followers:
            fact = f"{', '.join(sorted(followers))} depend on {consumer.name!r}"
            raise TopologyError(fact, "remove those first")

    def forget(self, consumer: Consumer) -> None:
        """One that has left is none of them any more."""
        del self.named[consumer.name]
        self._roster.named.pop(consumer.name, None)

    def in_order(self) -> list[Consumer]:
        """All, each after those that it follows."""
        return [self.named[name] for name in in_order(self._roster, self.named)]

    def runners(self) -> list[Runner]:
        """What runs each."""
        return [runner for consumer in list(self.named.values()) for runner in consumer.runners]

    def runners_in_order(self) -> list[Any]:
        """What runs each, after what runs those that it follows."""
        return [runner for consumer in self.in_order() for runner in consumer.runners]
