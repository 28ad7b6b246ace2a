"""A handler in a process of its own: started with spawn, attached to the shared ring by name.

The place on the ring is held from `add` on, and taken over by the process. What it raises comes back with its
traceback as text; events never pass through here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Literal

from ringbus.errors import ClaimError, ConfigurationError, HandlerError, PeerDiedError, RemoteError
from ringbus.event import EventMeta
from ringbus.statistics import Latency

if TYPE_CHECKING:
    from ringbus.ring import RingBuffer

_HALT = b"halt"
_HELD = 3
"""The state of an entry that is kept for one that has not come yet."""
_JOIN_SECONDS = 5.0
_KILL_SECONDS = 2.0


@dataclass(frozen=True)
class Restart:
    """Start a handler's process again after it has died; it goes on after the last sequence it was done with.

    Attributes:
        limit: restarts before the group halts after all.
        backoff: seconds before the first restart; each further one waits twice as long.
    """

    limit: int = 5
    backoff: float = 0.05


OnDeath = Literal["halt", "restart"] | Restart


@dataclass(frozen=True)
class Assignment:
    """What a handler's process is told: everything in it is a name, a number, or importable."""

    ring: str
    types: tuple[EventMeta, ...]
    group: str
    consumer: str
    handler: Callable[..., Any]
    options: dict[str, Any]


def importable(name: str, handler: Callable[..., Any]) -> None:
    """Check that another process finds the handler by its module and name.

    Raises:
        ConfigurationError: a lambda, a closure, a bound method, or something not found under its name.
    """
    module, qualified = getattr(handler, "__module__", None), getattr(handler, "__qualname__", None)
    found: object = None
    if module and qualified and "<" not in qualified:
        found = sys.modules.get(module) or importlib.import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part, None)
    if found is not handler:
        fact = f"the handler of {name!r} is {handler!r}, which another process cannot import"
        raise ConfigurationError(fact, "use a function at the top level of a module")


def restart_of(name: str, on_death: OnDeath) -> Restart | None:
    """What `on_death` stands for; None halts.

    Raises:
        ConfigurationError: neither "halt" nor "restart" nor a `Restart`.
    """
    if on_death == "halt":
        return None
    if on_death == "restart":
        return Restart()
    if isinstance(on_death, Restart):
        return on_death
    raise ConfigurationError(f"{name!r} has on_death={on_death!r}", "use 'halt', 'restart' or ringbus.Restart(...)")


class RemoteProcessor:
    """Stands in the group for a handler that runs in another process."""

    def __init__(
        self,
        ring: RingBuffer[Any],
        assignment: Assignment,
        restart: Restart | None,
        fail: Callable[[BaseException], None],
    ) -> None:
        """Hold the consumer's place on the ring."""
        self._ring = ring
        self._assignment = assignment
        self._restart = restart
        self._fail = fail
        self._halted = threading.Event()
        self._left = False
        self._owner = os.getpid()
        self._connection: Connection | None = None
        self.process: multiprocessing.process.BaseProcess | None = None
        if not any(row.name == assignment.consumer and row.state == _HELD for row in ring._roster.rows()):
            ring._ring.hold(assignment.consumer)
        self._index = next(row.entry for row in ring._roster.rows() if row.name == assignment.consumer)

    @property
    def index(self) -> int:
        """Its entry in the registry."""
        return self._index

    @property
    def name(self) -> str:
        """Its name on the ring."""
        return self._assignment.consumer

    def _counts(self) -> tuple[int, int, int]:
        for row in self._ring._roster.rows():
            if row.entry == self._index and row.name == self.name:
                return row.sequence, row.events, row.missed
        return self._ring._ring.published(), 0, 0

    @property
    def sequence(self) -> int:
        """The last sequence it is done with."""
        return self._counts()[0]

    @property
    def events(self) -> int:
        """Events handed to the handler."""
        return self._counts()[1]

    @property
    def missed(self) -> int:
        """Events it missed while it was away."""
        return self._counts()[2]

    @property
    def left(self) -> bool:
        """Whether it has left the ring."""
        return self._left

    def latency(self) -> Latency:
        """Counted in its own process, and not brought here."""
        return None

    def depend_on(self, entries: int) -> None:
        """Nothing to do here: its process follows the consumers by name."""

    def follow(self, names: tuple[str, ...]) -> None:
        """Follow the consumers named, from the start of the process on."""
        self._assignment.options["depends_on"] = names

    def release(self, sequence: int) -> None:
        """Refuse: it runs elsewhere."""
        raise ClaimError(f"{self.name!r} runs in a process of its own", "release from inside that process")

    def halt(self) -> None:
        """End the process after the event in hand."""
        self._halted.set()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send_bytes(_HALT)

    def leave(self) -> None:
        """Give the place on the ring back."""
        if not self._left:
            self._left = True
            self._ring._ring.recover()
            self._ring.forget(self.name)

    def __del__(self) -> None:
        """Give the place back if the group was dropped before it started."""
        if not getattr(self, "_left", True) and self.process is None and os.getpid() == self._owner:
            with contextlib.suppress(Exception):  # a ring that is gone has no place to give back
                self.leave()

    def run(self) -> None:
        """Start the process, and again as its policy says, until it is halted; runs on a thread of the group."""
        starts = 0
        while not self._halted.is_set():
            starts += 1
            ended, how = self._run_once()
            if ended or self._halted.is_set():
                return
            if self._restart is None or starts > self._restart.limit:
                self._ring._ring.recover()
                self._fail(PeerDiedError(self.name, how))
                return
            self._halted.wait(self._restart.backoff * 2 ** (starts - 1))

    def _run_once(self) -> tuple[bool, str]:
        """Run the process to its end: whether it ended by itself, and how it died if not."""
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        name = f"ringbus-{self._assignment.group}-{self.name}"
        process = context.Process(target=_main, args=(self._assignment, there), name=name, daemon=True)
        self.process = process
        with interrupts_held():
            process.start()
        there.close()
        self._connection = here
        if self._halted.is_set():
            self.halt()
        ended = self._listen(here, process)
        _reap(process)
        self._connection = None
        here.close()
        return ended, _how(process.exitcode)

    def _listen(self, here: Connection, process: multiprocessing.process.BaseProcess) -> bool:
        """Take what the process says until it ends; whether it said that it ended."""
        while True:
            ready = wait([here, process.sentinel])
            if here not in ready:
                return False
            try:
                message = json.loads(here.recv_bytes())
            except (EOFError, OSError):
                return False
            if "error" in message:
                self._fail(_error_of(self.name, message))
            if message["ended"]:
                return True


