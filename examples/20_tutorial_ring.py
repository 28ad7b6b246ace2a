"""Tutorial, step 1: an event type, a ring and one consumer."""

# --8<-- [start:event]
import ringbus


class Reading(ringbus.Event):
    sensor: str = ringbus.text(8)
    celsius: float


# --8<-- [end:event]
# --8<-- [start:ring]
def show(reading: Reading) -> None:
    print(f"{reading.sensor}: {reading.celsius} °C")


ring = ringbus.RingBuffer(Reading, capacity=64)
group = ring.consumer_group("station")
group.add("show", show)
# --8<-- [end:ring]

# --8<-- [start:publish]
with group:
    ring.publish(sensor="roof", celsius=21.5)
    ring.publish(sensor="cellar", celsius=12.0)
print("done")
# --8<-- [end:publish]
