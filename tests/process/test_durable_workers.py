"""Durable workers whose process is killed: what one of them had in hand comes again, to whoever is free."""

from __future__ import annotations

from pathlib import Path

import ringbus
from support.children import start_child
from support.events import PATIENCE
from support.handed import Tick
from support.segments import rings_folder

__all__ = ["rings_folder"]

KILLED = """
ring = ringbus.attach("ticks", Tick)
group = ring.consumer_group("group")

def handle(tick):
    print(tick.value, flush=True)
    if tick.value == 0:
        threading.Event().wait()

group.add("ledger", handle, workers=2, durable=True)
group.start()
print("ready", flush=True)
group.join()
"""


def test_what_a_worker_had_in_hand_when_its_process_was_killed_comes_again(rings_folder: Path) -> None:
    ring, seen = ringbus.RingBuffer(Tick, 16, name="ticks"), list[int]()
    with start_child(KILLED) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        for value in range(8):
            ring.publish(value=value)
        handled = {int(child.stdout.readline()) for _ in range(8)}
        assert handled == set(range(8))
        child.kill()
    group = ring.consumer_group("group", drain_timeout=PATIENCE)
    group.add("ledger", lambda tick: seen.append(tick.value), workers=2, durable=True)
    with group:
        ring.publish(value=8)
    assert {0, 8} <= set(seen)