def _reap(process: multiprocessing.process.BaseProcess) -> None:
    """Wait for a process that has said its last word, or lost its line; end it if it does not."""
    process.join(_JOIN_SECONDS)
    if process.is_alive():
        process.terminate()
        process.join(_KILL_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Start processes that a Ctrl-C on the terminal, which all of its processes get, does not end before they run."""
    resource_tracker.ensure_running()  # its own start would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """In a process that was started so: leave it to the owner what follows from Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def _error_of(consumer: str, message: dict[str, Any]) -> BaseException:
    """The error of a handler's process, with the traceback it had there."""
    error = message["error"]
    cause = RemoteError(error["type"], error["text"], error["traceback"])
    if error["sequence"] is None:
        return cause
    failure = HandlerError(consumer, error["sequence"], error["event"], error["reason"])
    failure.__cause__ = cause
    return failure


def _main(assignment: Assignment, connection: Connection) -> None:
    """What a handler's process runs."""
    ignore_interrupts()
    try:
        failure = _serve(assignment, connection)
    except BaseException as error:  # noqa: BLE001 (whatever it is, the group is told)
        failure = error
    message: dict[str, Any] = {"ended": True}
    if failure is not None:
        message["error"] = _described(failure)
    with contextlib.suppress(OSError):
        connection.send_bytes(json.dumps(message).encode())
    connection.close()


def _serve(assignment: Assignment, connection: Connection) -> BaseException | None:
    from ringbus.sharing import reattach

    read_only: Literal[False, "slots"] = False if assignment.options["evict_after"] is None else "slots"
    ring = reattach(assignment.ring, assignment.types, None, read_only)
    group = ring.consumer_group(f"{assignment.group}:{assignment.consumer}", at_exit="halt")
    group.add(assignment.consumer, assignment.handler, **assignment.options)
    group.start()
    listener = threading.Thread(target=_await_halt, args=(connection, group), daemon=True, name="ringbus-halt")
    listener.start()
    while not group.join(0.5):
        continue
    failures = group.failures.errors
    group.halt()
    return failures[0] if failures else None


def _await_halt(connection: Connection, group: Any) -> None:
    """Halt when told to, or when the owner is gone."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv_bytes()
    for consumer in group:
        for runner in consumer.runners:
            runner.halt()


def _described(error: BaseException) -> dict[str, Any]:
    cause = error.__cause__ if isinstance(error, HandlerError) and error.__cause__ is not None else error
    return {
        "type": f"{type(cause).__module__}.{type(cause).__qualname__}",
        "text": str(cause),
        "traceback": "".join(traceback.format_exception(cause)),
        "sequence": error.sequence if isinstance(error, HandlerError) else None,
        "event": error.event if isinstance(error, HandlerError) else None,
        "reason": error.reason if isinstance(error, HandlerError) else None,
    }
