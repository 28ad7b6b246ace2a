"""The options of a consumer, and the checks that they go together."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypedDict

from ringbus.errors import ConfigurationError
from ringbus.generics import E
from ringbus.handlers import Shape, indices, shape_of
from ringbus.machine.build import MachineCode, handler_code
from ringbus.policies import OnError, Policy, name_of, policy
from ringbus.poller import reader_facts
from ringbus.remote import Assignment, OnDeath, Restart, importable, restart_of
from ringbus.threads import cpus_of
from ringbus.waits import WaitStrategy, wait_strategy

if TYPE_CHECKING:
    from ringbus.group import ConsumerGroup


class ConsumerOptions(TypedDict, Generic[E], total=False):
    """The options of `ConsumerGroup.add`, but for `kinds`."""

    wait: str | WaitStrategy | None
    max_batch: int | None
    on_error: OnError | None
    gating: bool
    start: int | str | None
    workers: int
    key: str | Callable[[E], object] | None
    depends_on: Sequence[str]
    timeout: float | None
    durable: bool
    absent_limit: int | None
    evict_after: float | None
    process: bool
    on_death: OnDeath
    state: object
    cpu: int | Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Role:
    """What a consumer is to do: its options, checked.

    Attributes:
        name: its name on the ring.
        handler: what is called with the events.
        shape: what kind of handler that is.
        facts: what the core is told of its place on the ring.
        policy: what follows when the handler fails.
        workers: how many share the events.
        key: which of them an event goes to; None is whoever is free.
        timeout: seconds without an event before `on_timeout`.
        assignment: what its process is told, if it has one of its own.
        restart: how that process is started again after it has died; None halts.
        machine: the machine code that it is, if it is compiled.
        cpus: the processors of its threads, in turn; none pins none.
    """

    name: str
    handler: Callable[..., Any]
    shape: Shape
    facts: SimpleNamespace
    policy: Policy
    workers: int
    key: str | Callable[[Any], object] | None
    timeout: float | None
    assignment: Assignment | None
    restart: Restart | None
    machine: MachineCode | None
    cpus: tuple[int, ...]


def role_of(
    group: ConsumerGroup[Any],
    name: str,
    handler: Callable[..., Any],
    *,
    kinds: Sequence[type] | None,
    wait: str | WaitStrategy | None,
    max_batch: int | None,
    on_error: OnError | None,
    gating: bool,
    start: int | str | None,
    workers: int,
    key: str | Callable[[Any], object] | None,
    timeout: float | None,
    durable: bool,
    absent_limit: int | None,
    evict_after: float | None,
    process: bool,
    on_death: OnDeath,
    state: object,
    cpu: int | Sequence[int] | None,
) -> Role:
    """Check the options of `ConsumerGroup.add`.

    Raises:
        ConfigurationError: a signature that no handler has, or options that do not go together.
    """
    known = group.ring.event_types
    shape = shape_of(name, handler)
    types = _types(name, kinds, shape, known)
    facts = reader_facts(
        name,
        indices(types, known, f"consumer {name!r}"),
        wait=group.wait if wait is None else wait_strategy(wait),
        max_batch=max_batch,
        gating=gating,
        start=start,
        durable=durable,
        absent_limit=absent_limit,
        evict_after=evict_after,
    )
    _check_workers(name, workers, key, shape.kind, gating)
    if shape.kind == "async" and timeout is not None:
        raise ConfigurationError(f"{name!r} is an async handler with timeout=", "use asyncio.timeout in a task")
    _check_compiled(group, name, handler, shape, state=state, key=key)
    cpus = _check_cpus(group, name, shape, cpu)
    machine = _machine(group, facts, handler, shape, state)
    own = group.policy if on_error is None else policy(on_error)
    assignment, restart = None, None
    if process or on_death != "halt":
        _check_remote(name, shape, own, process=process, workers=workers, gating=gating)
        if durable or absent_limit is not None or start is not None:
            fact = f"{name!r} has process=True with durable=, absent_limit= or start="
            raise ConfigurationError(fact, "use on_death='restart': its place is held from here on, whoever is away")
        restart = restart_of(name, on_death)
        strategy = group.wait if wait is None else wait
        options: dict[str, Any] = {"on_error": name_of(own), "wait": strategy, "durable": restart is not None}
        options |= {"max_batch": max_batch, "kinds": kinds, "timeout": timeout, "state": state, "cpu": cpu}
        options["evict_after"] = evict_after
        assignment = _assignment(group, name, handler, options)
    else:
        _check_key(name, key, types or known)
    return Role(name, handler, shape, facts, own, workers, key, timeout, assignment, restart, machine, cpus)


def _types(name: str, kinds: Sequence[type] | type | None, shape: Shape, known: Sequence[type]) -> tuple[type, ...]:
    """The event types that a consumer takes; none stands for all."""
    if isinstance(kinds, type):
        return (kinds,)
    if kinds is not None:
        return tuple(kinds)
    if shape.types is None and shape.kind != "batch" and len(known) > 1:
        fact = f"the annotation of {name!r} cannot be evaluated, and the ring has several event types"
        raise ConfigurationError(fact, "give kinds=, or import what it names")
    return shape.types or ()


def _check_compiled(
    group: ConsumerGroup[Any], name: str, handler: object, shape: Shape, *, state: object, key: object
) -> None:
    if shape.kind != "compiled":
        if state is not None:
            raise ConfigurationError(f"{name!r} has a state and is not compiled", "mark it @ringbus.compiled")
        return
    if group.one_thread:
        raise ConfigurationError(f"{name!r} is compiled, and has a thread of its own", "leave threads=1 out")
    if not group.ring.event_types:
        raise ConfigurationError(f"{name!r} is compiled, and the ring holds objects", "give the ring an event type")
    if key is not None and not isinstance(key, str):
        raise ConfigurationError(f"{name!r} is compiled and has key={key!r}", "use a field's name")
    if hasattr(handler, "on_batch_start"):
        raise ConfigurationError(f"{name!r} is compiled and has on_batch_start", "use the argument end_of_batch")


def _check_cpus(group: ConsumerGroup[Any], name: str, shape: Shape, cpu: int | Sequence[int] | None) -> tuple[int, ...]:
    cpus = cpus_of(name, cpu)
    if cpus and (group.one_thread or shape.kind == "async"):
        raise ConfigurationError(f"{name!r} has cpu={cpu!r} and no thread of its own", "leave cpu out")
    return cpus


def _machine(
    group: ConsumerGroup[Any], facts: SimpleNamespace, handler: Any, shape: Shape, state: object
) -> MachineCode | None:
    """The handler as machine code, compiled here: also one that runs in another process, so that an error comes now."""
    if shape.kind != "compiled":
        return None
    known = group.ring.event_types
    taken = range(len(known)) if facts.kinds is None else facts.kinds
    return handler_code(facts.name, handler, shape.arity, [(index, known[index]) for index in taken], state)


def _check_workers(name: str, workers: object, key: object, kind: str, gating: bool) -> None:
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= 32:
        raise ConfigurationError(f"{name!r} has workers={workers!r}", "use 1 to 32")
    if key is not None and workers == 1:
        raise ConfigurationError(f"{name!r} has a key and one worker", "give workers= too")
    if key is not None and not (isinstance(key, str) or callable(key)):
        raise ConfigurationError(f"{name!r} has key={key!r}", "use a field's name or a callable")
    if workers > 1 and kind == "async":
        raise ConfigurationError(f"{name!r} is an async handler with workers", "add it once, or use plain functions")
    if workers > 1 and kind == "batch" and key is None:
        raise ConfigurationError(f"{name!r} is a batch handler with workers", "give key=, or take events one by one")
    if workers > 1 and not gating:
        raise ConfigurationError(f"{name!r} has workers and does not gate", "leave gating=False out")


def _check_key(name: str, key: object, types: Iterable[type]) -> None:
    """A key that is a name must be one of every type that is taken; of objects that is not known yet."""
    for event_type in types:
        if isinstance(key, str) and not hasattr(event_type, key):
            near = difflib.get_close_matches(key, dir(event_type), 1)
            remedy = f"did you mean {near[0]!r}?" if near else "name a field that all of them have, or pass a callable"
            raise ConfigurationError(f"{name!r} has key={key!r}, which {event_type.__name__} does not have", remedy)


def _check_remote(name: str, shape: Shape, own: Policy, *, process: bool, workers: int, gating: bool) -> None:
    if not process:
        raise ConfigurationError(f"{name!r} has on_death and runs in this process", "add process=True")
    if shape.kind == "async" or workers > 1 or not gating:
        fact = f"{name!r} has process=True with an async handler, workers or gating=False"
        raise ConfigurationError(fact, "use a plain or a batch handler that gates")
    if name_of(own) is None:
        fact = f"{name!r} has process=True and the policy {own!r}"
        raise ConfigurationError(fact, "use on_error='halt' or 'skip' for a handler in another process")


def _assignment(
    group: ConsumerGroup[Any], name: str, handler: Callable[..., Any], options: dict[str, Any]
) -> Assignment:
    ring = group.ring
    if ring.name is None:
        raise ConfigurationError(f"{name!r} has process=True on a private ring", "give the ring a name=")
    importable(name, handler)
    return Assignment(ring.name, ring.event_types, group.name, name, handler, options)
