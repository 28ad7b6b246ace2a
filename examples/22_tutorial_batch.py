"""Tutorial, step 3: a thousand readings at a time, and what was counted."""

import numpy as np

import ringbus


class Reading(ringbus.Event):
    sensor: str = ringbus.text(8)
    celsius: float


# --8<-- [start:batch]
total = 0.0


@ringbus.batch
def add_up(readings: np.ndarray) -> None:
    global total
    total += readings["celsius"].sum()


ring = ringbus.RingBuffer(Reading, capacity=4096)
group = ring.consumer_group("station")
group.add("mean", add_up)

with group:
    for hour in range(24):
        with ring.claim(1000) as readings:
            readings["sensor"] = "roof"
            readings["celsius"] = np.linspace(hour, hour + 1, 1000)
# --8<-- [end:batch]

# --8<-- [start:statistics]
counted = group.statistics().consumers["mean"]
print(f"{counted.events:,} readings, mean {total / counted.events:.2f} °C, {counted.lag} left over")
# --8<-- [end:statistics]
