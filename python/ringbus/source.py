"""A producer that runs as machine code, without the GIL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Self

from ringbus import _core, lifecycle
from ringbus.errors import ClaimError, ConfigurationError, SourceError
from ringbus.handlers import Shape, indices, source_shape
from ringbus.machine.build import source_code
from ringbus.threads import RunnerThread, cpus_of, pinned
from ringbus.waits import WaitStrategy

if TYPE_CHECKING:
    from ringbus.event import EventMeta
    from ringbus.ring import RingBuffer


class Source:
    """A compiled producer, and its thread. Made by `RingBuffer.source`.

    As a context manager it starts, and at the end stops and raises what its function raised. To let it come to its end,
    call `join` inside. A source runs once.

    Threads:
        Any.
    """

    def __init__(
        self,
        ring: RingBuffer[Any],
        function: Callable[..., Any],
        state: object,
        *,
        name: str | None,
        kind: type | None,
        batch: int,
        limit: int | None,
        reset: bool,
        wait: WaitStrategy,
        timeout: float | None,
        cpu: int | None,
    ) -> None:
        """Compile it; see `RingBuffer.source`."""
        self.name = getattr(function, "__name__", "source") if name is None else name
        self._cpus = cpus_of(self.name, cpu)
        shape = source_shape(self.name, function)
        index, event = _event_type(self.name, ring, kind, shape)
        _check_numbers(self.name, limit)
        # A stamp and a type tag are written by the native loop.
        each = batch == 1 and not ring._ring.multi and not ring._ring.slot_headers
        code = source_code(self.name, function, shape.arity, (index, event), state, each=each)
        facts = SimpleNamespace(
            name=self.name,
            machine=code.facts(code.state),
            kind=index,
            batch=batch,
            limit=limit,
            reset=reset,
            wait=wait.facts(),
            timeout=timeout,
            failed=_failed(self.name),
        )
        self.ring = ring
        self._state = code.state
        self._native = _core.Source(ring._ring, facts)
        self._ended: list[BaseException | bool] = []
        self._thread: RunnerThread | None = None
        self._lock = threading.Lock()

    @property
    def state(self) -> Any:
        """What its function works on: the array that it was given, or a record with the fields as attributes."""
        return self._state.value

    @property
    def published(self) -> int:
        """Events that it has published."""
        return self._native.published

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> Self:
        """Start its thread.

        Raises:
            ClaimError: it was started before.
        """
        with self._lock:
            if self._thread is not None:
                raise ClaimError(f"source {self.name!r} was started before", "make a new source")
            run = pinned(_running(self._native, self._ended), self._cpus[0] if self._cpus else None)
            self._thread = RunnerThread(run, f"ringbus-source-{self.name}")
        lifecycle.producing(self, self._native, self._thread)
        self._thread.start()
        return self

    def halt(self) -> None:
        """End it after the event in hand. Does not wait for that."""
        self._native.halt()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end: its limit, the word of its function, or a `halt`.

        Args:
            timeout: the longest wait, in seconds; None waits for ever.

        Returns:
            False on a time-out.

        Raises:
            SourceError: its function failed.
            WaitTimeout: the ring was full for longer than the source's time-out.
            HandlerError: a handler of the ring failed, as for every producer.
            ClosedError: the ring was closed.
        """
        if self._thread is None:
            raise ClaimError(f"source {self.name!r} was not started", "start it first")
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        if self._ended and isinstance(self._ended[0], BaseException):
            raise self._ended[0]
        return True

    def stop(self) -> None:
        """Halt it and wait for its end.

        Raises:
            SourceError: its function failed, and the others as for `join`.
        """
        self.halt()
        self.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.halt()
        if error is None:
            self.join()
        elif self._thread is not None:
            self._thread.join()

    def __repr__(self) -> str:
        return f"<Source {self.name!r}, {self.published} published>"


def _running(native: _core.Source, ended: list[BaseException | bool]) -> Callable[[], None]:
    """A thread's function, which does not keep the source alive."""

    def run() -> None:
        try:
            ended.append(native.run())
        except BaseException as error:  # noqa: BLE001 (kept, and raised where the source is joined)
            ended.append(error)

    return run


def _failed(name: str) -> Callable[[BaseException, int], SourceError]:
    def failed(error: BaseException, sequence: int) -> SourceError:
        failure = SourceError(name, sequence)
        failure.__cause__ = error
        return failure

    return failed


def _event_type(name: str, ring: RingBuffer[Any], kind: type | None, shape: Shape) -> tuple[int, EventMeta]:
    """The type of the events of a source, with its index: what `kind` says, or the annotation, or the only one."""
    known = ring.event_types
    if not known:
        raise ConfigurationError(
            f"source {name!r} is compiled, and the ring holds objects", "give the ring an event type"
        )
    wanted: Sequence[object] = (kind,) if kind is not None else shape.types or ()
    found = indices(wanted, known, f"source {name!r}") or list(range(len(known)))
    if len(found) != 1:
        types = ", ".join(event.__name__ for event in known)
        raise ConfigurationError(f"source {name!r} may fill several event types ({types})", "give kind=")
    return found[0], known[found[0]]


def _check_numbers(name: str, limit: object) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ConfigurationError(f"source {name!r} has limit={limit!r}", "use a number of events, or None")
