"""What a function is, as far as a compiler looks: its code, and all that it refers to."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_PLAIN = (int, float, complex, bool, str, bytes, type(None), type(...), np.generic)


def fingerprint(function: Callable[..., Any]) -> bytes | None:
    """A digest of the function and of what it refers to: constants, arrays, other functions, types.

    Returns:
        None where it refers to something that cannot be told apart by its value, as a mutable object.
    """
    digest, seen = hashlib.sha256(), set[int]()
    try:
        for part in _function(function, seen):
            digest.update(part + b"\0")
    except _UnknownError:
        return None
    return digest.digest()


class _UnknownError(Exception):
    """Something that has no digest."""


def _function(function: Any, seen: set[int]) -> Iterator[bytes]:
    function = getattr(function, "py_func", function)
    if id(function) in seen:
        yield b"again"
        return
    seen.add(id(function))
    code = function.__code__
    yield f"{function.__module__}.{function.__qualname__}".encode()
    yield from _code(code)
    yield from _value(function.__defaults__, seen)
    for cell in function.__closure__ or ():
        yield from _value(cell.cell_contents, seen)
    names = set(_names(code))
    for name in sorted(names & function.__globals__.keys()):
        yield name.encode()
        value = function.__globals__[name]
        yield from _module(value, names, seen) if isinstance(value, types.ModuleType) else _value(value, seen)


def _code(code: types.CodeType) -> Iterator[bytes]:
    # The file and the lines too: they are in the tracebacks of what the function raises.
    yield repr((code.co_filename, code.co_firstlineno, code.co_names, code.co_varnames, code.co_flags)).encode()
    yield code.co_code
    yield code.co_linetable
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant)
        else:
            yield repr(constant).encode()


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _module(module: types.ModuleType, names: set[str], seen: set[int]) -> Iterator[bytes]:
    """Of a module, the attributes whose names the function has."""
    yield f"{module.__name__} {getattr(module, '__version__', '')}".encode()
    for name in sorted(names & vars(module).keys()):
        value = vars(module)[name]
        if not isinstance(value, types.ModuleType):
            yield name.encode()
            yield from _value(value, seen)


def _value(value: object, seen: set[int]) -> Iterator[bytes]:
    if isinstance(value, _PLAIN):
        yield repr((type(value).__name__, value)).encode()
    elif isinstance(value, tuple | frozenset):
        yield f"{type(value).__name__} {len(value)}".encode()
        for item in value if isinstance(value, tuple) else sorted(value, key=repr):
            yield from _value(item, seen)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield repr((value.dtype.descr, value.shape)).encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, np.dtype):
        yield repr(value).encode()
    elif isinstance(value, types.FunctionType) or hasattr(value, "py_func"):
        yield from _function(value, seen)
    elif isinstance(value, type | types.BuiltinFunctionType | np.ufunc) and hasattr(value, "__name__"):
        yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}".encode()
    elif isinstance(value, types.ModuleType):
        yield value.__name__.encode()
    else:
        raise _UnknownError
