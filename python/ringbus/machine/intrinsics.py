"""Pieces of the loops that are no Python: pointers, atomic words, the call of the user's function, what it raised.

Source: numba.extending.intrinsic; the LLVM language reference on atomics.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import excinfo_ptr_t
from numba.extending import intrinsic
from numba.np import arrayobj

GOES_ON, HALTED, FAILED, ENDED, FULL, ARMED = range(6)
"""What a loop returns, as in code.rs."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_RAISED, _CODE, _EXCEPTION = 1, 2, 3
"""The words of a report, behind the events done."""
_WHO = 3
"""The bits of an armed word that say that somebody waits, as in futex.rs."""


def pointer_to(record: Any) -> Any:
    """The event at an address."""

    @intrinsic
    def at(_typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(record))

        return record(address), generate

    return at


def state_from(state: Any) -> Any:
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


def call_of(dispatcher: Any, arguments: tuple[Any, ...], offered: tuple[Any, ...], *, source: bool) -> Any:
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
                    builder.store(_I32(FAILED), answer)
                with returned:
                    found = compiled.signature.return_type, result, builder.not_(status.is_none)
                    _report_result(context, builder, words, found, source, answer)
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


def _report_result(
    context: Any, builder: Any, words: Any, result: tuple[Any, Any, Any], source: bool, answer: Any
) -> None:
    """What a number or a truth that the function returned means; anything else means nothing."""
    kind, value, present = result
    if isinstance(kind, types.Optional):  # it returns its value bare, and its status says whether there is one
        kind = kind.type
    if source and isinstance(kind, types.Boolean):
        value = builder.zext(cgutils.as_bool_bit(builder, value), _I64)
    elif isinstance(kind, types.Integer):
        value = context.cast(builder, value, kind, types.int64)
    else:
        return
    zero = _I64(0)
    if source:
        with builder.if_then(builder.and_(present, builder.icmp_signed("==", value, zero)), likely=False):
            builder.store(_I32(ENDED), answer)
    is_failure = builder.icmp_signed("<" if source else "!=", value, zero)
    with builder.if_then(builder.and_(present, is_failure), likely=False):
        builder.store(value, cgutils.gep_inbounds(builder, words, _CODE))
        builder.store(_I32(FAILED), answer)


@intrinsic
def is_raised(_typing: Any, address: Any) -> Any:
    """Whether the word of an alert is not 0: a relaxed look, which the compiler may not hoist."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = builder.load_atomic(builder.inttoptr(arguments[0], _I32.as_pointer()), "monotonic", 4)
        return builder.icmp_unsigned("!=", word, _I32(0))

    return types.boolean(address), generate


@intrinsic
def store(_typing: Any, address: Any, value: Any) -> Any:
    """Writes a number to an address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], _I64.as_pointer()))
        return context.get_dummy_value()

    return types.void(address, value), generate


@intrinsic
def raise_reported(_typing: Any, code: Any, exception: Any) -> Any:
    """Raises what a loop has reported; the GIL is held."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        python = context.get_python_api(builder)
        record = builder.inttoptr(arguments[1], excinfo_ptr_t)
        status = context.call_conv._get_return_status(builder, arguments[0], record)
        context.call_conv.raise_error(builder, python, status)
        return context.get_dummy_value()

    return types.void(code, exception), generate


@intrinsic
def load(_typing: Any, address: Any, index: Any) -> Any:
    """The word number `index` of those at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        words = builder.inttoptr(arguments[0], _I64.as_pointer())
        return builder.load(cgutils.gep_inbounds(builder, words, arguments[1]))

    return types.int64(address, index), generate


@intrinsic
def claim(_typing: Any, claimed: Any, sequence: Any) -> Any:
    """Stores `claimed`, then orders it before the stores to the slot, as `Loan::publish_each`."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], builder.inttoptr(arguments[0], _I64.as_pointer()), "monotonic", 8)
        builder.fence("release")
        return context.get_dummy_value()

    return types.void(claimed, sequence), generate


@intrinsic
def publish(_typing: Any, published: Any, sequence: Any) -> Any:
    """Stores `published`, and releases what was written before."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], builder.inttoptr(arguments[0], _I64.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(published, sequence), generate


@intrinsic
def is_armed(_typing: Any, armed: Any, asymmetric: Any) -> Any:
    """Whether somebody waits for what was published, behind the barrier: one for the compiler alone if asymmetric."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        with builder.if_else(cgutils.is_not_null(builder, arguments[1])) as (light, full):
            with light:
                builder.fence("seq_cst", "singlethread")
            with full:
                builder.fence("seq_cst")
        word = builder.load_atomic(builder.inttoptr(arguments[0], _I32.as_pointer()), "monotonic", 4)
        return builder.icmp_unsigned("!=", builder.and_(word, _I32(_WHO)), _I32(0))

    return types.boolean(armed, asymmetric), generate


def copy_to(record: Any) -> Any:
    """Copies an event over another."""

    @intrinsic
    def copy(_typing: Any, target: Any, source: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointers = [builder.inttoptr(argument, ir.IntType(8).as_pointer()) for argument in arguments]
            size = context.get_constant(types.intp, record.size)
            cgutils.raw_memcpy(builder, *pointers, size, 1)
            return context.get_dummy_value()

        return types.void(target, source), generate

    return copy
