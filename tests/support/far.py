"""Another process whose objects are used as if they were here: the other party of a ring in the conformance tests.

`Peer` starts it once. It obeys over sockets, one a thread of ours, each served by a thread of its own there, so that a
call that waits there holds up only whoever made it. What a call returns comes back as it is where it is plain data, an
event, an array or an error, and else as a `Far`: a name for the object that stays there. Errors come back with cause.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import operator
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import ringbus

PATIENCE = 20.0
"""Seconds after which a process that does not come up counts as never coming."""


class Peer:
    """The other process, and the lines to it."""

    def __init__(self, folder: Path) -> None:
        """Start it.

        Args:
            folder: where its socket is.
        """
        self._address = str(folder / "peer.sock")
        self._lines = threading.local()
        self._dropped: deque[int] = deque()
        self._methods: set[tuple[str, str]] = set()
        here, there = multiprocessing.Pipe()
        spawned = multiprocessing.get_context("spawn")
        self._process = spawned.Process(target=_serve, args=(self._address, there), name="peer", daemon=True)
        self._process.start()
        there.close()
        self._life = here
        assert here.poll(PATIENCE), "the other process does not come up"
        assert here.recv_bytes() == b"up"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process.pid is not None
        return self._process.pid

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function there, which both processes can import; it may be given what is there already."""
        line: Connection | None = getattr(self._lines, "line", None)
        if line is None:
            line = self._lines.line = Client(self._address)
        dropped = [self._dropped.popleft() for _ in range(len(self._dropped))]
        try:
            line.send((dropped, function, arguments, options))
            value, error, cause = line.recv()
        except BaseException:
            self._lines.line = None  # an answer that nobody waits for may come
            raise
        if error is not None:
            error.__cause__ = cause
            raise error
        return self.near(value)

    def near(self, value: Any) -> Any:
        """What came back, with a `Far` for each name in it."""
        if isinstance(value, _Name):
            return Far(self, value)
        if isinstance(value, list | tuple):
            return type(value)(map(self.near, value))
        return value

    def knows_method(self, kind: str, name: str) -> bool:
        """Whether that attribute of such objects was found to be a method."""
        return (kind, name) in self._methods

    def learn_method(self, kind: str, name: str) -> None:
        """That attribute of such objects is a method."""
        self._methods.add((kind, name))

    def drop(self, number: int) -> None:
        """Nobody here knows that object any more; it is told with the next call."""
        self._dropped.append(number)

    def close(self) -> None:
        """End it."""
        self._life.close()
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0, f"the other process ended with {self._process.exitcode}"


class _Name:
    """An object that is there, as it goes over the line."""

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind


class _Method:
    """Says of an attribute that it is a method."""


class Far:
    """An object of the other process. Attributes, calls, items and `with` are done there."""

    def __init__(self, peer: Peer, name: _Name) -> None:
        """Know it by its name."""
        object.__setattr__(self, "_far", (peer, name))

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "_far":
            raise AttributeError(attribute)
        peer, name = self._far
        if not peer.knows_method(name.kind, attribute):
            value = peer.call(_attribute, self, attribute)
            if not isinstance(value, _Method):
                return value
            peer.learn_method(name.kind, attribute)

        def method(*arguments: Any, **options: Any) -> Any:
            return peer.call(_invoke, self, attribute, arguments, options)

        return method

    def __setattr__(self, attribute: str, value: object) -> None:
        self._far[0].call(setattr, self, attribute, value)

    def __getitem__(self, key: object) -> Any:
        return self._far[0].call(operator.getitem, self, key)

    def __setitem__(self, key: object, value: object) -> None:
        self._far[0].call(operator.setitem, self, key, value)

    def __len__(self) -> int:
        return int(self._far[0].call(len, self))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._far[0].call(list, self))

    def __eq__(self, other: object) -> bool:
        return bool(self._far[0].call(operator.is_, self, other))

    __hash__ = None  # type: ignore[assignment] # equal is who is the same there

    def __call__(self, *arguments: Any) -> Any:
        return self._far[0].call(_invoke, self, "__call__", arguments, {})

    def __enter__(self) -> Any:
        return self._far[0].call(_enter, self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._far[0].call(_leave, self, None if error is None else f"{kind.__name__ if kind else ''}: {error}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (self._far[1].number,)

    def __del__(self) -> None:
        peer, name = self._far
        peer.drop(name.number)


def there(value: object) -> Callable[..., Any] | None:
    """What calls functions in the process that the object is of; None where that is this one."""
    return value._far[0].call if isinstance(value, Far) else None


_DATA = (
    type(None),
    int,
    float,
    str,
    bytes,
    dict,
    set,
    ringbus.Event,
    np.ndarray,
    np.generic,
    BaseException,
    _Name,
    _Method,
)

# -- in the other process ---------------------------------------------------------------------------------------------

_objects: dict[int, object] = {}
_numbers = iter(range(2**62))


class OutsideError(Exception):
    """Stands for the error that a `with` is left with in the test's process."""


def _known(number: int) -> object:
    return _objects[number]


def _attribute(owner: object, name: str) -> object:
    value = getattr(owner, name)
    return _Method() if callable(value) and hasattr(value, "__self__") else value


def _invoke(owner: Any, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> object:
    return getattr(owner, name)(*arguments, **options)


def _enter(owner: Any) -> object:
    """What a claim gives is a place, not data."""
    return _named(owner.__enter__())


def _leave(owner: Any, error: str | None) -> None:
    if error is None:
        owner.__exit__(None, None, None)
    else:
        owner.__exit__(OutsideError, OutsideError(error), None)


def _told(value: Any) -> object:
    """What goes over the line for a value."""
    if type(value) in {list, tuple}:
        return type(value)(map(_told, value))
    if isinstance(value, _DATA) or hasattr(value, "__dataclass_fields__"):
        return value
    return _named(value)


def _named(value: object) -> _Name:
    number = next(_numbers)
    _objects[number] = value
    return _Name(number, type(value).__qualname__)


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return _told(function(*arguments, **options)), None, None
    except BaseException as error:  # noqa: BLE001 (raised again over there)
        return None, error, error.__cause__


def _obey(line: Connection) -> None:
    """Do what one thread of the test's process asks, until it is gone."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            dropped, *asked = line.recv()
            for number in dropped:
                del _objects[number]
            try:
                line.send(_answer(*asked))
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                line.send((None, OutsideError(f"the answer cannot be sent: {error!r}"), None))
            del asked


def _accept(listener: Listener) -> None:
    while True:
        threading.Thread(target=_obey, args=(listener.accept(),), daemon=True).start()


def _serve(address: str, life: Connection) -> None:
    """Run until the test's process lets go of the line `life`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = Listener(address)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    life.send_bytes(b"up")
    with contextlib.suppress(EOFError, OSError):
        life.recv_bytes()
    os._exit(0)
