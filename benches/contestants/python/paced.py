"""The paced scenarios over any carrier: each event to one of the consumers, or to all.

One of them: one carrier for all. All: a carrier for each, and each event into all of them.
"""

from __future__ import annotations

import struct
from typing import Any

from carriers import Carrier, MakeCarrier
from crew import Member, hear_all, tell_all
from options import Answer, Options, Run
from schedule import PAYLOAD, Notes, Plan, answer

_EVENT = struct.Struct(f"<qq{len(PAYLOAD)}s")
_END = b""


def paced(make: MakeCarrier, *, process: bool) -> Run:
    """`options.producers` and `options.consumers`, at `options.rate` in all."""

    def run(options: Options) -> Answer:
        shared = options.mode == "one"
        carriers = [make(options, _EVENT.size) for _ in range(1 if shared else options.consumers)]
        own = [carriers[0 if shared else number] for number in range(options.consumers)]
        takers = [Member(_take, (carrier, options), process=process) for carrier in own]
        senders = [Member(_send, (carriers, number), process=process) for number in range(options.producers)]
        hear_all([*takers, *senders])
        tell_all(senders, Plan.soon(options))
        sent = hear_all(senders)
        for carrier in own:
            carrier.sender()(None if carrier.objects else _END)
        reports = hear_all(takers)
        for member in (*takers, *senders):
            member.join()
        for carrier in carriers:
            carrier.close()
        return answer(options, sent, reports, 1.0)

    return run


def _send(carriers: list[Carrier], producer: int, line: Any) -> None:
    puts, objects, pack = [carrier.sender() for carrier in carriers], carriers[0].objects, _EVENT.pack

    def put_object(number: int, due: int) -> None:
        event = (number, due, PAYLOAD)
        for put in puts:
            put(event)

    def put_bytes(number: int, due: int) -> None:
        event = pack(number, due, PAYLOAD)
        for put in puts:
            put(event)

    line.send("ready")
    plan: Plan = line.recv()
    sent = plan.send(producer, put_object if objects else put_bytes)
    for carrier in carriers:
        carrier.flush()
    line.send(sent)


def _take(carrier: Carrier, options: Options, line: Any) -> None:
    get, notes, unpack = carrier.receiver(options.wait), Notes(), _EVENT.unpack
    take = notes.taker()
    line.send("ready")
    if carrier.objects:
        while (event := get()) is not None:
            take(event[0], event[1])
    else:
        while (message := get()) != _END:
            number, due, _ = unpack(message)
            take(number, due)
    line.send(notes.report(options))
