"""C functions as handlers and sources: from ctypes, cffi, Cython, SciPy, or any capsule with a signature.

Source: scipy.LowLevelCallable, whose capsules have their signature as their name.
"""

from __future__ import annotations

import ctypes
import re
import sys
from dataclasses import dataclass
from typing import Any

from ringbus.errors import ConfigurationError

SIGNATURES = {
    "event": "int (void *, int64_t, int, void *)",
    "batch": "int (void *, int64_t, int64_t, int64_t, void *)",
    "fill": "int (void *, int64_t, void *)",
}
"""What a handler of one event, a handler of a run of events, and a source take: docs/reference/machine-code.md."""

_SYNONYMS = {
    "int64_t": "int64_t",
    "long": "int64_t",
    "long int": "int64_t",
    "long long": "int64_t",
    "signed long": "int64_t",
    "ssize_t": "int64_t",
    "Py_ssize_t": "int64_t",
    "ptrdiff_t": "int64_t",
    "intptr_t": "int64_t",
    "int": "int",
    "int32_t": "int",
    "signed int": "int",
}


@dataclass(frozen=True, slots=True)
class Foreign:
    """A C function.

    Attributes:
        form: "event", "batch" or "fill".
        address: where it is.
        keep: what has to live as long as it is called.
        state: the address of the user data that it came with; 0 is none.
    """

    form: str
    address: int
    keep: object
    state: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    signature: str
    address: int
    state: int = 0


def is_foreign(handler: object) -> bool:
    """Whether the handler is a C function, as a pointer or in a capsule."""
    return any(looks(handler) for looks, _ in _KINDS)


def foreign(name: str, handler: object, *forms: str) -> Foreign:
    """Find the address and the form of a C function.

    Args:
        name: the consumer or source, for messages.
        handler: one for which `is_foreign` holds.
        forms: the forms that are possible.

    Raises:
        ConfigurationError: its signature is none of those, or is not known.
    """
    find = next(find for looks, find in _KINDS if looks(handler))
    found = find(name, handler)
    for form in forms:
        if _canonical(found.signature) == _canonical(SIGNATURES[form]):
            return Foreign(form, found.address, handler, found.state)
    wanted = " or ".join(repr(SIGNATURES[form]) for form in forms)
    raise ConfigurationError(f"{name!r} is a C function of signature {found.signature!r}", f"it has to be {wanted}")


def _canonical(signature: str) -> tuple[str, ...]:
    """The result and the arguments, whatever they are called and however pointers are written."""
    result, _, arguments = signature.partition("(")
    arguments = arguments.strip()
    if arguments.startswith("*"):  # "int(*)(void *, ...)", as cffi says it
        arguments = arguments.partition("(")[2]
    parts = [result, *arguments.strip().rstrip(")").split(",")]
    return tuple(_canonical_type(part) for part in parts)


def _canonical_type(written: str) -> str:
    if "*" in written:
        return "pointer"
    words = [word for word in re.findall(r"\w+", written) if word != "const"]
    for length in (len(words), len(words) - 1):  # the last word may be the argument's name
        known = _SYNONYMS.get(" ".join(words[:length]))
        if known:
            return known
    return " ".join(words)


# -- capsules ---------------------------------------------------------------------------------------------------------

_python = ctypes.pythonapi


def _capsule_call(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((name, _python))


_capsule_name = _capsule_call("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)
_capsule_pointer = _capsule_call("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_capsule_context = _capsule_call("PyCapsule_GetContext", ctypes.c_void_p, ctypes.py_object)


def _is_capsule(handler: object) -> bool:
    return type(handler).__name__ == "PyCapsule" and type(handler).__module__ == "builtins"


def _in_capsule(name: str, handler: object) -> _Found:
    signature = _capsule_name(handler)
    if signature is None:
        remedy = f"name the capsule by its signature, as {SIGNATURES['event']!r}"
        raise ConfigurationError(f"{name!r} is a capsule without a name", remedy)
    return _Found(signature.decode(), _capsule_pointer(handler, signature), _capsule_context(handler) or 0)


# -- scipy.LowLevelCallable -------------------------------------------------------------------------------------------


def _is_low_level(handler: object) -> bool:
    return type(handler).__name__ == "LowLevelCallable" and type(handler).__module__.startswith("scipy.")


def _in_low_level(name: str, handler: Any) -> _Found:
    return _in_capsule(name, tuple.__getitem__(handler, 0))


# -- ctypes -----------------------------------------------------------------------------------------------------------

_FUNCTION: Any = type(_capsule_name).__base__
_PYTHON_API = 0x4  # ctypes.FUNCFLAG_PYTHONAPI


def _is_ctypes(handler: object) -> bool:
    return isinstance(handler, _FUNCTION) and not getattr(handler, "_flags_", 0) & _PYTHON_API


def _in_ctypes(name: str, handler: Any) -> _Found:
    if handler.argtypes is None:
        remedy = f"set its argtypes and restype, for {SIGNATURES['event']!r}"
        raise ConfigurationError(f"{name!r} is a function of ctypes without argtypes", remedy)
    arguments = ", ".join(_ctypes_name(argument) for argument in handler.argtypes)
    address = ctypes.cast(handler, ctypes.c_void_p).value or 0
    return _Found(f"{_ctypes_name(handler.restype)} ({arguments})", address)


def _ctypes_name(kind: Any) -> str:
    if kind is None:
        return "void"
    if kind in (ctypes.c_void_p, ctypes.c_char_p) or hasattr(kind, "contents"):
        return "void *"
    names = {ctypes.c_int: "int", ctypes.c_int64: "int64_t"}
    return names.get(kind) or str(kind.__name__).removeprefix("c_")


# -- cffi -------------------------------------------------------------------------------------------------------------


def _is_cffi(handler: object) -> bool:
    if not type(handler).__module__.startswith("_cffi_backend"):
        return False
    return bool(sys.modules["_cffi_backend"].typeof(handler).kind == "function")


def _in_cffi(_name: str, handler: object) -> _Found:
    backend = sys.modules["_cffi_backend"]
    kind = backend.typeof(handler)
    address = int(backend.cast(backend.new_primitive_type("uintptr_t"), handler))
    arguments = ", ".join(argument.cname for argument in kind.args)
    return _Found(f"{kind.result.cname} ({arguments})", address)


_KINDS = (
    (_is_capsule, _in_capsule),
    (_is_low_level, _in_low_level),
    (_is_ctypes, _in_ctypes),
    (_is_cffi, _in_cffi),
)
