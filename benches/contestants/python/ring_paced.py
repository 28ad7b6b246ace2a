"""ringbus at a given rate, with Python handlers in processes.

Where each event goes to one of several consumers, each consumer has a ring of its own and the producers go round them:
that is how work is shared between processes. Where each goes to all, there is one ring.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import ring_events
from crew import Member, hear_all, tell_all
from options import Answer, Entry, Options
from schedule import PAYLOAD, Notes, Plan, answer

import ringbus


class Dated(ringbus.Event):
    """An event of 128 bytes: its number, when it is due, and something to carry."""

    number: int
    due: int
    payload: bytes = ringbus.blob(len(PAYLOAD) - 4)


def paced(options: Options) -> Answer:
    """`options.producers` and `options.consumers`, a process each."""
    names = [f"reader-{number}" for number in range(options.consumers)]
    places = [[name] for name in names] if options.mode == "one" else [names]
    with ExitStack() as stack:
        rings = [
            stack.enter_context(ring_events.shared(Dated, options, f"paced-{number}", readers))
            for number, readers in enumerate(places)
        ]
        pairs = [(rings[number % len(rings)], name) for number, name in enumerate(names)]
        takers = [Member(_take, (ring, name, options), process=True) for ring, name in pairs]
        senders = [Member(_send, (rings, number), process=True) for number in range(options.producers)]
        hear_all([*takers, *senders])
        tell_all(senders, Plan.soon(options))
        sent = hear_all(senders)
        tell_all(takers, "stop")
        reports = hear_all(takers)
        for member in (*takers, *senders):
            member.join()
    return answer(options, sent, [report[:2] for report in reports], max(report[2] for report in reports))


def _send(rings: list[Any], producer: int, line: Any) -> None:
    publishes, turn, payload = [ring.publish for ring in rings], producer, PAYLOAD[:-4]
    count = len(publishes)

    def put(number: int, due: int) -> None:
        nonlocal turn
        publishes[turn % count](number=number, due=due, payload=payload)
        turn += 1

    line.send("ready")
    plan: Plan = line.recv()
    line.send(plan.send(producer, put))


def _take(ring: Any, name: str, options: Options, line: Any) -> None:
    notes = Notes()
    take = notes.taker()
    group = ring.consumer_group(name, wait=ring_events.WAITS[options.wait])
    group.add(name, lambda event: take(event.number, event.due))
    with group:
        line.send("ready")
        line.recv()
    line.send((*notes.report(options), group.statistics().consumers[name].mean_batch))


def entries() -> list[Entry]:
    """What this module has."""
    return [Entry(scenario, "ringbus python, processes", paced, checksum="number") for scenario in ("paced", "16x16")]
