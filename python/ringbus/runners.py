"""What runs the handler of a consumer: which class, by the kind of the handler, and how many."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from ringbus import _core
from ringbus.asynchronous import AsyncProcessor, Report
from ringbus.policies import DECLINE
from ringbus.remote import RemoteProcessor

if TYPE_CHECKING:
    from ringbus.group import ConsumerGroup
    from ringbus.options import Role

Runner: TypeAlias = _core.Processor | _core.CompiledProcessor | AsyncProcessor | RemoteProcessor


def runners_for(group: ConsumerGroup[Any], role: Role, report: Report) -> list[Runner]:
    """Take the places of a consumer on the ring: one, or one a worker.

    Args:
        group: the group that it belongs to.
        role: what it is to do.
        report: asked what follows when its handler fails.
    """
    if role.assignment is not None:
        return [RemoteProcessor(group.ring, role.assignment, role.restart, _failing(group))]
    return _OF_KIND[role.shape.kind](group.ring._ring, role, report)


def _task(native: _core.Ring, role: Role, report: Report) -> list[Runner]:
    return [AsyncProcessor(native, role.facts, role.handler, role.shape.arity, report)]


def _processors(native: _core.Ring, role: Role, report: Report) -> list[Runner]:
    work = _core.Work() if role.workers > 1 and role.key is None else None
    processors: list[_core.Processor | _core.CompiledProcessor] = []
    try:
        for number in range(role.workers):
            role.facts.name = role.name if role.workers == 1 else f"{role.name}/{number}"
            worker = (number, role.workers, role.key) if role.workers > 1 else None
            facts = _handler_facts(role, report, worker, work)
            made = _core.Processor if role.machine is None else _core.CompiledProcessor
            processors.append(made(native, role.facts, facts))
    except BaseException:
        for processor in processors:
            processor.leave()
        raise
    if work is not None:
        work.start_at(min(processor.sequence for processor in processors))
    return list[Runner](processors)


_OF_KIND: dict[str, Callable[[_core.Ring, Role, Report], list[Runner]]] = {
    "event": _processors,
    "batch": _processors,
    "compiled": _processors,
    "async": _task,
}


def _handler_facts(
    role: Role, report: Report, worker: tuple[int, int, object] | None, work: _core.Work | None
) -> SimpleNamespace:
    known = SimpleNamespace(
        callable=role.handler,
        batch=role.shape.kind == "batch",
        arity=role.shape.arity,
        on_start=getattr(role.handler, "on_start", None),
        on_shutdown=getattr(role.handler, "on_shutdown", None),
        on_timeout=getattr(role.handler, "on_timeout", None),
        on_batch_start=getattr(role.handler, "on_batch_start", None),
        on_error=report,
        decline=DECLINE,
        timeout=role.timeout,
        worker=worker,
        work=work,
    )
    if role.machine is not None:
        state = role.machine.state if worker is None else role.machine.state.another()
        known.machine, known.state = role.machine.facts(state), state.value
    return known


def _failing(group: ConsumerGroup[Any]) -> Callable[[BaseException], None]:
    """What tells the group of a failure, and does not keep it alive."""
    owner = weakref.ref(group)

    def fail(error: BaseException) -> None:
        known = owner()
        if known is not None:
            known.fail(error)

    return fail
