"""A graph of consumers that start and stop together.

Source: LMAX Disruptor 4.0, `dsl.Disruptor`. Differs: nothing published is lost when starting and stopping
at once; a stop with a time-out halts what is left; a failure reaches the producers.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypedDict, TypeVar, Unpack, overload

from ringbus import _core, lifecycle
from ringbus.asynchronous import AsyncProcessor
from ringbus.consumer import Consumer, Runner
from ringbus.errors import (
    ClaimError,
    ConfigurationError,
    HaltedError,
    PeerDiedError,
    TopologyError,
    WaitTimeout,
)
from ringbus.failures import Failures
from ringbus.generics import E, Handler, Rows, T
from ringbus.handlers import Shape, indices, shape_of
from ringbus.policies import DECLINE, OnError, Policy, policy
from ringbus.poller import MOST_CONSUMERS, reader_facts
from ringbus.remote import Assignment, OnDeath, RemoteProcessor, Restart, importable, restart_of
from ringbus.statistics import GroupStatistics, Row
from ringbus.threads import RunnerThread
from ringbus.waits import WaitStrategy, wait_strategy

if TYPE_CHECKING:
    from ringbus.ring import RingBuffer

H = TypeVar("H", bound=Callable[..., Any])

_LOOK = 0.001
"""Seconds between looks at a watcher of a read-only ring."""
_GRACE = 0.1
"""Seconds that a handler has to return in, when the time of a stop is over."""
_SLICE = 0.05
"""Seconds between looks at failures while a drain waits."""


class ConsumerOptions(TypedDict, Generic[E], total=False):
    """The options of `ConsumerGroup.add`, but for `kinds`."""

    wait: str | WaitStrategy | None
    max_batch: int | None
    on_error: OnError | None
    gating: bool
    start: int | str | None
    workers: int
    key: str | Callable[[E], object] | None
    depends_on: Sequence[str]
    timeout: float | None
    durable: bool
    absent_limit: int | None
    process: bool
    on_death: OnDeath


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
        self.at_exit = at_exit
        self.drain_timeout = drain_timeout
        self._one_thread = one_thread
        self._policy = policy(on_error)
        self._wait = wait
        self._dynamic = dynamic
        self._consumers: dict[str, Consumer] = {}
        self._state = "new"
        self._threads: list[RunnerThread] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._started: weakref.WeakSet[Runner] = weakref.WeakSet()
        self._alive = 0
        self._ending = False
        self._halted = False
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self.failures = Failures(name)
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
        process: bool = False,
        on_death: OnDeath = "halt",
    ) -> Consumer:
        """Add a consumer. It takes part from here on: events published from now on are its to handle.

        Args:
            name: its name, unique on the ring.
            handler: `h(event[, sequence[, end_of_batch]])`; one marked `@ringbus.batch`; or an `async def`. An
                object may also have `on_start()`, `on_shutdown()`, `on_batch_start(size)` and
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
            process: run the handler in a process of its own, which attaches to the shared ring. It has to be a function
                at the top level of a module; what it raises reaches the group with the traceback it had there.
            on_death: what follows when that process dies: "halt" halts the group with PeerDiedError; "restart", or a
                `Restart`, starts it again, and it goes on after the last sequence it was done with.

        Raises:
            TopologyError: the name is taken or too long, or the group runs and is not dynamic.
            PeerDiedError: a consumer of another process that it was to follow left or died meanwhile.
            ConfigurationError: a signature that no handler has, or options that do not go together.
        """
        self.ring._ring.check_fork()
        self._check_can_add(name)
        shape = shape_of(name, handler)
        types = self._types(name, kinds, shape)
        facts = reader_facts(
            name,
            indices(types, self.ring.event_types, f"consumer {name!r}"),
            wait=self._wait if wait is None else wait_strategy(wait),
            max_batch=max_batch,
            gating=gating,
            start=start,
            durable=durable,
            absent_limit=absent_limit,
        )
        _check_workers(name, workers, key, shape.kind, gating)
        if shape.kind == "async" and timeout is not None:
            raise ConfigurationError(f"{name!r} is an async handler with timeout=", "use asyncio.timeout in a task")
        if process or on_death != "halt":
            return self._add_remote(
                name,
                handler,
                _remote_options(name, shape, on_error, process=process, workers=workers, gating=gating)
                | {"wait": wait, "max_batch": max_batch, "kinds": kinds, "timeout": timeout},
                restart_of(name, on_death),
                tuple(depends_on),
            )
        _check_key(name, key, types or self.ring.event_types)
        own_policy = self._policy if on_error is None else policy(on_error)
        entries = self._entries_for(name, depends_on)
        consumer = self._join(
            name, handler, facts, shape, workers=workers, key=key, own_policy=own_policy, timeout=timeout
        )
        consumer.depends_on_names = tuple(depends_on)
        consumer.upstream = self.ring._known(depends_on)
        for runner in consumer.runners:
            runner.depend_on(entries)
        try:
            self.ring._check_followed(depends_on, entries)
        except PeerDiedError:
            for runner in consumer.runners:
                runner.depend_on(0)  # the entry of who is gone may be its own by now
                runner.leave()
            raise
        self._consumers[name] = consumer
        self.ring._named[name] = consumer
        if self._state == "running":
            self._start_runners(consumer.runners)
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

    def _types(self, name: str, kinds: Sequence[type] | type | None, shape: Shape) -> tuple[type, ...]:
        """The event types that a consumer takes; none stands for all."""
        if isinstance(kinds, type):
            return (kinds,)
        if kinds is not None:
            return tuple(kinds)
        if shape.types is None and shape.kind != "batch" and len(self.ring.event_types) > 1:
            fact = f"the annotation of {name!r} cannot be evaluated, and the ring has several event types"
            raise ConfigurationError(fact, "give kinds=, or import what it names")
        return shape.types or ()

    def _check_can_add(self, name: str) -> None:
        if not isinstance(name, str):
            raise ConfigurationError(f"a consumer's name is {name!r}", "use a text")
        if self._state in ("stopped", "failed"):
            raise TopologyError(f"group {self.name!r} has stopped", "make a new group")
        if self._state != "new" and not self._dynamic:
            remedy = "add consumers before it starts, or make it with dynamic=True"
            raise TopologyError(f"group {self.name!r} runs, so {name!r} cannot be added", remedy)
        if self._state != "new" and self._one_thread:
            raise TopologyError(f"group {self.name!r} runs on one thread", "add consumers before it starts")
        if name in self._consumers or self.ring._is_taken(name):
            raise TopologyError(f"a consumer named {name!r} is on the ring", "choose another name")

    def _join(
        self,
        name: str,
        handler: Callable[..., Any],
        facts: SimpleNamespace,
        shape: Shape,
        *,
        workers: int,
        key: str | Callable[[Any], object] | None,
        own_policy: Policy,
        timeout: float | None,
    ) -> Consumer:
        runners: list[Runner] = []
        consumer = Consumer(self, name, runners)
        report = self.failures.reporter(weakref.ref(self), weakref.ref(consumer), own_policy)
        native = self.ring._ring
        if shape.kind == "async":
            runners.append(AsyncProcessor(native, facts, handler, shape.arity, report))
            return consumer
        shared = _core.Work() if workers > 1 and key is None else None
        try:
            for number in range(workers):
                facts.name = name if workers == 1 else f"{name}/{number}"
                worker = (number, workers, key) if workers > 1 else None
                what = _handler_facts(handler, shape, report, timeout=timeout, worker=worker, work=shared)
                runners.append(_core.Processor(native, facts, what))
        except BaseException:
            for runner in runners:
                runner.leave()
            raise
        if shared is not None:
            shared.start_at(max(runner.sequence for runner in runners))
        return consumer

    def _add_remote(
        self,
        name: str,
        handler: Callable[..., Any],
        options: dict[str, Any],
        restart: Restart | None,
        depends_on: tuple[str, ...],
    ) -> Consumer:
        if self.ring.name is None:
            raise ConfigurationError(f"{name!r} has process=True on a private ring", "give the ring a name=")
        importable(name, handler)
        self._entries_for(name, depends_on)
        options["durable"] = restart is not None
        owner = weakref.ref(self)

        def fail(error: BaseException) -> None:
            group = owner()
            if group is not None:
                group.fail(error)

        assignment = Assignment(self.ring.name, self.ring.event_types, self.name, name, handler, options)
        runner = RemoteProcessor(self.ring, assignment, restart, fail)
        consumer = Consumer(self, name, [runner])
        consumer.depends_on_names = depends_on
        consumer.upstream = self.ring._known(depends_on)
        runner.follow(depends_on)
        self._consumers[name] = consumer
        self.ring._named[name] = consumer
        if self._state == "running":
            self._start_runners(consumer.runners)
        return consumer

    def connect(self, consumer: Consumer, names: Sequence[str]) -> None:
        """Make `consumer` follow those named; see `Consumer.depends_on`."""
        self.ring._ring.check_fork()
        if self._state != "new":
            remedy = "give depends_on= to add, or connect before the group starts"
            raise TopologyError(f"group {self.name!r} has started, so {consumer.name!r} cannot be connected", remedy)
        together = tuple(dict.fromkeys((*consumer.depends_on_names, *names)))
        self._check_graph({consumer.name: together})
        before = self._entries_for(consumer.name, consumer.depends_on_names)
        entries = self.ring._entries(consumer.name, together)
        for runner in consumer.runners:
            runner.depend_on(entries)
        try:
            self.ring._check_followed(together, entries)
        except PeerDiedError:
            for runner in consumer.runners:
                runner.depend_on(before)
            raise
        consumer.depends_on_names = together
        consumer.upstream = self.ring._known(together)
        for runner in consumer.runners:
            if isinstance(runner, RemoteProcessor):
                runner.follow(together)

    def _entries_for(self, name: str, depends_on: Sequence[str]) -> int:
        return self.ring._entries(name, depends_on) if depends_on else 0

    def _check_graph(self, changed: dict[str, tuple[str, ...]]) -> list[str]:
        """The names in an order in which each comes after what it depends on."""
        graph = {name: list(consumer.depends_on_names) for name, consumer in self._consumers.items()}
        graph |= {name: list(depends_on) for name, depends_on in changed.items()}
        rows = (row.name for row in self.ring._rows())
        # Who was followed from the start may have died since: that must not keep the others from leaving.
        followed = (name for consumer in self._consumers.values() for name in consumer.depends_on_names)
        outside = sorted({*self.ring._named, *rows, *followed} - set(graph))
        order = _core.topological_order(list(graph.items()), outside)
        names = list(graph)
        return [names[index] for index in order]

    def __getitem__(self, name: str) -> Consumer:
        """The consumer of that name.

        Raises:
            KeyError: the group has none.
        """
        return self._consumers[name]

    def __iter__(self) -> Iterator[Consumer]:
        return iter(tuple(self._consumers.values()))

    def __len__(self) -> int:
        return len(self._consumers)

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
        consumer = self._consumers[name]
        if self._state == "running" and not self._dynamic:
            raise TopologyError(f"group {self.name!r} is not dynamic", "make it with dynamic=True")
        followers = {row.name.partition("/")[0] for row in self.ring._rows() if row.depends_on & consumer.entries}
        if followers:
            fact = f"{', '.join(sorted(followers))} depend on {name!r}"
            raise TopologyError(fact, "remove those first")
        for runner in consumer.runners:
            runner.halt()
            if self._state == "manual" and isinstance(runner, _core.Processor):
                runner.end()
        self._join_threads([thread for thread in self._threads if thread.name in _thread_names(self, consumer)])
        self._leave([consumer])
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._tasks = [task for task in self._tasks if not task.done()]
        del self._consumers[name]
        self.ring._named.pop(name, None)

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
            with self._lock:
                if self._state != "new":
                    raise TopologyError(f"group {self.name!r} was started before", "make a new group")
                if not self._consumers:
                    raise TopologyError(f"group {self.name!r} has no consumers", "add one first")
                self._check_graph({})
                self._check_can_run_async()
                self._state = "running"
                undo.callback(self.halt)
                self._start_all()
            undo.pop_all()
        return self

    def _start_all(self) -> None:
        self.ring._begin_group()
        lifecycle.running(self, self._started)
        if self._one_thread:
            self._start_one_thread()
        else:
            self._start_runners([runner for consumer in self for runner in consumer.runners])

    def _start_runners(self, runners: Iterable[Runner]) -> None:
        for runner in runners:
            self._started.add(runner)
            if isinstance(runner, AsyncProcessor):
                self._start_task(runner)
            else:
                self._start_thread(runner.run, runner.name)

    def _start_task(self, runner: AsyncProcessor) -> None:
        task = runner.start()
        self._tasks.append(task)
        self._alive += 1
        task.add_done_callback(self.failures.noted(weakref.ref(self)))

    def _check_can_run_async(self) -> None:
        for runner in self._ordered():
            if isinstance(runner, AsyncProcessor):
                if self._one_thread:
                    raise ConfigurationError(f"{runner.name!r} is an async handler", "leave threads=1 out")
                runner.loop()

    def _start_one_thread(self) -> None:
        ordered = self._ordered()
        self._started.update(ordered)
        self._start_thread(lambda: _core.run_serial(ordered), "all")

    def _start_thread(self, run: Callable[[], None], name: str) -> None:
        target = self.failures.guarded(weakref.ref(self), run, name)
        thread = RunnerThread(target, f"ringbus-{self.name}-{name}")
        with self._lock:  # so that nobody joins a thread that is not started yet
            self._threads.append(thread)
            self._alive += 1
            try:
                thread.start()
            except BaseException:
                if thread.ident is None:
                    self._threads.remove(thread)
                    self._alive -= 1
                raise

    def _ordered(self) -> list[Any]:
        return [runner for name in self._check_graph({}) for runner in self._consumers[name].runners]

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
        ordered = self._ordered()
        for runner in ordered:
            if isinstance(runner, AsyncProcessor | RemoteProcessor):
                fact = f"{runner.name!r} is an async handler or runs in a process of its own"
                raise ConfigurationError(fact, "start the group in place of run_once")
        self._state = "manual"
        before = _events(ordered)
        # A step over what it missed and a ring of events is all there can be for each, whatever a segment says.
        left = 2 * self.ring.capacity * len(ordered)
        while (moved := self._run_all(ordered)) and any(runner.sequence < target for runner in ordered):
            left -= min(moved, self.ring.capacity)
            if left <= 0:
                break
        return _events(ordered) - before

    def _run_all(self, ordered: list[Any]) -> int:
        """Let each handle a batch, in the order of the graph; the sequences that they are done with."""
        moved = 0
        for runner in ordered:
            done = runner.step() if runner.begin() else None
            if done is None:
                return 0
            moved += done
        return moved

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
        if self._state in ("new", "manual") and self._laggards(self.ring._ring.published()):
            raise TopologyError(f"group {self.name!r} does not run", "start it, or call run_once until it returns 0")
        laggards = self._drain(timeout)
        self.failures.raise_any()
        if self._halted:
            raise HaltedError(self.name)
        if laggards:
            raise WaitTimeout(f"draining group {self.name!r}", timeout or 0.0, laggards)

    def _drain(self, timeout: float | None) -> tuple[str, ...]:
        """Wait; the names of those that are not done in time. Ends early when the group fails or is halted."""
        native = self.ring._ring
        target = native.published()
        deadline = None if timeout is None else time.monotonic() + timeout
        runners = [runner for consumer in self for runner in consumer.runners if not runner.left]
        for runner in runners:
            while not self.failures and not runner.left and not self._reaches(runner, target, _slice(deadline)):
                if not self._is_running(runner):
                    return ()
                if deadline is not None and time.monotonic() >= deadline:
                    return self._laggards(target)
        return ()

    def _reaches(self, runner: Runner, target: int, seconds: float) -> bool:
        """Whether the runner is done with `target` within so many seconds."""
        if runner.index < MOST_CONSUMERS:
            return self.ring._ring.wait_done(runner.index, target, seconds)
        # A watcher of a read-only ring has no word in it to wait on.
        deadline = time.monotonic() + seconds
        while runner.sequence < target and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return runner.sequence >= target

    def _is_running(self, runner: Runner) -> bool:
        """Whether somebody still moves it on: a thread that ended without a failure was halted."""
        if isinstance(runner, AsyncProcessor):
            return any(not task.done() for task in self._tasks)
        return any(thread.is_alive() for thread in self._threads)

    def _laggards(self, target: int) -> tuple[str, ...]:
        runners = [runner for consumer in self for runner in consumer.runners if not runner.left]
        behind = [(target - runner.sequence, runner.name) for runner in runners if runner.sequence < target]
        return tuple(f"{name} ({lag} behind)" for lag, name in sorted(behind, reverse=True))

    def halt(self) -> None:
        """Stop at once: each handler finishes the event it has in hand, and no other. Waits for the threads.

        From inside a handler it does not wait. Halted before it started, the group ends as it starts.
        """
        self.ring._ring.check_fork()
        self.halt_soon()
        if self._state != "new" and not self._on_own_thread() and not self._on_own_loop():
            self._finish()

    def halt_soon(self) -> None:
        """Halt without waiting for it."""
        self._halted = self._ending = True
        self._halt_runners()

    def _halt_runners(self) -> None:
        for consumer in self:
            for runner in consumer.runners:
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
        if self._on_own_thread():
            raise ClaimError(f"group {self.name!r} cannot stop inside its own handler", "use halt() there")
        self._check_not_on_loop("stop")
        if self._state == "manual" or self._is_behind():
            self._run_out(self.ring._ring.published())
        deadline = None if timeout is None else time.monotonic() + timeout
        laggards = self._drain(timeout) if self._state == "running" else ()
        self._ending = True
        self._halt_runners()
        if deadline is not None and not self.join(max(_GRACE, deadline - time.monotonic())):
            # The last thread to end leaves the ring; until then its consumers hold on to their events.
            stuck = tuple(thread.name for thread in self._threads if thread.is_alive())
            raise WaitTimeout(f"stopping group {self.name!r}", timeout or 0.0, laggards + stuck)
        self._finish()
        self.failures.raise_any()
        if laggards:
            raise WaitTimeout(f"stopping group {self.name!r}", timeout or 0.0, laggards)

    def _is_behind(self) -> bool:
        """Whether a group that never started has events to handle before it stops."""
        target = self.ring._ring.published()
        runners = [runner for consumer in self for runner in consumer.runners]
        return self._state == "new" and not self._halted and any(runner.sequence < target for runner in runners)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the threads to end, after `halt` or a failure.

        Returns:
            False on a time-out.
        """
        self.ring._ring.check_fork()
        self._check_not_on_loop("join")
        deadline = None if timeout is None else time.monotonic() + timeout
        self._join_threads(self._threads, timeout)
        return not any(thread.is_alive() for thread in self._threads) and self._join_tasks(deadline)

    def _join_threads(self, threads: Iterable[RunnerThread], timeout: float | None = None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _join_tasks(self, deadline: float | None = None) -> bool:
        """Wait for the tasks, on a thread that is not their loop's; False on a time-out."""
        while any(not task.done() and not task.get_loop().is_closed() for task in self._tasks):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(_slice(deadline) / 10)
        return True

    def _check_not_on_loop(self, verb: str) -> None:
        if self._on_own_loop():
            fact = f"{verb} of group {self.name!r} would hold up the event loop that its async handlers run on"
            raise ConfigurationError(fact, f"leave 'async with group:', or await asyncio.to_thread(group.{verb})")

    def _on_own_loop(self) -> bool:
        """Whether this thread's event loop has handlers of the group that are not done."""
        loop = _running_loop() if self._tasks else None
        return loop is not None and any(not task.done() and task.get_loop() is loop for task in self._tasks)

    def _on_own_thread(self) -> bool:
        return threading.current_thread() in self._threads

    def _finish(self) -> None:
        """Join the threads and leave the ring; once."""
        with self._lock:
            threads = list(self._threads)
        self._join_threads(threads)
        self._join_tasks()
        with self._lock:
            if self._state == "stopped":
                return
            manual, self._state = self._state == "manual", "stopped"
        if manual:
            for runner in self._ordered():
                runner.end()
        self._leave([self._consumers[name] for name in reversed(self._check_graph({}))])
        lifecycle.ended(self)

    def _leave(self, consumers: Iterable[Consumer]) -> None:
        rows, _ = self.rows()
        for consumer in [consumer for consumer in consumers if not consumer.left]:
            consumer.keep_counts(rows)
            for runner in consumer.runners:
                self._leave_one(runner)
            if self.ring._named.get(consumer.name) is consumer:
                del self.ring._named[consumer.name]

    def _leave_one(self, runner: Runner) -> None:
        """Leave; who depends on it from outside the group halts with PeerDiedError."""
        try:
            runner.leave()
        except TopologyError:
            if _running_loop() is None:
                self._part(runner)
            else:  # the dependents may have tasks on this loop, which must be let end
                threading.Thread(target=self._part, args=(runner,), daemon=True).start()

    def _part(self, runner: Runner) -> None:
        for other in lifecycle.groups_of(self.ring):
            if other is not self and other.follows(self):
                other.fail(PeerDiedError(runner.name, f"its group {self.name!r} has stopped"))
                other._finish()
        try:
            runner.leave()
        except TopologyError:  # a poller, or somebody in another process
            if not isinstance(runner, _core.Processor):
                raise
            runner.part()

    def follows(self, other: ConsumerGroup[Any]) -> bool:
        """Whether a consumer of this group depends on one of the other's, on the same ring."""
        wanted = set(other._consumers)
        return self.ring is other.ring and any(wanted & set(consumer.depends_on_names) for consumer in self)

    def fail(self, error: BaseException) -> None:
        """Take a failure down: the group halts, and whoever publishes next gets the error."""
        self.failures.add(error)
        self.ring._group_failed(self, error)
        self._halt_runners()

    def drain_at_exit(self, limit: float) -> None:
        """At the end of the interpreter: drain for `limit` seconds."""
        laggards = self._drain(limit)
        if laggards and not self.failures:
            raise WaitTimeout(f"draining group {self.name!r}", limit, laggards)

    def end_at_exit(self) -> None:
        """At the end of the interpreter: halt, join what ends in a second, and raise what nobody was told of."""
        self._halt_runners()
        self._join_threads(self._threads, 1.0)
        if not self.failures.told:
            self.failures.raise_any()

    def runner_ended(self) -> None:
        """The last thread or task of a failed or halted group lets the producers go."""
        with self._lock:
            self._alive -= 1
            if self._alive:
                return
            if self._ending or self.failures:
                self._state = "stopped"
                if not self.failures:
                    lifecycle.ended(self)
        self._leave([self._consumers[name] for name in reversed(self._check_graph({}))])

    # -- as a context manager -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if any(isinstance(runner, AsyncProcessor) for consumer in self for runner in consumer.runners):
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
        laggards: tuple[str, ...] = ()
        try:
            if error is None:
                laggards = await asyncio.to_thread(self._drain, self.drain_timeout)
        except BaseException:
            await self._end_tasks(cancel=True)
            raise
        await self._end_tasks(cancel=bool(laggards) or isinstance(error, asyncio.CancelledError))
        if error is not None:
            self.failures.note(error)
            return
        self.failures.raise_any()
        if laggards:
            raise WaitTimeout(f"stopping group {self.name!r}", self.drain_timeout or 0.0, laggards)

    async def _end_tasks(self, *, cancel: bool) -> None:
        """Halt and leave the ring; async handlers that are cancelled do not finish the event in hand."""
        self._halt_runners()
        for task in self._tasks if cancel else ():
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._finish)

    # -- looking --------------------------------------------------------------------------------------------------

    def rows(self) -> tuple[dict[str, Row], int]:
        """The ring's counts by name, and the last published sequence."""
        return {row.name: row for row in self.ring._rows()}, self.ring._ring.published()

    def statistics(self) -> GroupStatistics:
        """Return what the group's consumers have counted; after the stop, what they had counted by then."""
        rows, cursor = self.rows()
        state = "running" if self.state == "manual" else self.state
        return GroupStatistics(self.name, state, {consumer.name: consumer.summary(rows, cursor) for consumer in self})

    def __repr__(self) -> str:
        return f"<ConsumerGroup {self.name!r}, {self.state}: {', '.join(self._consumers) or 'no consumers'}>"


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _thread_names(group: ConsumerGroup[Any], consumer: Consumer) -> set[str]:
    return {f"ringbus-{group.name}-{runner.name}" for runner in consumer.runners}


