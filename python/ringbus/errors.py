"""The errors of ringbus: one tree, each error a fitting builtin as well.

An error is built from facts, keeps them as attributes, and says the fact, the value and the remedy. All of them
survive pickling, notes included.
"""

from __future__ import annotations

import linecache
from typing import Any


def _short(value: object, limit: int = 80) -> str:
    """The representation of a value, cut in the middle, even when the value cannot represent itself."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 (an error message must not fail)
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    half = limit // 2 - 2
    return text if len(text) <= limit else f"{text[:half]} .. {text[-half:]}"


def _rebuild(cls: type[RingBusError], args: tuple[Any, ...], state: dict[str, Any]) -> RingBusError:
    """Make an error again from its message and its attributes, without building it anew."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class RingBusError(Exception):
    """Base of every error that ringbus raises on its own account."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the message and the attributes."""
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class _FactError(RingBusError):
    """An error of a fact and a remedy."""

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(f"{fact}; {remedy}")
        self.fact = fact
        self.remedy = remedy


class ConfigurationError(_FactError, ValueError):
    """An option that does not exist, or options that contradict each other.

    Attributes:
        fact: what is wrong, with the value.
        remedy: what to write instead.
    """


class SchemaError(_FactError, TypeError):
    """An event class that cannot be laid out, or a field that does not exist or is missing.

    Attributes:
        fact: what is wrong, with the name or value.
        remedy: what to write instead.
    """


class FieldError(SchemaError, ValueError):
    """A value that does not fit its field. Nothing was written and nothing was published.

    Attributes:
        field: event and field, as in `Trade.price`.
        value: what was given. A pickled error has its representation instead, unless it is a plain scalar.
        limit: what the field takes.
        remedy: what to do.
    """

    def __init__(self, field: str, value: object, limit: str, remedy: str) -> None:
        super().__init__(f"{field} {limit}, got {_short(value)} ({type(value).__name__})", remedy)
        self.field = field
        self.value = value
        self.limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the value where that might not be possible."""
        state = self.__dict__.copy()
        if type(self.value) not in (int, float, bool, str, bytes, type(None)):
            state["value"] = _short(self.value)
        return _rebuild, (type(self), self.args, state)


class CapacityError(_FactError, ValueError):
    """A capacity or a number of slots that the ring cannot have.

    Attributes:
        fact: what was asked for.
        value: the number.
        remedy: which numbers there are.
    """

    def __init__(self, fact: str, value: object, remedy: str) -> None:
        super().__init__(f"{fact}: {_short(value)}", remedy)
        self.fact = fact
        self.value = value


class TopologyError(_FactError, ValueError):
    """A graph of consumers that cannot be: a cycle, an unknown or a doubled name, a change while it runs.

    Attributes:
        fact: what is wrong, with the names.
        remedy: what to write instead.
    """


class WaitTimeout(RingBusError, TimeoutError):  # noqa: N818 (the field's word, as in design and API)
    """A wait that took longer than its time-out. Nothing was claimed, and there is no hole.

    Attributes:
        what: what was waited for.
        seconds: the time-out.
        laggards: who held it up: consumers, the slowest first, or an open claim that they wait for too.
    """

    def __init__(self, what: str, seconds: float, laggards: tuple[str, ...] = ()) -> None:
        behind = f"held up by {', '.join(repr(name) for name in laggards)}" if laggards else "nobody is named as late"
        super().__init__(f"{what} took longer than {seconds:g} s: {behind}; wait longer, or let them go on")
        self.what = what
        self.seconds = seconds
        self.laggards = tuple(laggards)


class ClosedError(RingBusError, RuntimeError):
    """Something that you have closed is used again.

    Attributes:
        what: what is closed.
        remedy: what to do.
    """

    def __init__(self, what: str, remedy: str = "make a new one, or use it before it is closed") -> None:
        super().__init__(f"{what} is closed; {remedy}")
        self.what = what
        self.remedy = remedy


class ClaimError(_FactError, RuntimeError):
    """A claim that is used wrongly: twice, nested, or while somebody else's is open.

    Attributes:
        fact: what happened.
        remedy: what to do.
    """


class KeptViewError(RingBusError, BufferError):
    """A NumPy view of slots was kept longer than the slots were its owner's.

    Attributes:
        owner: the consumer or the claim that the view was given to.
        sequence: the first sequence of the view.
    """

    def __init__(self, owner: str, sequence: int) -> None:
        fact = f"{owner} kept a NumPy view of the slots from sequence {sequence} on, which will be overwritten"
        super().__init__(f"{fact}; keep view.copy() instead")
        self.owner = owner
        self.sequence = sequence


class HandlerError(RingBusError, RuntimeError):
    """A handler failed, and its policy did not say to go on. The handler's own error is the `__cause__`.

    Attributes:
        consumer: the name of the consumer.
        sequence: the sequence in hand.
        event: the event in hand, as text.
        reason: why, when there is no cause.
    """

    def __init__(self, consumer: str, sequence: int, event: str, reason: str | None = None) -> None:
        why = f": {reason}" if reason else ""
        fact = f"consumer {consumer!r} failed at sequence {sequence} with {event}{why}"
        super().__init__(f"{fact}; mend the handler, or give on_error= a policy that goes on")
        self.consumer = consumer
        self.sequence = sequence
        self.event = event
        self.reason = reason


class CompilationError(RingBusError, TypeError):
    """A handler or source that Numba cannot compile. Numba's own error is the `__cause__`.

    Attributes:
        consumer: the consumer or source.
        path: the file of the line that it stopped at.
        line: that line.
        source: the text of that line; empty where it is not known.
        reason: Numba's reason.
    """

    def __init__(self, consumer: str, path: str, line: int, reason: str) -> None:
        source = linecache.getline(path, line).strip()
        shown = f" ({source})" if source else ""
        remedy = "use what Numba can compile, or take the handler as plain Python"
        super().__init__(f"{consumer!r} cannot be compiled: {path}:{line}{shown}: {reason}; {remedy}")
        self.consumer = consumer
        self.path = path
        self.line = line
        self.source = source
        self.reason = reason


class ReturnCodeError(RingBusError, RuntimeError):
    """Machine code returned a number that is not 0. Stands as the cause of a HandlerError or SourceError.

    Attributes:
        code: the number.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the machine code returned {code}; 0 says that all went well")
        self.code = code


