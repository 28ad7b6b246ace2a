"""Whole batches as NumPy arrays on the slots: no Python object for an event."""

import numpy as np

import ringbus


class Reading(ringbus.Event):
    sensor: ringbus.int32
    value: float


total = 0.0
largest = 0


# --8<-- [start:handler]
@ringbus.batch
def add_up(readings: np.ndarray, first_sequence: int) -> None:
    global total, largest
    total += readings["value"].sum()
    largest = max(largest, len(readings))


ring = ringbus.RingBuffer(Reading, capacity=1024)
group = ring.consumer_group("statistics")
group.add("sum", add_up, max_batch=256)
# --8<-- [end:handler]

with group:
    # --8<-- [start:claim]
    with ring.claim(256) as readings:  # a view of 256 slots, published when the `with` ends
        readings["sensor"] = 7
        readings["value"] = np.arange(256)
    # --8<-- [end:claim]
    # --8<-- [start:publish]
    rows = np.zeros(5_000, dtype=Reading.dtype)  # more than the ring has slots
    rows["value"] = 1.0
    last = ring.publish_batch(rows)  # copied in, in as many claims as it takes
    # --8<-- [end:publish]

print(f"sum {total:,.0f} of {last + 1:,} readings")
print("no batch was larger than 256:", largest <= 256)
