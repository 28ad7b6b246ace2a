"""The verbs of a producer: what a ring and its producer handles have in common."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType, GenericAlias
from typing import TYPE_CHECKING, Any, Generic, overload

import numpy as np
import numpy.typing as npt

from ringbus import _core
from ringbus.errors import CapacityError, SchemaError
from ringbus.event import Event, EventMeta
from ringbus.generics import E, P, Q, Rows, T


class Verbs(_core.Publisher, Generic[E, P]):
    """Publishing to a ring, in every way there is.

    `publish` and `try_publish` are native: they write a scratch event first, then claim, copy and publish
    with no Python code in between, so an error while filling leaves the ring as it was.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # At run time these are native methods, put on each class by `install_verbs`.
        @overload
        def publish(self, *_: P.args, **fields: P.kwargs) -> None: ...
        @overload
        def publish(self, event: E, /) -> None: ...
        @overload
        def publish(self, translator: Callable[[E], object], /) -> None: ...
        @overload
        def publish(self, kind: type[T], translator: Callable[[T], object], /) -> None: ...
        @overload
        def publish(self, kind: Callable[Q, E], *_: Q.args, **fields: Q.kwargs) -> None: ...
        def publish(self, *event: Any, **fields: Any) -> None:
            """Publish one event: by its fields, by a translator that fills it, or an instance.

            What is not named takes its default; a field without default must be named.

            Args:
                event: nothing; an event; a function that fills the event it is given; or an event type
                    (needed where the ring has several), alone or before a translator.
                fields: the fields by name.

            Raises:
                SchemaError: an unknown or missing field, or a type the ring does not have.
                FieldError: a value that does not fit its field.
                WaitTimeout: the ring stayed full for the handle's time-out; nothing was claimed.
                ClaimError: a claim of the ring's single producer is open.
                ClosedError: the ring is closed.
                HandlerError: a consumer group on this ring failed and halted.

            Threads:
                Any, where the ring has many producers; one at a time where it has a single one.

            Cost:
                No allocation that outlives the call, no system call unless a consumer sleeps or the ring is full.
            """

        @overload
        def try_publish(self, *_: P.args, **fields: P.kwargs) -> bool: ...
        @overload
        def try_publish(self, event: E, /) -> bool: ...
        @overload
        def try_publish(self, translator: Callable[[E], object], /) -> bool: ...
        @overload
        def try_publish(self, kind: type[T], translator: Callable[[T], object], /) -> bool: ...
        @overload
        def try_publish(self, kind: Callable[Q, E], *_: Q.args, **fields: Q.kwargs) -> bool: ...
        def try_publish(self, *event: Any, **fields: Any) -> bool:
            """Publish as `publish` does if there is a free slot, and never wait.

            Returns:
                False when the ring is full; nothing was changed.
            """
            return bool(event or fields)

    else:

        def __class_getitem__(cls, parameters: object) -> GenericAlias:
            """Take one parameter as well as two: `RingBuffer[Trade]`."""
            return GenericAlias(cls, parameters)

    @overload
    def claim(self, *, reset: bool = True, timeout: float | EllipsisType | None = ...) -> _core.Claim[E]: ...
    @overload
    def claim(
        self, kind: type[T], /, *, reset: bool = True, timeout: float | EllipsisType | None = ...
    ) -> _core.Claim[T]: ...
    @overload
    def claim(
        self, *, event: type[T], reset: bool = True, timeout: float | EllipsisType | None = ...
    ) -> _core.Claim[T]: ...
    @overload
    def claim(
        self,
        count: int,
        event: type[Event] | None = None,
        *,
        reset: bool = True,
        timeout: float | EllipsisType | None = ...,
    ) -> _core.Claim[Rows]: ...
    def claim(
        self,
        count: int | type[Any] | None = None,
        event: type[Any] | None = None,
        *,
        reset: bool = True,
        timeout: float | EllipsisType | None = ...,
    ) -> _core.Claim[Any]:
        """Claim one slot, or `count` in a row, to be filled in place: published when the `with` ends.

        The slots begin with their defaults. An exception in the `with` publishes nothing: consumers step
        over what was claimed. After the `with`, an event has a copy of its own and an array is empty.

        Args:
            count: slots, 1 to the capacity; left out for one slot as an event.
            event: the event type, where the ring has several; may stand in the place of `count`.
            reset: False leaves in the slots what they held, for whoever fills every field.
            timeout: the longest wait, in seconds; None waits for ever; left out, the handle's.

        Returns:
            A context manager that gives an event, or a structured array on the slots themselves. An array
            that would wrap around the end of the ring is copied in when the `with` ends.

        Raises:
            CapacityError: count out of range.
            WaitTimeout: the slots did not become free in time; nothing was claimed.
            KeptViewError: at the end, when a view of the array is still referred to; nothing is published.

        Shapes:
            array: (count,), structured, `Trade.dtype`.
        """
        count, kind = self._slots(count, event, "claim")
        limit = self.timeout if isinstance(timeout, EllipsisType) else timeout
        return self._claim(count, kind, reset, limit)

    @overload
    def try_claim(self, *, reset: bool = True) -> _core.Claim[E] | None: ...
    @overload
    def try_claim(self, kind: type[T], /, *, reset: bool = True) -> _core.Claim[T] | None: ...
    @overload
    def try_claim(self, *, event: type[T], reset: bool = True) -> _core.Claim[T] | None: ...
    @overload
    def try_claim(
        self, count: int, event: type[Event] | None = None, *, reset: bool = True
    ) -> _core.Claim[Rows] | None: ...
    def try_claim(
        self, count: int | type[Any] | None = None, event: type[Any] | None = None, *, reset: bool = True
    ) -> _core.Claim[Any] | None:
        """Claim as `claim` does if the slots are free, and never wait.

        Returns:
            A context manager, or None when the slots are not free.
        """
        count, kind = self._slots(count, event, "try_claim")
        claim = self._claim(count, kind, reset, 0.0)
        return claim if claim._try() else None

    def _slots(self, count: object, event: object, verb: str) -> tuple[int | None, int]:
        if isinstance(count, type):
            count, event = None, count
        if count is not None and (isinstance(count, bool) or not isinstance(count, (int, np.integer))):
            raise CapacityError(f"{verb} takes a number of slots", count, "use a whole number, 1 to the capacity")
        if count is not None and not 1 <= count <= self._ring.capacity:
            fact = f"{verb} of a ring of {self._ring.capacity} slots takes 1 to {self._ring.capacity}"
            raise CapacityError(fact, count, "claim less at a time, or use publish_batch, which claims in parts")
        if self._ring.objects and count is not None:
            raise SchemaError(f"{verb}({count}) needs structured slots", "claim objects one by one")
        return None if count is None else int(count), self._kind(event, verb)

    def _kind(self, event: object, verb: str) -> int:
        types = self._ring.event_types
        if event is None:
            if len(types) > 1:
                names = ", ".join(known.__name__ for known in types)
                raise SchemaError(f"the ring has several event types ({names})", f"name one: {verb}(..., event=...)")
            return 0
        if event not in types:
            names = ", ".join(known.__name__ for known in types) or "objects"
            raise SchemaError(f"{getattr(event, '__name__', event)!r} is not on the ring", f"the ring has {names}")
        return types.index(event)

    def publish_batch(
        self,
        array: npt.ArrayLike,
        event: type[Event] | None = None,
        *,
        timeout: float | EllipsisType | None = ...,
    ) -> int:
        """Copy a structured array in, in as many claims as it takes.

        Args:
            array: (n,), of the event's dtype, or of one with the same field names that casts to it safely.
            event: the event type, where the ring has several and the dtype does not say which.
            timeout: the longest wait for the whole, in seconds; None waits for ever; left out, the handle's.

        Returns:
            The sequence of the last event; the cursor where there were none.

        Raises:
            SchemaError: another dtype, or not one dimension.
            WaitTimeout: not all became free in time; a note says how many were published.

        Shapes:
            array: (n,), structured.
        """
        if self._ring.objects:
            raise SchemaError("publish_batch needs structured slots", "publish objects one by one")
        rows = np.asarray(array)
        kind = self._kind(event if event is not None else self._type_of(rows.dtype), "publish_batch")
        limit = self.timeout if isinstance(timeout, EllipsisType) else timeout
        return self._publish_rows(_matching(rows, self._ring.event_types[kind]), kind, limit)

    def _type_of(self, dtype: np.dtype[Any]) -> EventMeta | None:
        """The one event type of this dtype, where the ring has several."""
        types = self._ring.event_types
        fitting = [known for known in types if known.dtype == dtype]
        return fitting[0] if len(types) > 1 and len(fitting) == 1 else None


def _matching(rows: npt.NDArray[Any], event: EventMeta) -> npt.NDArray[Any]:
    """The rows in the event's own dtype."""
    dtype: np.dtype[Any] = event.dtype
    if rows.ndim != 1:
        raise SchemaError(f"publish_batch got an array of shape {rows.shape}", "pass one of one dimension")
    if rows.dtype == dtype:
        return rows
    if rows.dtype.names is None or set(rows.dtype.names) != set(dtype.names or ()):
        fact = f"publish_batch got rows of {rows.dtype}, and {event.__name__} has {dtype}"
        raise SchemaError(fact, f"make the array with dtype={event.__name__}.dtype")
    if not all(np.can_cast(rows.dtype[name], dtype[name], "safe") for name in rows.dtype.names):
        fact = f"rows of {rows.dtype} do not fit {dtype} without loss"
        raise SchemaError(fact, f"convert them with .astype({event.__name__}.dtype) first")
    converted = np.zeros(rows.shape, dtype)
    for name in rows.dtype.names:
        converted[name] = rows[name]
    return converted


class Producer(Verbs[E, P]):
    """A handle with a time-out of its own. Made by `RingBuffer.producer`."""

    __slots__ = ()


_core.install_verbs(Producer)
