"""One consumer of a group: a handler with a place on the ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringbus import _core
from ringbus.errors import ConfigurationError, TopologyError
from ringbus.poller import MOST_CONSUMERS
from ringbus.remote import RemoteProcessor
from ringbus.runners import Runner
from ringbus.statistics import ConsumerStatistics, Latency, Row, consumer_statistics

if TYPE_CHECKING:
    from ringbus.group import ConsumerGroup


class Consumer:
    """A handler of a group, with its place on the ring. Made by `ConsumerGroup.add`.

    It gates the producers from then on (unless it was added with `gating=False`).
    """

    __slots__ = ("__weakref__", "_group", "_last", "depends_on_names", "name", "runners", "upstream")

    def __init__(self, group: ConsumerGroup[Any], name: str) -> None:
        """Have no runners yet; there will be one, or one a worker."""
        self._group = group
        self.name = name
        self.runners: list[Runner] = []
        self.depends_on_names: tuple[str, ...] = ()
        self.upstream: list[object] = []
        self._last: dict[str, Row] = {}

    def depends_on(self, *names: str) -> Consumer:
        """Hand each event to this consumer only after those named are done with it.

        Args:
            names: consumers of this group or of others on the ring; several calls add up.

        Returns:
            The consumer itself.

        Raises:
            TopologyError: nobody has that name, it would make a cycle, or the group runs.
        """
        self._group.connect(self, names)
        return self

    @property
    def entries(self) -> int:
        """Its entries in the ring's registry, a bit each."""
        return sum(1 << runner.index for runner in self.runners if runner.index < MOST_CONSUMERS)

    @property
    def sequence(self) -> int:
        """The last sequence it is done with; of several workers, the lowest."""
        return min(runner.sequence for runner in self.runners)

    @property
    def missed(self) -> int:
        """Events it was lapped by; only a consumer that does not gate is."""
        return sum(runner.missed for runner in self.runners)

    @property
    def state(self) -> Any:
        """What a compiled handler works on: the array that `add` was given, or a record with the fields as attributes.

        It may be read while the handler runs; each field by itself is whole. None without a state.

        Raises:
            ConfigurationError: it is not compiled, has several workers (see `states`), or runs in another process.
        """
        states = self.states
        if len(states) != 1:
            raise ConfigurationError(f"{self.name!r} has {len(states)} workers with a state each", "read states")
        return states[0]

    @property
    def states(self) -> tuple[Any, ...]:
        """The states of all workers; see `state`."""
        compiled = [runner for runner in self.runners if isinstance(runner, _core.CompiledProcessor)]
        if not compiled:
            raise ConfigurationError(f"{self.name!r} has no state here", "a compiled handler in this process has one")
        return tuple(runner.state for runner in compiled)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of its own that it runs in now (`process=True`); empty before they have started."""
        return tuple(
            runner.process.pid
            for runner in self.runners
            if isinstance(runner, RemoteProcessor) and runner.process is not None and runner.process.pid is not None
        )

    @property
    def left(self) -> bool:
        """Whether it has left the ring."""
        return all(runner.left for runner in self.runners)

    def release(self, sequence: int) -> None:
        """Be done early with everything up to `sequence`, from inside the handler.

        Producers and dependents see it at once.

        Args:
            sequence: at most the one before the event in hand.

        Raises:
            ClaimError: a later sequence, or no event in hand.
        """
        if len(self.runners) != 1:
            raise TopologyError(f"{self.name!r} has several workers", "early release is for a single consumer")
        self.runners[0].release(sequence)

    def keep_counts(self, rows: dict[str, Row]) -> None:
        """Keep the last counts, for statistics after it has left."""
        self._last = {runner.name: rows[runner.name] for runner in self.runners if runner.name in rows}

    def latency_of(self, name: str) -> Latency:
        """The latency of the runner of that name."""
        return next((runner.latency() for runner in self.runners if runner.name == name), None)

    def statistics(self) -> ConsumerStatistics:
        """Return what it has counted; of several workers, the sum, and the slowest one's sequence and latency."""
        rows, cursor = self._group.rows()
        return self.summary(rows, cursor)

    def summary(self, rows: dict[str, Row], cursor: int) -> ConsumerStatistics:
        """The statistics from the rows of the ring."""
        known = {**self._last, **{name: row for name, row in rows.items() if not self.left}}
        own = [known.get(runner.name) or _own_row(runner) for runner in self.runners]
        slowest = min(own, key=lambda row: row.sequence)
        total = slowest._replace(
            name=self.name,
            events=sum(row.events for row in own),
            batches=sum(row.batches for row in own),
            waits=(sum(row.waits[0] for row in own), sum(row.waits[1] for row in own)),
            missed=sum(row.missed for row in own),
        )
        return consumer_statistics(total, cursor, self.latency_of(slowest.name), "left" if self.left else None)

    def __repr__(self) -> str:
        return f"<Consumer {self.name!r} at {self.sequence}>"


def _own_row(runner: Runner) -> Row:
    """What a watcher of a read-only ring counts itself."""
    return Row(
        entry=runner.index,
        name=runner.name,
        state=2,
        sequence=runner.sequence,
        gating=False,
        depends_on=0,
        events=runner.events,
        batches=0,
        waits=(0, 0),
        missed=runner.missed,
    )