class SourceError(RingBusError, RuntimeError):
    """A source failed. Its own error is the `__cause__`.

    Attributes:
        source: the name of the source.
        sequence: the sequence that it was to fill, which was not published.
    """

    def __init__(self, source: str, sequence: int) -> None:
        super().__init__(f"source {source!r} failed at sequence {sequence}; mend its function")
        self.source = source
        self.sequence = sequence


class RemoteError(RingBusError, RuntimeError):
    """What a handler raised in a process of its own. Stands as the cause of a HandlerError.

    Attributes:
        kind: the error's type, with its module.
        text: its message.
        remote_traceback: its traceback, as text.
    """

    def __init__(self, kind: str, text: str, remote_traceback: str) -> None:
        super().__init__(f"{kind}: {text}\n\nin the handler's process:\n{remote_traceback}")
        self.kind = kind
        self.text = text
        self.remote_traceback = remote_traceback


class HaltedError(RingBusError, RuntimeError):
    """The group has halted, and what was asked needs it to run.

    Attributes:
        group: the name of the group.
        reason: why it halted.
    """

    def __init__(self, group: str, reason: str | None = None) -> None:
        why = f": {reason}" if reason else ""
        super().__init__(f"group {group!r} has halted{why}; start a new group to go on")
        self.group = group
        self.reason = reason


class ForkedError(RingBusError, RuntimeError):
    """A ring that was made before `fork()` is used in the child.

    Attributes:
        what: what is used.
        pid: the process that it belongs to.
    """

    def __init__(self, what: str, pid: int) -> None:
        super().__init__(f"{what} belongs to process {pid} and was inherited by fork; make one here, or use spawn")
        self.what = what
        self.pid = pid


class PeerDiedError(RingBusError, ConnectionError):
    """A participant that this one depends on is gone.

    Attributes:
        name: who.
        how: what is known of its end.
    """

    def __init__(self, name: str, how: str) -> None:
        super().__init__(f"{name!r} is gone: {how}; start it again, then attach anew")
        self.name = name
        self.how = how


class EvictedError(RingBusError, RuntimeError):
    """A consumer held producers up for longer than its `evict_after=`, and they went on without it.

    What it made of events after `sequence` does not count: they may have been overwritten while it read them.

    Attributes:
        name: the consumer.
        sequence: the last sequence that it was done with in time.
        missed: events after that one.
    """

    def __init__(self, name: str, sequence: int, missed: int) -> None:
        fact = f"{name!r} was too slow and evicted after sequence {sequence}: it missed {missed} events"
        super().__init__(f"{fact}; add it again to go on from now, and make it faster or give it a longer evict_after=")
        self.name = name
        self.sequence = sequence
        self.missed = missed


class RingNotFoundError(RingBusError, FileNotFoundError):
    """There is no shared ring of that name.

    Attributes:
        path: where it would be.
    """

    def __init__(self, fact: str, path: str) -> None:
        super().__init__(f"{fact}; make it with RingBuffer(..., name=), or wait for it with attach(..., wait=)")
        self.path = path


class RingExistsError(RingBusError, FileExistsError):
    """Somebody lives in the shared ring of that name.

    Attributes:
        path: where it is.
        residents: who takes part in it.
    """

    def __init__(self, path: str, residents: list[str]) -> None:
        who = ", ".join(residents) or "a process that is attached"
        super().__init__(f"the ring {path} exists, and {who} live in it; attach to it, or pass replace=True")
        self.path = path
        self.residents = tuple(residents)


class RingReplacedError(RingBusError, ConnectionError):
    """The ring that this handle is attached to was unlinked or replaced.

    Attributes:
        name: the name of the ring.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"ring {name!r} was unlinked or replaced by another; attach to it anew")
        self.name = name


class LayoutError(RingBusError, ValueError):
    """A memory layout that is not the one expected.

    Attributes:
        fact: what differs.
        found: what is there.
        expected: what should be there.
    """

    def __init__(
        self,
        fact: str,
        found: object,
        expected: object,
        remedy: str = "use the same schema and version on both sides",
    ) -> None:
        super().__init__(f"{fact}: found {_short(found)}, expected {_short(expected)}; {remedy}")
        self.fact = fact
        self.found = found
        self.expected = expected


class FeedError(RingBusError, ValueError):
    """A line of a market data feed that cannot be read.

    Attributes:
        path: the file.
        line: the line, counted from 1; 0 for the file as a whole.
        fact: what is wrong.
    """

    def __init__(self, path: str, line: int, fact: str) -> None:
        place = f"{path}:{line}" if line else path
        super().__init__(f"{place}: {fact}; mend the file or give another with --feed")
        self.path = path
        self.line = line
        self.fact = fact
