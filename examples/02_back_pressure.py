"""A full ring holds its producers up, and says who is late."""

import threading

import ringbus


class Tick(ringbus.Event):
    price: float


release = threading.Event()


def slow(tick: Tick) -> None:
    release.wait()


ring = ringbus.RingBuffer(Tick, capacity=4)
group = ring.consumer_group("slow-store")
group.add("store", slow)

with group:
    # --8<-- [start:fill]
    for number in range(4):
        ring.publish(price=float(number))
    print("free slots:", ring.remaining_capacity)
    # --8<-- [end:fill]
    # --8<-- [start:try]
    if not ring.try_publish(price=4.0):  # never waits
        print("full: this tick is dropped, by choice")
    # --8<-- [end:try]
    # --8<-- [start:timeout]
    patient = ring.producer(timeout=0.05)  # the same verbs, with a time-out of their own
    try:
        patient.publish(price=4.0)
    except ringbus.WaitTimeout as late:
        print("held up by", ", ".join(late.laggards))
    # --8<-- [end:timeout]
    release.set()  # the consumer goes on, and so does the producer
    ring.publish(price=5.0)

print("published:", ring.cursor + 1)
