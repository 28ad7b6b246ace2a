"""One ring between two processes: no pickle, no copy, no lock to die with."""

import itertools
import multiprocessing
import os

import ringbus


class Tick(ringbus.Event):
    number: int
    price: float


# --8<-- [start:read]
def read(ring: ringbus.RingBuffer[Tick]) -> None:  # a shared ring pickles as its name
    with ring.poller("reader") as poller:
        ticks = list(itertools.islice(poller, 1000))
    print("read", len(ticks), "from", ticks[0].number, "to", ticks[-1].number)


# --8<-- [end:read]
# --8<-- [start:publish]
def main() -> None:
    name = f"example-{os.getpid()}"
    ring = ringbus.RingBuffer(Tick, capacity=64, name=name, require=("reader",))  # keeps the place of one to come
    reader = multiprocessing.get_context("spawn").Process(target=read, args=(ring,))
    reader.start()
    for number in range(1000):
        ring.publish(number=number, price=number / 2)  # waits while the reader is 64 behind, or not there yet
    reader.join()
    print("consumers left:", list(ring.statistics().consumers))
    ring.unlink()


# --8<-- [end:publish]
if __name__ == "__main__":
    main()
