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
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import excinfo_ptr_t
from numba.core.ccallback import CFunc
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.extending import intrinsic
from numba.np import arrayobj

from ringbus.machine.cache import Cache
from ringbus.machine.fingerprint import fingerprint
from ringbus.machine.marks import Options
from ringbus.machine.records import visible
from ringbus.machine.state import State

_GOES_ON, _HALTED, _FAILED, _ENDED = (np.int32(answer) for answer in range(4))
"""What a loop returns, as in code.rs."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_SIGNATURE = types.int32(*[types.int64] * 9)
_RAISED, _CODE, _EXCEPTION = 1, 2, 3
"""The words of a report, behind the events done."""


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
    """

    function: Callable[..., Any]
    options: Options
    event: np.dtype[Any]
    state: State
    arity: int
    source: bool


def compile_loop(task: Task) -> CFunc:
    """Compile the loop around a function, or load it from disk.

    Raises:
        numba.core.errors.NumbaError: the function cannot be compiled.
    """
    rtsys.initialize(cpu_target.target_context)
    event, state = numba.from_dtype(visible(task.event)), _state_type(task.state)
    arguments = (event, state, types.int64, types.boolean)[: task.arity]
    cache = Cache(fingerprint(task.function), (task.options, arguments, event, state, task.source))
    if cache.loop is not None:
        return cache.loop
    options = task.options
    dispatcher = numba.njit(nogil=True, fastmath=options.fastmath, boundscheck=options.boundscheck)(task.function)
    if not cache.is_on_disk:
        dispatcher.compile(arguments)  # by itself first: what Numba says of it is not about our loop then
    code = _loop(dispatcher, arguments, (event, state), source=task.source)
    return _c_function(code, _SIGNATURE, cache)


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


def _loop(dispatcher: Any, arguments: tuple[Any, ...], kinds: tuple[Any, Any], *, source: bool) -> Callable[..., Any]:
    """The loop in Python, for Numba: each name in it that is not a parameter is an intrinsic."""
    at, state_at = _pointer_to(kinds[0]), _state_at(kinds[1])
    call = _call(dispatcher, arguments, (*kinds, types.int64, types.boolean), source=source)

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
            if _is_raised(halted):
                _store(report, index)
                return _HALTED
            end = is_last_run != 0 and index == count - 1
            answer = call(at(events), state, first + index, end, report)
            if answer != 0:
                _store(report, index)
                return answer
            events += stride
        return _GOES_ON

    return loop


