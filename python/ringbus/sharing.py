"""Rings that several processes share: attach by name, list, remove."""

from __future__ import annotations

import time
from pathlib import Path
from types import UnionType
from typing import Any, Literal

from ringbus import _core
from ringbus.creation import checked_types
from ringbus.deadline import Deadline
from ringbus.errors import ConfigurationError, RingNotFoundError
from ringbus.event import Event, EventMeta
from ringbus.rebuilt import check_same, event_classes
from ringbus.ring import RingBuffer
from ringbus.waits import WaitStrategy

_LOOK_EVERY = 0.002


def attach(
    name: str,
    event: type[Event] | UnionType | None = None,
    *,
    wait: float = 0.0,
    read_only: bool | Literal["slots"] = False,
    strategy: str | WaitStrategy = "blocking",
    timeout: float | None = None,
) -> RingBuffer[Any]:
    """Attach to a shared ring of this user.

    Args:
        name: the ring's name.
        event: its event type or types, checked against the ring field by field; left out, classes are made from the
            schema in the segment: the same fields, without methods.
        wait: how long to wait for the ring to be made, in seconds.
        read_only: True maps all of it so that this process cannot write: its consumers need `gating=False`, hold nobody
            up, and may be lapped. "slots" maps the events so: its consumers take part as others do, get copies of the
            events, and may have an `evict_after=`; there are no producers here.
        strategy: how producers wait for free slots, and the default of consumers.
        timeout: the longest wait of a verb, in seconds; None waits for ever.

    Raises:
        RingNotFoundError: there is no ring of that name.
        LayoutError: the file is no ring of this layout, or has other fields than `event`.

    Threads:
        Any. A ring may be attached to more than once in a process.
    """
    segment = _attached(name, access_of(read_only), wait)
    if event is None:
        types = event_classes(segment.schema)
    else:
        types = checked_types(event)
        check_same(name, segment.schema, types)
    return RingBuffer._over(name, segment, types, strategy, timeout)


def access_of(read_only: bool | Literal["slots"]) -> Literal["write", "slots", "read"]:
    """What the core calls it.

    Raises:
        ConfigurationError: neither True nor False nor "slots".
    """
    if read_only == "slots":
        return "slots"
    if not isinstance(read_only, bool):
        raise ConfigurationError(f"read_only is {read_only!r}", 'use True, False or "slots"')
    return "read" if read_only else "write"


def _attached(name: str, access: Literal["write", "slots", "read"], wait: float) -> _core.Segment:
    deadline = Deadline(wait)
    while True:
        try:
            return _core.Segment(name, access)
        except RingNotFoundError:
            if deadline.is_over:
                raise
        time.sleep(_LOOK_EVERY)


def reattach(
    name: str, types: tuple[EventMeta, ...], timeout: float | None, read_only: bool | Literal["slots"] = False
) -> RingBuffer[Any]:
    """Attach to the ring that was pickled."""
    segment = _attached(name, access_of(read_only), wait=0.0)
    check_same(name, segment.schema, types)
    return RingBuffer._over(name, segment, types, "blocking", timeout)


def rings() -> list[str]:
    """Return the names of the shared rings of this user, alive or left behind."""
    return _core.shared_rings()


def is_alive(name: str) -> bool:
    """Whether any process is attached to the ring.

    Raises:
        RingNotFoundError: there is no ring of that name.
        LayoutError: the file is no ring of this layout.
    """
    return bool(_core.is_ring_alive(name))


def unlink(name: str) -> None:
    """Remove a shared ring. Who is attached keeps the memory, and gets RingReplacedError.

    Raises:
        RingNotFoundError: there is no ring of that name.
    """
    _core.remove_ring(name)


def folder() -> Path:
    """Return the folder of this user's rings: `RINGBUS_DIR`, or one in /dev/shm."""
    return Path(_core.shared_folder())
