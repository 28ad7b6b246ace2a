"""The scenarios of two sides, over any carrier: streams, fan-out, ping-pong."""

from __future__ import annotations

import struct
import time
from itertools import repeat
from typing import Any

import numpy as np
from carriers import Carrier, MakeCarrier
from crew import Member, hear_all
from options import Answer, Options, Run
from payloads import BYTES, PAYLOADS

from suite.histogram import Histogram

_BALL = struct.Struct("<qq48x")
"""What bounces, as 64 bytes: a number and the time it was sent."""


def stream(make: MakeCarrier, kind: str, *, process: bool) -> Run:
    """One sender; each of `options.consumers` receivers has a carrier of its own and gets every event."""

    def run(options: Options) -> Answer:
        carriers = [make(options, BYTES[kind]) for _ in range(options.consumers)]
        for carrier in carriers:
            carrier.announce()
        members = [Member(_receive, (carrier, kind, options), process=process) for carrier in carriers]
        hear_all(members)
        put, send = _to_all(carriers), PAYLOADS[kind, carriers[0].objects].send
        send(put, options.warm_up)
        hear_all(members)
        begin = time.perf_counter()
        send(put, options.events)
        checksums = hear_all(members)
        seconds = time.perf_counter() - begin
        for member, carrier in zip(members, carriers, strict=True):
            member.join()
            carrier.close()
        return Answer(seconds, sum(checksums), 1.0)

    return run


def _to_all(carriers: list[Carrier]) -> Any:
    puts = [carrier.sender() for carrier in carriers]
    if len(puts) == 1:
        return puts[0]

    def put(message: Any) -> None:
        for each in puts:
            each(message)

    return put


def _receive(carrier: Carrier, kind: str, options: Options, line: Any) -> None:
    get, receive = carrier.receiver(options.wait), PAYLOADS[kind, carrier.objects].receive
    line.send("ready")
    receive(get, options.warm_up)
    line.send("warm")
    line.send(receive(get, options.events))


def ping_pong(make: MakeCarrier, *, process: bool) -> Run:
    """Two carriers; the other side sends back what it gets."""

    def run(options: Options) -> Answer:
        there, back = make(options, 64), make(options, 64)
        there.announce()
        warm_up = min(options.events // 4, 2_000)
        member = Member(_echo, (there, back, options.wait, warm_up + options.events), process=process)
        member.hear()
        play = _play_objects if there.objects else _play_bytes
        put, get = there.sender(), back.receiver(options.wait)
        play(put, get, warm_up)
        begin = time.perf_counter()
        checksum, times = play(put, get, options.events)
        seconds = time.perf_counter() - begin
        member.join()
        there.close()
        back.close()
        return Answer(seconds, checksum, latency=Histogram.of(times))

    return run


def _echo(there: Carrier, back: Carrier, wait: str, trips: int, line: Any) -> None:
    back.announce()
    get, put = there.receiver(wait), back.sender()
    line.send("ready")
    for _ in repeat(None, trips):
        put(get())


def _play_objects(put: Any, get: Any, trips: int) -> tuple[int, Any]:
    times, now, numbers = np.empty(trips, np.int64), time.perf_counter_ns, 0
    for number in range(trips):
        put((number, now()))
        answer, sent = get()
        times[number] = now() - sent
        numbers += answer
    return numbers, times


def _play_bytes(put: Any, get: Any, trips: int) -> tuple[int, Any]:
    times, now, numbers, pack, unpack = np.empty(trips, np.int64), time.perf_counter_ns, 0, _BALL.pack, _BALL.unpack
    for number in range(trips):
        put(pack(number, now()))
        answer, sent = unpack(get())
        times[number] = now() - sent
        numbers += answer
    return numbers, times