def _pointer_to(record: Any) -> Any:
    """The event at an address."""

    @intrinsic
    def at(_typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(address), generate

    return at


def _state_at(state: Any) -> Any:
    """The state at an address, with its lengths at another."""

    @intrinsic
    def state_at(_typing: Any, address: Any, lengths: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            if state is types.none:
                return context.get_dummy_value()
            if isinstance(state, types.Record):
                return builder.inttoptr(arguments[0], context.get_value_type(state))
            return _array_at(context, builder, state, arguments)

        return state(address, lengths), generate

    return state_at


def _array_at(context: Any, builder: Any, array_type: Any, arguments: Any) -> Any:
    """A contiguous array over memory that is not Numba's."""
    array = arrayobj.make_array(array_type)(context, builder)
    lengths = builder.inttoptr(arguments[1], _I64.as_pointer())
    shape = [builder.load(cgutils.gep_inbounds(builder, lengths, axis)) for axis in range(array_type.ndim)]
    size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    strides: list[Any] = []
    step = context.get_constant(types.intp, size)
    for length in reversed(shape):
        strides.insert(0, step)
        step = builder.mul(step, length)
    data = builder.inttoptr(arguments[0], array.data.type)
    arrayobj.populate_array(array, data, shape, strides, context.get_constant(types.intp, size), None)
    return array._getvalue()


def _call(dispatcher: Any, arguments: tuple[Any, ...], offered: tuple[Any, ...], *, source: bool) -> Any:
    """The user's function; 0, or what the loop returns, with the reason in the report."""

    @intrinsic
    def call(_typing: Any, event: Any, state: Any, sequence: Any, end: Any, report: Any) -> Any:
        dispatcher.compile(arguments)
        compiled = dispatcher.overloads[arguments]

        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            context.active_code_library.add_linking_library(compiled.library)
            status, result = context.call_internal_no_propagate(
                builder, compiled.fndesc, compiled.signature, values[: len(arguments)]
            )
            answer = cgutils.alloca_once_value(builder, _I32(0))
            words = builder.inttoptr(values[-1], _I64.as_pointer())
            with builder.if_else(status.is_error, likely=False) as (failed, returned):
                with failed:
                    _report_exception(builder, words, status)
                    builder.store(_I32(_FAILED), answer)
                with returned:
                    _report_result(context, builder, words, (compiled.signature.return_type, result), source, answer)
            return builder.load(answer)

        return types.int32(*offered, report), generate

    return call


def _report_exception(builder: Any, words: Any, status: Any) -> None:
    for word, value in (
        (_RAISED, _I64(1)),
        (_CODE, builder.sext(status.code, _I64)),
        (_EXCEPTION, builder.ptrtoint(status.excinfoptr, _I64)),
    ):
        builder.store(value, cgutils.gep_inbounds(builder, words, word))


def _report_result(context: Any, builder: Any, words: Any, result: tuple[Any, Any], source: bool, answer: Any) -> None:
    """What a number or a truth that the function returned means; anything else means nothing."""
    kind, value = result
    present = ir.Constant(ir.IntType(1), 1)
    if isinstance(kind, types.Optional):
        optional = context.make_helper(builder, kind, value)
        kind, value, present = kind.type, optional.data, cgutils.as_bool_bit(builder, optional.valid)
    if source and isinstance(kind, types.Boolean):
        value = builder.zext(cgutils.as_bool_bit(builder, value), _I64)
    elif isinstance(kind, types.Integer):
        value = context.cast(builder, value, kind, types.int64)
    else:
        return
    zero = _I64(0)
    if source:
        with builder.if_then(builder.and_(present, builder.icmp_signed("==", value, zero)), likely=False):
            builder.store(_I32(_ENDED), answer)
    is_failure = builder.icmp_signed("<" if source else "!=", value, zero)
    with builder.if_then(builder.and_(present, is_failure), likely=False):
        builder.store(value, cgutils.gep_inbounds(builder, words, _CODE))
        builder.store(_I32(_FAILED), answer)


@intrinsic
def _is_raised(_typing: Any, address: Any) -> Any:
    """Whether the word of an alert is not 0: a relaxed look, which the compiler may not hoist."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = builder.load_atomic(builder.inttoptr(arguments[0], _I32.as_pointer()), "monotonic", 4)
        return builder.icmp_unsigned("!=", word, _I32(0))

    return types.boolean(address), generate


@intrinsic
def _store(_typing: Any, address: Any, value: Any) -> Any:
    """Writes a number to an address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], _I64.as_pointer()))
        return context.get_dummy_value()

    return types.void(address, value), generate


@intrinsic
def _raise(_typing: Any, code: Any, exception: Any) -> Any:
    """Raises what a loop has reported; the GIL is held."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        python = context.get_python_api(builder)
        record = builder.inttoptr(arguments[1], excinfo_ptr_t)
        status = context.call_conv._get_return_status(builder, arguments[0], record)
        context.call_conv.raise_error(builder, python, status)
        return context.get_dummy_value()

    return types.void(code, exception), generate


def _raise_reported(code: int, exception: int) -> Any:
    _raise(code, exception)
    return np.int32(0)


@functools.cache
def raiser() -> CFunc:
    """The function that raises, on a thread that holds the GIL, what a loop has reported."""
    cache = Cache(b"raiser", ())
    return cache.loop or _c_function(_raise_reported, types.int32(types.int32, types.int64), cache)
