"""From a handler or source to the entry points that a native loop calls."""

from __future__ import annotations

import dis
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from ringbus.errors import CompilationError, ConfigurationError
from ringbus.machine.foreign import Foreign, foreign, is_foreign
from ringbus.machine.marks import Options, function_of, options_of
from ringbus.machine.state import State, state_of

if TYPE_CHECKING:
    from ringbus.event import EventMeta
    from ringbus.machine.loops import Task

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLACE = re.compile(r'File "(.+)", line (\d+):')
_LONGEST = 400
"""The most characters of Numba's reason in a message."""


@dataclass(frozen=True, slots=True)
class MachineCode:
    """The entry points of one handler or source, and its first state.

    Attributes:
        code: (index of the event type, form, address) of each.
        state: what its code works on.
        raiser: the address of what raises what the code reported; 0 where it cannot raise.
        keep: what has to live as long as the code is called.
    """

    code: list[tuple[int, str, int]]
    state: State
    raiser: int = 0
    keep: list[object] = field(default_factory=list)

    def facts(self, state: State) -> SimpleNamespace:
        """What the native layer is told, for a caller with a state of its own."""
        return SimpleNamespace(
            code=self.code,
            state=state.address or self._foreign_state(),
            shape=state.lengths.ctypes.data,
            raiser=self.raiser,
            keep=(self.keep, state),
        )

    def _foreign_state(self) -> int:
        return next((known.state for known in self.keep if isinstance(known, Foreign)), 0)


def handler_code(
    name: str, handler: Any, arity: int, kinds: Sequence[tuple[int, EventMeta]], state: object
) -> MachineCode:
    """The machine code of a handler.

    Args:
        name: the consumer, for messages.
        handler: a function marked by `ringbus.compiled`, or a C function.
        arity: the arguments it takes.
        kinds: the event types it takes, with their index in the ring.
        state: what `group.add` was given.

    Raises:
        CompilationError: Numba cannot compile it.
        ConfigurationError: Numba is not installed, a wrong signature, or a state that cannot be one.
    """
    if is_foreign(handler):
        found = foreign(name, handler, "event", "batch")
        code = [(index, found.form, found.address) for index, _ in kinds]
        return MachineCode(code, state_of(name, state), keep=[found])
    return _compiled(_Order(name, handler, arity, source=False), kinds, state_of(name, state))


def source_code(
    name: str, source: Any, arity: int, kind: tuple[int, EventMeta], state: object, *, each: bool
) -> MachineCode:
    """The machine code of a source; see `handler_code`.

    Args:
        name: the source, for messages.
        source: a function, or a C function.
        arity: the arguments it takes.
        kind: the event type it fills, with its index in the ring.
        state: what `RingBuffer.source` was given.
        each: whether its loop is to publish each event by itself, as the one producer of its ring.
    """
    if is_foreign(source):
        found = foreign(name, source, "fill")
        return MachineCode([(kind[0], found.form, found.address)], state_of(name, state), keep=[found])
    return _compiled(_Order(name, source, arity, source=True, each=each), [kind], state_of(name, state))


@dataclass(frozen=True, slots=True)
class _Order:
    """A function that is to be compiled."""

    name: str
    handler: Any
    arity: int
    source: bool
    each: bool = False


def _compiled(order: _Order, kinds: Sequence[tuple[int, EventMeta]], state: State) -> MachineCode:
    """The loops around a function, one for each event type."""
    function = function_of(order.handler)
    if function is None:
        fact = f"{order.name!r} is {order.handler!r}, which is no function"
        raise ConfigurationError(fact, "pass a function, or a C function")
    if order.arity == 2 and state.memory is None:
        raise ConfigurationError(f"{order.name!r} takes a state, and was given none", "give state=")
    loops = _loops(order.name)
    options = options_of(order.handler) or Options()
    asked = (state, order.arity, order.source, order.each)
    tasks = [loops.Task(function, options, event.dtype, *asked) for _, event in kinds]
    made = [_loop(order.name, loops.compile_loop, task) for task in tasks]
    raiser = loops.raiser()
    form = "each" if order.each else "loop"
    code = [(index, form, loop.address) for (index, _), loop in zip(kinds, made, strict=True)]
    return MachineCode(code, state, raiser.address, [*made, raiser])


def _loops(name: str) -> Any:
    try:
        from ringbus.machine import loops
    except ImportError as error:
        fact = f"{name!r} is to be compiled, and Numba cannot be imported ({error})"
        raise ConfigurationError(fact, "pip install 'ringbus[compiled]'") from error
    return loops


def _loop(name: str, compile_loop: Callable[[Task], Any], task: Task) -> Any:
    """What Numba makes of it; what Numba says against it, as an error of ours."""
    try:
        return compile_loop(task)
    except Exception as error:
        raise _error(name, task, error) from error


def _error(name: str, task: Task, error: Exception) -> CompilationError:
    code = task.function.__code__
    if isinstance(error, KeyError) and error.args[0] in code.co_names:
        field = error.args[0]
        has = ", ".join((*(task.event.names or ()), *(task.state.dtype.names or ())))
        return CompilationError(name, code.co_filename, _line_of(code, field), f"no field {field!r}; there are {has}")
    text = _COLOUR.sub("", str(error)) or type(error).__name__
    places = _PLACE.findall(text)
    path, line = places[-1] if places else (code.co_filename, code.co_firstlineno)
    return CompilationError(name, str(Path(path).resolve()), int(line), _reason(text))


def _line_of(code: CodeType, name: str) -> int:
    """The first line on which `name` is an attribute."""
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = instruction.starts_line if type(instruction.starts_line) is int else line
        line = getattr(instruction, "line_number", None) or line
        if instruction.argval == name and instruction.opname in ("LOAD_ATTR", "STORE_ATTR"):
            return line
    return code.co_firstlineno


def _reason(text: str) -> str:
    """Numba's reason, without what it was doing meanwhile and without the source, which has its own place."""
    lines = [line.strip() for line in text.partition('\nFile "')[0].splitlines()]
    told = [line for line in lines if line and not line.startswith(("Failed in ", "During: ", "- "))]
    reason = " ".join(told)
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]} ..."
