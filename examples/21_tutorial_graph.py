"""Tutorial, step 2: consumers that follow each other."""

import ringbus


# --8<-- [start:event]
class Reading(ringbus.Event):
    sensor: str = ringbus.text(8)
    celsius: float
    fahrenheit: float = 0.0
    frost: bool = False


# --8<-- [end:event]
# --8<-- [start:graph]
ring = ringbus.RingBuffer(Reading, capacity=64)
group = ring.consumer_group("station")


@group.consumer("convert")
def convert(reading: Reading) -> None:
    reading.fahrenheit = reading.celsius * 9 / 5 + 32


@group.consumer("check")
def check(reading: Reading) -> None:
    reading.frost = reading.celsius < 0


@group.consumer("show", depends_on=("convert", "check"))
def show(reading: Reading) -> None:
    warning = ", frost!" if reading.frost else ""
    print(f"{reading.sensor}: {reading.fahrenheit:.1f} °F{warning}")


# --8<-- [end:graph]
# --8<-- [start:publish]
with group:
    ring.publish(sensor="roof", celsius=21.5)
    ring.publish(sensor="field", celsius=-3.0)
# --8<-- [end:publish]
