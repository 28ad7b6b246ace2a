"""A graph of consumers that start and stop together.

Source: LMAX Disruptor 4.0, `dsl.Disruptor`. Differs: nothing published is lost when starting and stopping
at once; a stop with a time-out halts what is left; a failure reaches the producers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, Unpack, overload

from ringbus import _core, lifecycle
from ringbus.asynchronous import AsyncProcessor
from ringbus.consumer import Consumer
from ringbus.crew import Crew
from ringbus.deadline import Deadline
from ringbus.draining import check_can_run_out, check_done, laggards, run_out, wait_until_done
from ringbus.errors import ClaimError, ConfigurationError, HaltedError, TopologyError, WaitTimeout
from ringbus.failures import Failures
from ringbus.generics import E, Handler, Rows, T
from ringbus.leaving import leave
from ringbus.members import Members
from ringbus.options import ConsumerOptions, role_of
from ringbus.policies import OnError, policy
from ringbus.remote import OnDeath
from ringbus.statistics import Frozen, GroupStatistics, Row
from ringbus.waits import WaitStrategy

if TYPE_CHECKING:
    from ringbus.ring import RingBuffer

H = TypeVar("H", bound=Callable[..., Any])

_GRACE = 0.1
"""Seconds that a handler has to return in, when the time of a stop is over."""


class ConsumerGroup(Generic[E]):
    """Consumers of one ring, their graph, and their threads. Made by `RingBuffer.consumer_group`.

    A consumer takes part, and holds producers back, from `add` on: what is published before `start` is
    delivered. As a context manager the group starts, and at the end drains, stops and raises what its
    handlers raised. A group runs once; when it has stopped, its consumers have left the ring.

    Threads:
        `halt` and `statistics` from any; the others from one at a time.
    """

    def __init__(
        self,
        ring: RingBuffer[E],
        name: str,
        *,
        one_thread: bool,
        on_error: OnError,
        wait: WaitStrategy,
        drain_timeout: float | None,
        dynamic: bool,
        at_exit: Literal["drain", "halt"],
    ) -> None:
        """Make an empty group; see `RingBuffer.consumer_group`."""
        self.name = name
        self.ring = ring
        self._roster = ring._roster
        self.at_exit = at_exit
        self.drain_timeout = drain_timeout
        self.one_thread = one_thread
        self.policy = policy(on_error)
        self.wait = wait
        self._dynamic = dynamic
        self._members = Members(self._roster)
        self._state = "new"
        self._ending = False
        self._halted = False
        self._pid = os.getpid()
        self.failures = Failures(name)
        self._crew = Crew(self)
        lifecycle.register(self)

    # -- building ---------------------------------------------------------------------------------------------

    @overload
    def add(
        self, name: str, handler: Handler[T], *, kinds: Sequence[type[T]], **options: Unpack[ConsumerOptions[T]]
    ) -> Consumer: ...
    @overload
    def add(
        self, name: str, handler: Callable[[E], object], *, kinds: None = None, **options: Unpack[ConsumerOptions[E]]
    ) -> Consumer: ...
    @overload
    def add(
        self,
        name: str,
        handler: Callable[[E, int], object],
        *,
        kinds: None = None,
        **options: Unpack[ConsumerOptions[E]],
    ) -> Consumer: ...
    @overload
    def add(
        self,
        name: str,
        handler: Callable[[E, int, bool], object],
        *,
        kinds: None = None,
        **options: Unpack[ConsumerOptions[E]],
    ) -> Consumer: ...
    @overload
    def add(
        self,
        name: str,
        handler: Callable[[E, Any, int], object] | Callable[[E, Any, int, bool], object],
        *,
        kinds: None = None,
        **options: Unpack[ConsumerOptions[E]],
    ) -> Consumer: ...
    @overload
    def add(
        self,
        name: str,
        handler: Callable[[Rows], object],
        *,
        kinds: Sequence[type] | None = None,
        **options: Unpack[ConsumerOptions[E]],
    ) -> Consumer: ...
    @overload
    def add(
        self,
        name: str,
        handler: Callable[[Rows, int], object],
        *,
        kinds: Sequence[type] | None = None,
        **options: Unpack[ConsumerOptions[E]],
    ) -> Consumer: ...
    def add(
        self,
        name: str,
        handler: Callable[..., Any],
        *,
        wait: str | WaitStrategy | None = None,
        max_batch: int | None = None,
        on_error: OnError | None = None,
        gating: bool = True,
        start: int | str | None = None,
        workers: int = 1,
        key: str | Callable[[Any], object] | None = None,
        kinds: Sequence[type] | None = None,
        depends_on: Sequence[str] = (),
        timeout: float | None = None,
        durable: bool = False,
        absent_limit: int | None = None,
        evict_after: float | None = None,
        process: bool = False,
        on_death: OnDeath = "halt",
        state: object = None,
        cpu: int | Sequence[int] | None = None,
    ) -> Consumer:
        """Add a consumer. It takes part from here on: events published from now on are its to handle.

        Args:
            name: its name, unique on the ring.
            handler: `h(event[, sequence[, end_of_batch]])`; one marked `@ringbus.batch` or `@ringbus.compiled`; an
                `async def`; or a C function, as a pointer of ctypes or cffi, a `scipy.LowLevelCallable` or a capsule.
                An object may also have `on_start()`, `on_shutdown()`, `on_batch_start(size)` and
                `on_timeout(sequence)`.
            wait: how it waits; left out, as the group.
            max_batch: the most events before it lets producers and dependents go on.
            on_error: its own policy; left out, the group's.
            gating: False is never waited for: it may be lapped, is told how many events it missed
                (`missed`), and never sees torn data.
            start: None begins at the place held for it (`require=`), or else after the cursor; "latest";
                "oldest"; or a sequence that is held for it.
            workers: how many share the events, each to one of them.
            key: a field's name or a callable: events of the same key go to the same worker, in order. Without
                it, an event goes to whoever is free.
            kinds: the event types it takes; left out, those its annotation names, or all.
            depends_on: as `Consumer.depends_on`; the only way in a running dynamic group.
            timeout: seconds without an event after which `on_timeout` is called, again and again.
            durable: in a shared ring, keep its place, and gate, while its process is away: it resumes after the last
                sequence it was done with, so an event may come twice but none is lost.
            absent_limit: the most events a durable one may be behind while it is away; past that it is let go, and on
                its return begins after the cursor and is told how many it missed.
            evict_after: how long producers wait for it, in seconds: when it has not moved for so long though it could,
                it is evicted, and gets EvictedError when it goes on. For a ring attached with `read_only="slots"`, or
                with process=True; None is for ever.
            process: run the handler in a process of its own, which attaches to the shared ring. It has to be a function
                at the top level of a module; what it raises reaches the group with the traceback it had there.
            on_death: what follows when that process dies: "halt" halts the group with PeerDiedError; "restart", or a
                `Restart`, starts it again, and it goes on after the last sequence it was done with.
            state: what a compiled handler works on, to be read as `group[name].state`: a mapping of names to first
                values, a structured dtype, which begins as zeros, or an array, which is used itself. Each worker has
                its own copy.
            cpu: the processor that its thread is bound to; of several workers, one for each in turn.

        Raises:
            CompilationError: Numba cannot compile a handler marked `@ringbus.compiled`.
            TopologyError: the name is taken or too long, or the group runs and is not dynamic.
            PeerDiedError: a consumer of another process that it was to follow left or died meanwhile.
            ConfigurationError: a signature that no handler has, or options that do not go together.
        """
        self.ring._ring.check_fork()
        self._check_can_add(name)
        role = role_of(
            self,
            name,
            handler,
            kinds=kinds,
            wait=wait,
            max_batch=max_batch,
            on_error=on_error,
            gating=gating,
            start=start,
            workers=workers,
            key=key,
            timeout=timeout,
            durable=durable,
            absent_limit=absent_limit,
            evict_after=evict_after,
            process=process,
            on_death=on_death,
            state=state,
            cpu=cpu,
        )
        consumer = self._members.join(self, role, depends_on)
        if role.cpus and role.assignment is None:
            self._crew.pin(consumer.runners, role.cpus)
        if self._state == "running":
            self._crew.start(consumer.runners)
        return consumer

    def consumer(
        self, name: str, *, kinds: Sequence[type] | None = None, **options: Unpack[ConsumerOptions[E]]
    ) -> Callable[[H], H]:
        """Add the decorated function as a consumer; takes the options of `add`.

        Example:
            @group.consumer("price", depends_on=("book",))
            def price(event): ...
        """

        def decorate(handler: H) -> H:
            self.add(name, handler, kinds=kinds, **options)
            return handler

        return decorate

    def _check_can_add(self, name: str) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"a consumer's name is {name!r}", "use a text")
        if self._state in ("stopped", "failed"):
            raise TopologyError(f"group {self.name!r} has stopped", "make a new group")
        if self._state != "new" and not self._dynamic:
            remedy = "add consumers before it starts, or make it with dynamic=True"
            raise TopologyError(f"group {self.name!r} runs, so {name!r} cannot be added", remedy)
        if self._state != "new" and self.one_thread:
            raise TopologyError(f"group {self.name!r} runs on one thread", "add consumers before it starts")
        if name in self._members.named or self._roster.is_taken(name):
            raise TopologyError(f"a consumer named {name!r} is on the ring", "choose another name")

    def connect(self, consumer: Consumer, names: Sequence[str]) -> None:
        """Make `consumer` follow those named; see `Consumer.depends_on`."""
        self.ring._ring.check_fork()
        if self._state != "new":
            remedy = "give depends_on= to add, or connect before the group starts"
            raise TopologyError(f"group {self.name!r} has started, so {consumer.name!r} cannot be connected", remedy)
        self._members.connect(consumer, names)

    def __getitem__(self, name: str) -> Consumer:
        """The consumer of that name.

        Raises:
            KeyError: the group has none.
        """
        return self._members.named[name]

    def __iter__(self) -> Iterator[Consumer]:
        return iter(tuple(self._members.named.values()))

    def __len__(self) -> int:
        return len(self._members.named)

    def __bool__(self) -> bool:
        """A group is true, however many consumers it has."""
        return True

    def remove(self, name: str) -> None:
        """Take a consumer out: it finishes the event in hand and leaves the ring.

        Raises:
            TopologyError: others depend on it, or the group runs and is not dynamic.
            KeyError: the group has none of that name.
        """
        self.ring._ring.check_fork()
        consumer = self._members.named[name]
        if self._state == "running" and not self._dynamic:
            raise TopologyError(f"group {self.name!r} is not dynamic", "make it with dynamic=True")
        self._members.check_not_followed(consumer)
        for runner in consumer.runners:
            runner.halt()
            if self._state == "manual" and isinstance(runner, _core.Processor | _core.CompiledProcessor):
                runner.end()
        self._crew.let_go(consumer.runners)
        leave(self, [consumer])
        self._members.forget(consumer)

    # -- running ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of "new", "running", "stopped" and "failed"."""
        return "failed" if self.failures else self._state

    @property
    def has_stopped(self) -> bool:
        """Whether it has ended and left the ring."""
        return self._state == "stopped"

    def start(self) -> Self:
        """Start the consumers, a thread each (or one for all).

        Raises:
            TopologyError: it was started before, or has no consumers.
            ConfigurationError: an async handler, and no asyncio loop runs.
        """
        self.ring._ring.check_fork()
        with contextlib.ExitStack() as undo:
            with self._crew.lock:
                if self._state != "new":
                    raise TopologyError(f"group {self.name!r} was started before", "make a new group")
                if not self._members.named:
                    raise TopologyError(f"group {self.name!r} has no consumers", "add one first")
                self._crew.check_can_start(self._members.runners_in_order(), on_one=self.one_thread)
                self._state = "running"
                undo.callback(self.halt)
                self.ring._begin_group()
                lifecycle.running(self, self._crew.started)
                self._crew.start_all(self._members.runners_in_order(), on_one=self.one_thread)
            undo.pop_all()
        return self

    def run_once(self) -> int:
        """Handle what is there now, on the caller's thread, each consumer in the order of the graph.

        For tests and for loops of one's own, in place of `start`.

        Returns:
            Events handed to handlers; 0 when there were none.

        Raises:
            HandlerError: a handler failed and its policy halts.
        """
        self.ring._ring.check_fork()
        if self._state not in ("new", "manual"):
            raise TopologyError(f"group {self.name!r} runs on threads of its own", "use run_once in place of start")
        handled = self._run_out(self.ring._ring.published())
        if self.failures:
            self._finish()
        self.failures.raise_any()
        return handled

    def _run_out(self, target: int) -> int:
        """Run each consumer in turn until all are done with `target` or none can go on; the events handled."""
        ordered = self._members.runners_in_order()
        check_can_run_out(ordered)
        self._state = "manual"
        return run_out(ordered, target, self.ring.capacity)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until every event published up to now is handled by every consumer; one that does not gate skips some.

        Args:
            timeout: the longest wait, in seconds; None waits for ever.

        Raises:
            WaitTimeout: it names who lagged.
            HandlerError: a handler failed meanwhile.
            HaltedError: the group was halted.
            TopologyError: there are events, and the group does not run.
        """
        self.ring._ring.check_fork()
        self._check_not_on_loop("drain")
        if self._state in ("new", "manual") and laggards(self._members.runners(), self.ring._ring.published()):
            raise TopologyError(f"group {self.name!r} does not run", "start it, or call run_once until it returns 0")
        late = self._drain(timeout)
        self.failures.raise_any()
        if self._halted:
            raise HaltedError(self.name)
        check_done(f"draining group {self.name!r}", timeout, late)

    def _drain(self, timeout: float | None) -> tuple[str, ...]:
        """Wait; the names of those that are not done in time. Ends early when the group fails or is halted."""
        return wait_until_done(self.ring._ring, self._members.runners(), timeout, self.failures, self._crew.moves)

    def halt(self) -> None:
        """Stop at once: each handler finishes the event it has in hand, and no other. Waits for the threads.

        From inside a handler it does not wait. Halted before it started, the group ends as it starts.
        """
        self.ring._ring.check_fork()
        self.halt_soon()
        if self._state != "new" and not self._crew.on_own_thread() and not self._crew.on_own_loop():
            self._finish()

    def halt_soon(self) -> None:
        """Halt without waiting for it."""
        self._halted = self._ending = True
        self._halt_runners()

    def _halt_runners(self) -> None:
        for runner in self._members.runners():
            runner.halt()

    def stop(self, timeout: float | None = None) -> None:
        """Drain, then stop: every event published before is handled by everyone, started up or not.

        Args:
            timeout: the longest wait for the events left, in seconds; None waits for ever.

        Raises:
            WaitTimeout: somebody lagged; it names who, and everything was halted.
            HandlerError: what a handler raised; several as an ExceptionGroup.
        """
        self.ring._ring.check_fork()
        if self._crew.on_own_thread():
            raise ClaimError(f"group {self.name!r} cannot stop inside its own handler", "use halt() there")
        self._check_not_on_loop("stop")
        target, never_started = self.ring._ring.published(), self._state == "new" and not self._halted
        if self._state == "manual" or (never_started and laggards(self._members.runners(), target)):
            self._run_out(target)
        deadline = Deadline(timeout)
        late = self._drain(timeout) if self._state == "running" else ()
        self._ending = True
        self._halt_runners()
        left = deadline.left()
        if left is not None and not self.join(max(_GRACE, left)):
            # The last thread to end leaves the ring; until then its consumers hold on to their events.
            raise WaitTimeout(f"stopping group {self.name!r}", timeout or 0.0, (*late, *self._crew.alive()))
        self._finish()
        self.failures.raise_any()
        check_done(f"stopping group {self.name!r}", timeout, late)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the threads to end, after `halt` or a failure.

        Returns:
            False on a time-out.
        """
        self.ring._ring.check_fork()
        self._check_not_on_loop("join")
        return self._crew.join(timeout)

    def _check_not_on_loop(self, verb: str) -> None:
        if self._crew.on_own_loop():
            fact = f"{verb} of group {self.name!r} would hold up the event loop that its async handlers run on"
            raise ConfigurationError(fact, f"leave 'async with group:', or await asyncio.to_thread(group.{verb})")

    def _finish(self) -> None:
        """Join the threads and leave the ring; once."""
        self._crew.join_threads()
        self._crew.join_tasks()
        with self._crew.lock:
            if self._state == "stopped":
                return
            manual, self._state = self._state == "manual", "stopped"
        if manual:
            for runner in self._members.runners_in_order():
                runner.end()
        self._leave()
        lifecycle.ended(self)

    def _leave(self) -> None:
        """Leave the ring, each consumer before those that it follows."""
        leave(self, reversed(self._members.in_order()))

    def follows(self, other: ConsumerGroup[Any]) -> bool:
        """Whether a consumer of this group depends on one of the other's, on the same ring."""
        wanted = set(other._members.named)
        return self.ring is other.ring and any(wanted & set(consumer.depends_on_names) for consumer in self)

    def fail(self, error: BaseException) -> None:
        """Take a failure down: the group halts, and whoever publishes next gets the error."""
        self.failures.add(error)
        self.ring._group_failed(self, error)
        self._halt_runners()

    def drain_at_exit(self, limit: float) -> None:
        """At the end of the interpreter: drain for `limit` seconds."""
        late = self._drain(limit)
        if not self.failures:
            check_done(f"draining group {self.name!r}", limit, late)

    def end_at_exit(self) -> None:
        """At the end of the interpreter: halt, join what ends in a second, and raise what nobody was told of."""
        self._halt_runners()
        self._crew.join_threads(1.0)
        if not self.failures.told:
            self.failures.raise_any()

    def runner_ended(self) -> None:
        """The last thread or task of a failed or halted group lets the producers go."""
        with self._crew.lock:
            if not self._crew.count_off():
                return
            if self._ending or self.failures:
                self._state = "stopped"
                if not self.failures:
                    lifecycle.ended(self)
        self._leave()

    # -- as a context manager -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if any(isinstance(runner, AsyncProcessor) for runner in self._members.runners()):
            raise ConfigurationError(f"group {self.name!r} has async handlers", "use 'async with group:'")
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain, stop, and raise what handlers raised; after an exception in the body, halt and add notes to it."""
        if error is None:
            self._stop_or_halt()
        elif os.getpid() == self._pid:
            self.halt()
            self.failures.note(error)

    def _stop_or_halt(self) -> None:
        """Stop; what interrupts that, such as Ctrl-C, halts the group and does not wait for it."""
        try:
            self.stop(self.drain_timeout)
        except BaseException:
            if self._state == "running" and os.getpid() == self._pid:
                self.halt_soon()
            raise

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        late: tuple[str, ...] = ()
        try:
            if error is None:
                late = await asyncio.to_thread(self._drain, self.drain_timeout)
        except BaseException:
            await self._end_tasks(cancel=True)
            raise
        await self._end_tasks(cancel=bool(late) or isinstance(error, asyncio.CancelledError))
        if error is not None:
            self.failures.note(error)
            return
        self.failures.raise_any()
        check_done(f"stopping group {self.name!r}", self.drain_timeout, late)

    async def _end_tasks(self, *, cancel: bool) -> None:
        """Halt and leave the ring; async handlers that are cancelled do not finish the event in hand."""
        self._halt_runners()
        await self._crew.end_tasks(cancel=cancel)
        await asyncio.to_thread(self._finish)

    # -- looking --------------------------------------------------------------------------------------------------

    def rows(self) -> tuple[dict[str, Row], int]:
        """The ring's counts by name, and the last published sequence."""
        return {row.name: row for row in self._roster.rows()}, self.ring._ring.published()

    def statistics(self) -> GroupStatistics:
        """Return what the group's consumers have counted; after the stop, what they had counted by then."""
        rows, cursor = self.rows()
        state = "running" if self.state == "manual" else self.state
        consumers = Frozen((consumer.name, consumer.summary(rows, cursor)) for consumer in self)
        return GroupStatistics(self.name, state, consumers)

    def __repr__(self) -> str:
        return f"<ConsumerGroup {self.name!r}, {self.state}: {', '.join(self._members.named) or 'no consumers'}>"
