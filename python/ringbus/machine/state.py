"""The state of machine code: memory that it writes, and that Python reads meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ringbus.errors import ConfigurationError

_REMEDY = "use a dict of first values, a structured dtype, or an array"


@dataclass(frozen=True, slots=True)
class State:
    """Memory for the state of a handler or source.

    Attributes:
        value: what Python sees: an array, a record, or None where there is none.
        memory: the array that holds it.
        is_record: whether machine code gets it as a record; otherwise as an array.
        lengths: the lengths of its axes, for machine code.
    """

    value: Any
    memory: npt.NDArray[Any] | None
    is_record: bool
    lengths: npt.NDArray[np.int64]

    @property
    def address(self) -> int:
        """Where it begins; 0 without one."""
        return 0 if self.memory is None else self.memory.ctypes.data

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its items."""
        return np.dtype(np.void) if self.memory is None else self.memory.dtype

    def another(self) -> State:
        """One of the same kind, with the same values, in memory of its own."""
        return self if self.memory is None else _over(self.memory.copy())


def state_of(name: str, given: object) -> State:
    """Make the state that was asked for.

    Args:
        name: the consumer or source, for messages.
        given: None; a mapping of names to first values; a dtype, which begins as zeros; or an array, which is used
            itself.

    Raises:
        ConfigurationError: something else, or an array that machine code cannot use.
    """
    if given is None:
        return State(None, None, False, np.zeros(1, np.int64))
    if isinstance(given, Mapping):
        return _over(_from_mapping(name, given))
    if isinstance(given, np.dtype):
        return _over(_zeros(name, given))
    if isinstance(given, np.void):
        return _over(np.array(given))
    if isinstance(given, np.ndarray):
        _check(name, given)
        return _over(given)
    raise ConfigurationError(f"the state of {name!r} is {given!r}", _REMEDY)


def _over(memory: npt.NDArray[Any]) -> State:
    is_record = memory.ndim == 0 and memory.dtype.names is not None
    lengths = np.array(memory.shape or (1,), np.int64)
    return State(_record(memory) if is_record else memory, memory, is_record, lengths)


def _record(memory: npt.NDArray[Any]) -> Any:
    """The one record in `memory`, with its fields as attributes, and no copy."""
    return memory.view(np.dtype((np.record, memory.dtype)))[()]


def _zeros(name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    _check_dtype(name, dtype)
    return np.zeros((), dtype)


def _from_mapping(name: str, given: Mapping[Any, Any]) -> npt.NDArray[Any]:
    values = {field: np.asarray(value) for field, value in given.items()}
    if not values or not all(isinstance(field, str) and field.isidentifier() for field in values):
        raise ConfigurationError(
            f"the state of {name!r} has the names {list(values)!r}", "name its fields as variables"
        )
    dtype = np.dtype([(field, value.dtype, value.shape) for field, value in values.items()], align=True)
    _check_dtype(name, dtype)
    memory = np.zeros((), dtype)
    for field, value in values.items():
        memory[field] = value
    return memory


def _check(name: str, array: npt.NDArray[Any]) -> None:
    _check_dtype(name, array.dtype)
    flags = array.flags
    if not (flags.c_contiguous and flags.writeable and flags.aligned):
        fact = f"the state of {name!r} is an array that is not contiguous, aligned and writable"
        raise ConfigurationError(fact, "pass np.ascontiguousarray(...), or a copy")


def _check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ConfigurationError(f"the state of {name!r} has objects of Python ({dtype})", "use numbers and bytes")
    if dtype.itemsize == 0 or dtype != dtype.newbyteorder("="):
        raise ConfigurationError(
            f"the state of {name!r} is of {dtype}", "use types of this machine's byte order, with a size"
        )
