"""The ring: preallocated events between producers and consumers.

Source: LMAX Disruptor 4.0, `RingBuffer` and `dsl.Disruptor`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from ringbus import _core
from ringbus.creation import EventRingOptions, RingOptions, attached_ring, check_choice, new_ring
from ringbus.errors import ConfigurationError
from ringbus.event import Event, EventMeta
from ringbus.generics import E, P, T
from ringbus.group import ConsumerGroup
from ringbus.handlers import indices
from ringbus.policies import OnError
from ringbus.poller import EventPoller, PollerOptions, ReaderOptions, reader_facts
from ringbus.producer import Producer, Verbs
from ringbus.roster import Roster
from ringbus.source import Source
from ringbus.statistics import ConsumerStatistics, Frozen, RingStatistics, Row, consumer_statistics
from ringbus.subscription import Subscription
from ringbus.waits import WaitStrategy, wait_strategy


class RingBuffer(Verbs[E, P]):
    """A ring of preallocated events.

    Producers claim slots and publish them; consumers, each with a place of its own, follow them or each
    other. A full ring makes producers wait; it never loses an event. Without any consumer a ring
    overwrites.

    Args:
        event: an Event class; several as `Trade | Quote`; left out with `factory`.
        capacity: slots, a power of two.
        producers: "multi" (default), or "single" where one producer at a time is enough, and faster.
        wait: how producers wait for free slots, and the default of consumers.
        timeout: the longest wait of a verb, in seconds; None waits for ever.
        stamp: keep the publish time of each event (`event.published_ns`), and count latencies.
        start: the first sequence.
        require: names of consumers that have not come yet; producers wait for them from now on.
        factory: makes the object of each slot, for a ring of reusable Python objects.
        clear: called with each object all consumers are done with.
        name: makes a ring that other processes of this user attach to by this name (`ringbus.attach`). One that was
            left behind, with the same fields and sizes and nobody in it, goes on from its cursor.
        replace: begin anew under a name that exists; who is attached gets RingReplacedError.
        prefault: touch all memory now; otherwise pages are made as they are used.
        huge_pages: ask for huge pages; a warning says when there are none.

    Raises:
        CapacityError: no power of two, or too large.
        RingExistsError: somebody lives in the ring of that name.
        LayoutError: a ring of that name was left behind and has other fields or sizes.
        ConfigurationError: options that do not exist or do not go together.

    Threads:
        Any. After fork() the child gets ForkedError.

    Example:
        >>> class Tick(ringbus.Event):
        ...     price: float
        >>> ring = ringbus.RingBuffer(Tick, capacity=8)
        >>> group = ring.consumer_group("print")
        >>> _ = group.add("out", lambda tick: print(tick.price))
        >>> with group:
        ...     ring.publish(price=1.5)
        1.5

    Source: LMAX Disruptor 4.0, `RingBuffer`. Differs: a claim waits first and takes its sequences second.
    """

    @overload
    def __new__(cls, event: Callable[P, E], capacity: int = 1024, **options: Unpack[EventRingOptions]) -> Self: ...
    @overload
    def __new__(
        cls, event: UnionType | type[Event], capacity: int = 1024, **options: Unpack[EventRingOptions]
    ) -> Self: ...
    @overload
    def __new__(
        cls,
        event: None = None,
        capacity: int = 1024,
        *,
        factory: Callable[[], E],
        clear: Callable[[E], object] | None = None,
        **options: Unpack[RingOptions],
    ) -> Self: ...
    def __new__(
        cls,
        event: Callable[P, E] | UnionType | type[Event] | None = None,
        capacity: int = 1024,
        *,
        producers: Literal["multi", "single"] = "multi",
        wait: str | WaitStrategy = "blocking",
        timeout: float | None = None,
        stamp: bool = False,
        start: int = 0,
        require: Sequence[str] = (),
        factory: Callable[[], E] | None = None,
        clear: Callable[[E], object] | None = None,
        name: str | None = None,
        replace: bool = False,
        prefault: bool = False,
        huge_pages: bool = False,
    ) -> Self:
        """Make the ring."""
        strategy = wait_strategy(wait)
        native = new_ring(
            event,
            capacity,
            strategy=strategy,
            producers=producers,
            stamp=stamp,
            start=start,
            require=require,
            factory=factory,
            clear=clear,
            name=name,
            replace=replace,
            prefault=prefault,
            huge_pages=huge_pages,
        )
        return cls._of(native, name, strategy, timeout)

    @classmethod
    def _over(
        cls,
        name: str,
        segment: _core.Segment,
        types: tuple[EventMeta, ...],
        wait: str | WaitStrategy,
        timeout: float | None,
    ) -> Self:
        """A ring on a segment that this process has attached to."""
        strategy = wait_strategy(wait)
        return cls._of(attached_ring(name, segment, types, strategy), name, strategy, timeout)

    @classmethod
    def _of(cls, native: _core.Ring, name: str | None, strategy: WaitStrategy, timeout: float | None) -> Self:
        ring: Self = super().__new__(cls, native, timeout)
        ring._name = name
        ring._wait = strategy
        ring._pid = os.getpid()
        ring._failed = []
        ring._roster = Roster(native)
        return ring

    _name: str | None
    _wait: WaitStrategy
    _pid: int
    _failed: list[tuple[weakref.ref[ConsumerGroup[Any]], BaseException]]
    _roster: Roster

    if not TYPE_CHECKING:
        # A checker would take the arguments from here.
        def __init__(self, *arguments: Any, **options: Any) -> None:
            """Everything is done by `__new__`."""

    @property
    def capacity(self) -> int:
        """Slots."""
        return self._ring.capacity

    @property
    def cursor(self) -> int:
        """The highest sequence published (single producer) or claimed (multi); `start - 1` at first."""
        return self._ring.cursor

    @property
    def remaining_capacity(self) -> int:
        """Free slots now; claimed ones count as taken, published or not.

        What a single producer has claimed and not published counts in its own process alone.
        """
        return self._ring.remaining_capacity

    @property
    def minimum_sequence(self) -> int:
        """The lowest sequence of all consumers that gate; 2**63 - 1 without any."""
        return self._ring.minimum_sequence

    @property
    def producers(self) -> str:
        """How many producers it takes: "multi" or "single"."""
        return "multi" if self._ring.multi else "single"

    @property
    def name(self) -> str | None:
        """The name by which other processes attach; None for a ring of this process alone."""
        return self._name

    @property
    def read_only(self) -> bool | Literal["slots"]:
        """As it was attached: True for all of it, "slots" for the events, or False."""
        access = self._ring.access
        return access if access == "slots" else access == "read"

    def unlink(self) -> None:
        """Take the shared ring's name away. Who is attached keeps the memory, and gets RingReplacedError.

        Raises:
            RingNotFoundError: it has lost its name before.
        """
        self._ring.check_fork()
        self._ring.unlink()

    def forget(self, consumer: str) -> bool:
        """Take away the place of a durable consumer that is not coming back, or of one that never came.

        Returns:
            False when there is no such place, or its consumer is there.

        Raises:
            TopologyError: others depend on it.
        """
        self._ring.check_fork()
        return self._ring.forget(consumer)

    def recover(self) -> bool:
        """Do now what dead participants left undone, as every wait that lasts does by itself.

        Returns:
            Whether there was anything to do.
        """
        self._ring.check_fork()
        return self._ring.recover()

    @property
    def event_types(self) -> tuple[EventMeta, ...]:
        """The event types of its slots; empty for a ring of objects."""
        return self._ring.event_types

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._ring.closed

    def is_available(self, sequence: int) -> bool:
        """Whether `sequence` is published and not overwritten."""
        return self._ring.is_available(sequence)

    def producer(self, *, timeout: float | None = None) -> Producer[E, P]:
        """Make a handle with the same verbs and a time-out of its own.

        Args:
            timeout: the longest wait of a verb, in seconds; None waits for ever.
        """
        self._ring.check_fork()
        return Producer(self._ring, timeout)

    def source(
        self,
        function: Callable[..., Any],
        state: object = None,
        *,
        name: str | None = None,
        kind: type | None = None,
        batch: int = 1,
        limit: int | None = None,
        reset: bool = True,
        wait: str | WaitStrategy | None = None,
        timeout: float | None = None,
        cpu: int | None = None,
    ) -> Source:
        """Make a producer that runs as machine code on a thread of its own, without the GIL.

        In a ring with a single producer it is that producer while it runs: other verbs raise ClaimError meanwhile.

        Args:
            function: `f(event[, state[, sequence]])`, which Numba compiles, or a C function. It fills the event. False
                or 0 ends the source, with nothing published for that call; a negative number or an exception is a
                failure.
            state: what the function works on, to be read as `source.state`; as for `ConsumerGroup.add`.
            name: for messages and its thread; left out, the function's.
            kind: the event type it fills; left out, the one its annotation names, or the only one.
            batch: events it claims and publishes at a time.
            limit: events after which it ends; None has no end.
            reset: whether each event gets its defaults first. False leaves what the slot held a lap ago, to a function
                that fills every field.
            wait: how it waits for free slots; left out, as the ring.
            timeout: the longest wait for free slots, in seconds; None waits for ever.
            cpu: the processor that its thread is bound to.

        Raises:
            CompilationError: Numba cannot compile the function.
            ConfigurationError: Numba is not installed, or options that do not go together.
            CapacityError: a batch that the ring has no room for.
        """
        self._ring.check_fork()
        return Source(
            self,
            function,
            state,
            name=name,
            kind=kind,
            batch=batch,
            limit=limit,
            reset=reset,
            wait=self._wait if wait is None else wait_strategy(wait),
            timeout=timeout,
            cpu=cpu,
        )

    def consumer_group(
        self,
        name: str,
        *,
        threads: Literal[1] | None = None,
        on_error: OnError = "halt",
        wait: str | WaitStrategy | None = None,
        drain_timeout: float | None = None,
        dynamic: bool = False,
        at_exit: Literal["drain", "halt"] = "drain",
    ) -> ConsumerGroup[E]:
        """Make a group: a graph of consumers that start and stop together.

        Args:
            name: for messages and threads.
            threads: None gives each handler a thread; 1 runs all of them in order on one.
            on_error: what follows a failure, unless a consumer has a policy of its own.
            wait: how its consumers wait; left out, as the ring's.
            drain_timeout: the longest wait for the events left when the `with` ends, in seconds.
            dynamic: whether consumers may be added and removed while it runs.
            at_exit: what happens when the interpreter ends while it runs.
        """
        self._ring.check_fork()
        if threads not in (None, 1):
            raise ConfigurationError(f"threads is {threads!r}", "use None (a thread each) or 1 (one for all)")
        check_choice("at_exit", at_exit, ("drain", "halt"))
        return ConsumerGroup(
            self,
            name,
            one_thread=threads == 1,
            on_error=on_error,
            wait=self._wait if wait is None else wait_strategy(wait),
            drain_timeout=drain_timeout,
            dynamic=dynamic,
            at_exit=at_exit,
        )

    @overload
    def poller(self, name: str, *, kinds: None = None, **options: Unpack[PollerOptions]) -> EventPoller[E]: ...
    @overload
    def poller(self, name: str, *, kinds: Sequence[type[T]], **options: Unpack[PollerOptions]) -> EventPoller[T]: ...
    def poller(
        self,
        name: str,
        *,
        gating: bool = True,
        wait: str | WaitStrategy | None = None,
        max_batch: int | None = None,
        kinds: Sequence[type] | None = None,
        start: int | str | None = None,
        depends_on: Sequence[str] = (),
        evict_after: float | None = None,
    ) -> EventPoller[Any]:
        """Make a consumer that is asked for events on the caller's own loop.

        It gates the producers from here on (unless `gating=False`), until it is closed.

        Args:
            name: its name on the ring.
            gating: False is never waited for: it may be lapped, is told how many events it missed
                (`missed`), and never sees torn data.
            wait: how it waits; left out, as the ring's.
            max_batch: the most events it looks at before it lets producers go on.
            kinds: the event types it takes; left out, all.
            start: None begins at the place held for it (`require=`), or else after the cursor; "latest";
                "oldest"; or a sequence that is held for it.
            depends_on: consumers whose work on an event it waits for.
            evict_after: how long producers wait for it, in seconds; past that it is evicted and gets EvictedError.
                For a ring attached with `read_only="slots"`; None is for ever.
        """
        facts = reader_facts(
            name,
            indices(tuple(kinds or ()), self.event_types, f"poller {name!r}"),
            wait=self._wait if wait is None else wait_strategy(wait),
            max_batch=max_batch,
            gating=gating,
            start=start,
            evict_after=evict_after,
        )
        return self._roster.poller(facts, depends_on)

    @overload
    def subscribe(self, name: str, *, kinds: None = None, **options: Unpack[ReaderOptions]) -> Subscription[E]: ...
    @overload
    def subscribe(
        self, name: str, *, kinds: Sequence[type[T]], **options: Unpack[ReaderOptions]
    ) -> Subscription[T]: ...
    def subscribe(
        self,
        name: str,
        *,
        gating: bool = True,
        max_batch: int | None = None,
        kinds: Sequence[type] | None = None,
        start: int | str | None = None,
        depends_on: Sequence[str] = (),
        evict_after: float | None = None,
    ) -> Subscription[Any]:
        """Make an asynchronous iterator over the events, on the event loop that runs it.

        It takes part from here on, as a poller does, and is woken by the publisher: no polling, no thread.

        Args:
            name: its name on the ring.
            gating: as for `poller`.
            max_batch: as for `poller`.
            kinds: as for `poller`.
            start: as for `poller`.
            depends_on: as for `poller`.
            evict_after: as for `poller`.

        Example:
            async for event in ring.subscribe("ui"): ...
        """
        return Subscription(
            self.poller(
                name,
                gating=gating,
                max_batch=max_batch,
                kinds=kinds,
                start=start,
                depends_on=depends_on,
                evict_after=evict_after,
            )
        )

    def _group_failed(self, group: ConsumerGroup[Any], error: BaseException) -> None:
        """Have every later verb of a producer raise `error`."""
        self._failed.append((weakref.ref(group), error))
        self._ring.fail(error)

    def _begin_group(self) -> None:
        """A group that starts takes back the failures of those that have stopped: who stopped them has the error."""
        self._failed = [
            (group, error) for group, error in self._failed if (known := group()) is not None and not known.has_stopped
        ]
        self._ring.fail(self._failed[0][1] if self._failed else None)

    def statistics(self) -> RingStatistics:
        """Return what the ring and each of its consumers have counted.

        Cost: reads the counters; costs the ring nothing.
        """
        cursor = self._ring.published()
        return RingStatistics(
            capacity=self.capacity,
            cursor=self.cursor,
            remaining=self.remaining_capacity,
            pads=self._ring.pads,
            producers=self.producers,
            slot_bytes=self._ring.slot_bytes,
            pages=self._ring.pages,
            consumers=Frozen((row.name, self._row_statistics(row, cursor)) for row in self._roster.rows()),
        )

    def _row_statistics(self, row: Row, cursor: int) -> ConsumerStatistics:
        return consumer_statistics(row, cursor, self._roster.latency_of(row.name))

    def close(self) -> None:
        """Close the ring: every later verb raises ClosedError, and pollers end when they have seen all."""
        self._ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or os.getpid() == self._pid:
            self.close()

    def __len__(self) -> int:
        """Slots."""
        return self.capacity

    def __bool__(self) -> bool:
        """A ring is true, however many slots it has."""
        return True

    def __repr__(self) -> str:
        types = " | ".join(known.__name__ for known in self.event_types) or "objects"
        at = f"cursor {self.cursor}" if os.getpid() == self._pid else f"of process {self._pid}"
        return f"<RingBuffer {types}, {self.capacity} slots, {self.producers} producer(s), {at}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a shared ring as its name; refuse a private one, whose memory is this process's own."""
        if self._name is not None:
            from ringbus.sharing import reattach

            return reattach, (self._name, self.event_types, self.timeout, self.read_only)
        raise ConfigurationError(
            f"{self!r} is private to process {os.getpid()} and cannot be pickled", "pass events, or make the ring there"
        )


_core.install_verbs(RingBuffer)