def _slice(deadline: float | None) -> float:
    return _SLICE if deadline is None else max(0.0, min(_SLICE, deadline - time.monotonic()))


def _events(runners: Iterable[_core.Processor]) -> int:
    return sum(runner.events for runner in runners)


def _remote_options(
    name: str, shape: Shape, on_error: OnError | None, *, process: bool, workers: int, gating: bool
) -> dict[str, Any]:
    """The options that a handler's process is told, of those that it cannot have."""
    if not process:
        raise ConfigurationError(f"{name!r} has on_death and runs in this process", "add process=True")
    if shape.kind == "async" or workers > 1 or not gating:
        fact = f"{name!r} has process=True with an async handler, workers or gating=False"
        raise ConfigurationError(fact, "use a plain or a batch handler that gates")
    if on_error is not None and not isinstance(on_error, str):
        fact = f"{name!r} has process=True and the policy {on_error!r}"
        raise ConfigurationError(fact, "use on_error='halt' or 'skip' for a handler in another process")
    return {"on_error": on_error}


def _check_workers(name: str, workers: object, key: object, kind: str, gating: bool) -> None:
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= 32:
        raise ConfigurationError(f"{name!r} has workers={workers!r}", "use 1 to 32")
    if key is not None and workers == 1:
        raise ConfigurationError(f"{name!r} has a key and one worker", "give workers= too")
    if key is not None and not (isinstance(key, str) or callable(key)):
        raise ConfigurationError(f"{name!r} has key={key!r}", "use a field's name or a callable")
    if workers > 1 and kind == "async":
        raise ConfigurationError(f"{name!r} is an async handler with workers", "add it once, or use plain functions")
    if workers > 1 and kind == "batch" and key is None:
        raise ConfigurationError(f"{name!r} is a batch handler with workers", "give key=, or take events one by one")
    if workers > 1 and not gating:
        raise ConfigurationError(f"{name!r} has workers and does not gate", "leave gating=False out")


def _check_key(name: str, key: object, types: Iterable[type]) -> None:
    """A key that is a name must be one of every type that is taken; of objects that is not known yet."""
    for event_type in types:
        if isinstance(key, str) and not hasattr(event_type, key):
            near = difflib.get_close_matches(key, dir(event_type), 1)
            remedy = f"did you mean {near[0]!r}?" if near else "name a field that all of them have, or pass a callable"
            raise ConfigurationError(f"{name!r} has key={key!r}, which {event_type.__name__} does not have", remedy)


def _handler_facts(
    handler: Callable[..., Any],
    shape: Shape,
    report: Callable[[BaseException | None, int, object], bool],
    *,
    timeout: float | None,
    worker: tuple[int, int, object] | None,
    work: _core.Work | None,
) -> SimpleNamespace:
    return SimpleNamespace(
        callable=handler,
        batch=shape.kind == "batch",
        arity=shape.arity,
        on_start=getattr(handler, "on_start", None),
        on_shutdown=getattr(handler, "on_shutdown", None),
        on_timeout=getattr(handler, "on_timeout", None),
        on_batch_start=getattr(handler, "on_batch_start", None),
        on_error=report,
        decline=DECLINE,
        timeout=timeout,
        worker=worker,
        work=work,
    )
