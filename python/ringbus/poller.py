"""A consumer that is asked: pull instead of push.

Source: LMAX Disruptor 4.0, `EventPoller`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace, TracebackType
from typing import Any, Generic, Self, TypedDict, cast

from ringbus import _core
from ringbus.errors import ConfigurationError, ForkedError
from ringbus.generics import E, Rows
from ringbus.statistics import Latency
from ringbus.waits import WaitStrategy

MOST_CONSUMERS = 64
"""Entries of a ring's registry. A watcher of a read-only ring has none: its index is beyond them."""


class ReaderOptions(TypedDict, total=False):
    """The options of `RingBuffer.subscribe`, but for `kinds`."""

    gating: bool
    max_batch: int | None
    start: int | str | None
    depends_on: Sequence[str]
    evict_after: float | None


class PollerOptions(ReaderOptions, total=False):
    """The options of `RingBuffer.poller`, but for `kinds`."""

    wait: str | WaitStrategy | None


def reader_facts(
    name: str,
    kinds: list[int] | None,
    *,
    wait: WaitStrategy,
    max_batch: int | None,
    gating: bool,
    start: int | str | None,
    durable: bool = False,
    absent_limit: int | None = None,
    evict_after: float | None = None,
) -> SimpleNamespace:
    """What the core is told of a consumer.

    Raises:
        ConfigurationError: a batch size below 1, or terms that contradict each other.
    """
    if durable and not gating:
        raise ConfigurationError(f"{name!r} is durable and does not gate", "leave gating=False or durable=True out")
    if absent_limit is not None and (not durable or absent_limit < 1):
        fact = f"{name!r} has absent_limit={absent_limit}"
        raise ConfigurationError(fact, "use at least 1, for a durable consumer")
    if not isinstance(name, str):
        raise ConfigurationError(f"a consumer's name is {name!r}", "use a text")
    if start is not None and start not in ("latest", "oldest") and not isinstance(start, int):
        raise ConfigurationError(f"start is {start!r}", 'use "latest", "oldest" or a sequence')
    if max_batch is not None and not isinstance(max_batch, int):
        raise ConfigurationError(f"max_batch is {max_batch!r}", "use a whole number, at least 1, or None")
    if max_batch is not None and max_batch < 1:
        raise ConfigurationError(f"max_batch is {max_batch}", "use at least 1, or None")
    return SimpleNamespace(
        name=name,
        kinds=kinds,
        wait=wait.facts(),
        max_batch=max_batch,
        gating=bool(gating),
        start=start,
        durable=bool(durable),
        absent_limit=absent_limit or 0,
        evict_after=_nanoseconds(name, evict_after, gating),
    )


def _nanoseconds(name: str, evict_after: Any, gating: bool) -> int:
    if evict_after is None:
        return 0
    if not gating:
        raise ConfigurationError(f"{name!r} has evict_after= and does not gate", "leave one of them out")
    is_number = isinstance(evict_after, int | float) and not isinstance(evict_after, bool)
    if not is_number or not 0.001 <= evict_after <= 1e9:
        raise ConfigurationError(f"{name!r} has evict_after={evict_after!r}", "use seconds, 0.001 to 1e9, or None")
    return int(evict_after * 1e9)


class EventPoller(_core.Poller, Generic[E]):
    """Takes events on the caller's own loop. Made by `RingBuffer.poller`.

    What it hands out are events of their own, good for as long as they are kept. It gates the producers
    until it is closed: use it in a `with`.

    Threads:
        One at a time.
    """

    _upstream: list[object]

    def poll(self, handler: Callable[[E], object] | None = None, limit: int = 1024) -> int:
        """Hand what is there now to `handler`, and never wait.

        Args:
            handler: called with each event; a false answer other than None ends the poll after that event.
            limit: the most events.

        Returns:
            Events handed out; 0 when there were none.
        """
        if handler is None:
            return len(self._take(limit, 0.0))
        handed = 0
        while handed < limit and (event := self._try_next()) is not None:
            handed += 1
            answer = handler(cast("E", event))
            if answer is not None and not answer:
                break
        self._commit()
        return handed

    def take(self, limit: int = 1024, timeout: float | None = None) -> list[E]:
        """Return up to `limit` events, after waiting for the first.

        Args:
            limit: the most events.
            timeout: the longest wait, in seconds; None waits for ever; 0 does not wait.

        Returns:
            The events, done with; empty on a time-out or when the ring is closed and everything was taken. A
            ring of objects gives its own objects, which count as done with at the next call.
        """
        return self._take(limit, timeout)

    def take_array(self, limit: int = 1024, timeout: float | None = None) -> Rows | None:
        """Return up to `limit` events of one type as a structured array, after waiting for the first.

        Args:
            limit: the most events.
            timeout: as for `take`.

        Returns:
            A copy; None on a time-out or when the ring is closed and everything was taken.

        Shapes:
            array: (n,), structured, the event's dtype.
        """
        return self._take_rows(limit, timeout)

    def next(self, timeout: float | None = None) -> E | None:
        """Return the next event; None on a time-out or when the ring is closed and everything was taken.

        The event counts as done with at the next call.
        """
        return cast("E | None", self._next(timeout))

    def __iter__(self) -> Iterator[E]:
        """Iterate over the events, waiting for each, until the ring is closed and everything was taken."""
        return self

    def __next__(self) -> E:
        event = self._next(None)
        if event is None:
            raise StopIteration
        return cast("E", event)

    @property
    def entries(self) -> int:
        """Its entry in the ring's registry, as a bit."""
        return 1 << self.index if self.index < MOST_CONSUMERS else 0

    def latency_of(self, name: str) -> Latency:
        """Its latency."""
        return self.latency()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except ForkedError:
            if error is None:
                raise

    def __repr__(self) -> str:
        return f"<EventPoller {self.name!r} at {self.sequence}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise ConfigurationError(f"{self!r} is a place on a ring of this process", "make a poller where it is needed")
