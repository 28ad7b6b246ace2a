"""The loops over events that Numba compiles around a user's function.

A loop is a C function over a run of events in memory (`LoopFunction` in code.rs). The user's function is inlined into
it. It never touches Python: what the function raises is left as Numba's own record of it, for `raiser` to raise where
the GIL is held.

Source: numba.core.ccallback, whose wrappers print an exception and lose it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from ringbus.machine.cache import Cache
from ringbus.machine.fingerprint import fingerprint
from ringbus.machine.intrinsics import (
    ARMED,
    FULL,
    GOES_ON,
    HALTED,
    call_of,
    claim,
    copy_to,
    is_armed,
    is_raised,
    load,
    pointer_to,
    publish,
    raise_reported,
    state_from,
    store,
)
from ringbus.machine.marks import Options
from ringbus.machine.records import visible
from ringbus.machine.state import State

_CLAIMED, _PUBLISHED, _ARMED, _NEXT, _ROOM, _ASYMMETRIC = range(6)
"""The words of a `Loan`, as in loan.rs."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is compiled.

    Attributes:
        function: the user's function.
        options: how.
        event: the type of its events.
        state: the state it gets.
        arity: the arguments it takes, from the left.
        source: whether it fills events, and says whether it goes on.
        each: whether its loop publishes each event by itself, in a ring of one producer.
    """

    function: Callable[..., Any]
    options: Options
    event: np.dtype[Any]
    state: State
    arity: int
    source: bool
    each: bool = False


def compile_loop(task: Task) -> CFunc:
    """Compile the loop around a function, or load it from disk.

    Raises:
        numba.core.errors.NumbaError: the function cannot be compiled.
    """
    rtsys.initialize(cpu_target.target_context)
    event, state = numba.from_dtype(visible(task.event)), _state_type(task.state)
    arguments = (event, state, types.int64, types.boolean)[: task.arity]
    cache = Cache(fingerprint(task.function), (task.options, arguments, event, state, task.source, task.each))
    if cache.loop is not None:
        return cache.loop
    options = task.options
    dispatcher = numba.njit(nogil=True, fastmath=options.fastmath, boundscheck=options.boundscheck)(task.function)
    if not cache.is_on_disk:
        dispatcher.compile(arguments)  # by itself first: what Numba says of it is not about our loop then
    call = call_of(dispatcher, arguments, (event, state, types.int64, types.boolean), source=task.source)
    loop = (_publishing_loop if task.each else _loop)(call, event, state)
    return _c_function(loop, types.int32(*[types.int64] * (10 if task.each else 9)), cache)


def _c_function(code: Callable[..., Any], signature: Any, cache: Cache) -> CFunc:
    function = CFunc(code, (signature.args, signature.return_type), {}, {"nopython": True})
    function._cache = cache
    function.compile()
    cache.keep(function)
    return function


def _state_type(state: State) -> Any:
    if state.memory is None:
        return types.none
    item = numba.from_dtype(visible(state.memory.dtype))
    return item if state.is_record else types.Array(item, state.memory.ndim, "C")


def _loop(call: Any, event: Any, state: Any) -> Callable[..., Any]:
    """The loop over a run of events, in Python for Numba: `LoopFunction`."""
    at, state_at = pointer_to(event), state_from(state)

    def loop(
        events: int,
        stride: int,
        count: int,
        first: int,
        is_last_run: int,
        halted: int,
        memory: int,
        lengths: int,
        report: int,
    ) -> Any:
        state = state_at(memory, lengths)
        for index in range(count):
            if is_raised(halted):
                store(report, index)
                return np.int32(HALTED)
            end = is_last_run != 0 and index == count - 1
            answer = call(at(events), state, first + index, end, report)
            if answer != 0:
                store(report, index)
                return answer
            events += stride
        return np.int32(GOES_ON)

    return loop


def _publishing_loop(call: Any, event: Any, state: Any) -> Callable[..., Any]:
    """The loop that claims, fills and publishes one by one: `EachFunction`, with the steps of `Loan::publish_each`."""
    at, state_at, copy = pointer_to(event), state_from(state), copy_to(event)

    def loop(
        loan: int,
        events: int,
        stride: int,
        mask: int,
        count: int,
        halted: int,
        memory: int,
        lengths: int,
        defaults: int,
        report: int,
    ) -> Any:
        state = state_at(memory, lengths)
        claimed, published, armed = load(loan, _CLAIMED), load(loan, _PUBLISHED), load(loan, _ARMED)
        room, asymmetric, highest = load(loan, _ROOM), load(loan, _ASYMMETRIC), load(claimed, 0)
        sequence = load(loan, _NEXT)
        last, answer = sequence + count, np.int32(GOES_ON)
        while sequence < last:
            if is_raised(halted):
                answer = np.int32(HALTED)
                break
            if sequence >= room:
                answer = np.int32(FULL)
                break
            claim(claimed, max(sequence + 1, highest))
            address = events + ((sequence + 1) & mask) * stride
            if defaults != 0:
                copy(address, defaults)
            answer = call(at(address), state, sequence + 1, True, report)
            if answer != 0:
                break
            sequence += 1
            publish(published, sequence)
            if is_armed(armed, asymmetric):
                answer = np.int32(ARMED)
                break
        store(loan + 8 * _NEXT, sequence)
        return answer

    return loop


def _raiser(code: int, exception: int) -> Any:
    raise_reported(code, exception)
    return np.int32(0)


@functools.cache
def raiser() -> CFunc:
    """The function that raises, on a thread that holds the GIL, what a loop has reported."""
    cache = Cache(b"raiser", ())
    return cache.loop or _c_function(_raiser, types.int32(types.int32, types.int64), cache)
