"""Who takes part in a ring: the rows of its registry, and those of them that are of this process."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ringbus import _core
from ringbus.errors import ConfigurationError, PeerDiedError, TopologyError
from ringbus.poller import EventPoller
from ringbus.statistics import GONE, Latency, Row

if TYPE_CHECKING:
    from ringbus.consumer import Consumer


class Roster:
    """The consumers of one ring, by name.

    Attributes:
        named: those of this process, for as long as somebody refers to them.
    """

    def __init__(self, native: _core.Ring) -> None:
        """Begin without any of this process."""
        self._native = native
        self.named: weakref.WeakValueDictionary[str, Consumer | EventPoller[Any]] = weakref.WeakValueDictionary()

    def rows(self) -> list[Row]:
        """What the registry says, an entry a row."""
        return [Row(*row) for row in self._native.consumers()]

    def is_taken(self, name: str) -> bool:
        """Whether a consumer of this name takes part, as a whole or by its workers."""
        known = self.named.get(name)
        return known is not None and not (known.closed if isinstance(known, EventPoller) else known.left)

    def known(self, names: Sequence[str]) -> list[object]:
        """The consumers of those names: who depends on them keeps them alive."""
        return [self.named[name] for name in names if name in self.named]

    def latency_of(self, name: str) -> Latency:
        """The latency of the row of that name, where it is counted in this process."""
        known = self.named.get(name.partition("/")[0]) or self.named.get(name)
        return known.latency_of(name) if known is not None else None

    def entries(self, name: str, depends_on: Sequence[str]) -> int:
        """The entries of those that `name` is to follow, a bit each.

        Raises:
            TopologyError: nobody has that name.
        """
        if isinstance(depends_on, str):
            raise ConfigurationError(f"depends_on is the text {depends_on!r}", f"use a tuple: ({depends_on!r},)")
        if not depends_on:
            return 0
        rows = {row.name: row for row in self.rows()}
        outside = [known for known in (*rows, *filter(self.is_taken, self.named)) if known != name]
        _core.topological_order([(name, list(depends_on))], outside)
        entries = 0
        for dependency in depends_on:
            known = self.named.get(dependency)
            entries |= known.entries if known is not None else 1 << rows[dependency].entry
        return entries

    def check_followed(self, depends_on: Sequence[str], entries: int) -> None:
        """Check that those whom a consumer follows from now on were there until it did: later none goes unseen.

        Raises:
            PeerDiedError: one has left or died meanwhile.
        """
        elsewhere = [name for name in depends_on if name not in self.named]
        rows = {row.name: row for row in self.rows()} if elsewhere else {}
        for name in elsewhere:
            row = rows.get(name)
            if row is None or row.state in GONE or not entries & 1 << row.entry:
                raise PeerDiedError(name, "it left or died at the moment when it was to be followed")

    def poller(self, facts: SimpleNamespace, depends_on: Sequence[str]) -> EventPoller[Any]:
        """Have a poller take part.

        Raises:
            TopologyError: its name is taken, or nobody has a name that it is to follow.
            PeerDiedError: one that it was to follow has left or died meanwhile.
        """
        if self.is_taken(facts.name):
            raise TopologyError(f"a consumer named {facts.name!r} is on the ring", "choose another name")
        entries = self.entries(facts.name, depends_on)
        poller: EventPoller[Any] = EventPoller(self._native, facts)
        poller._depend_on(entries)
        try:
            self.check_followed(depends_on, entries)
        except PeerDiedError:
            poller._depend_on(0)  # the entry of who is gone may be its own by now
            poller.close()
            raise
        poller._upstream = self.known(depends_on)
        self.named[facts.name] = poller
        return poller
