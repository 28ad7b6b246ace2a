"""An event may be kept; a NumPy view of slots may not, and is found."""

import numpy as np

import ringbus


class Trade(ringbus.Event):
    price: float


# --8<-- [start:events]
kept: list[Trade] = []

ring = ringbus.RingBuffer(Trade, capacity=2)  # its slots are written again and again
group = ring.consumer_group("collect")
group.add("keep", kept.append)
with group:
    for price in (1.0, 2.0, 3.0, 4.0, 5.0):
        ring.publish(price=price)
print([trade.price for trade in kept])
# --8<-- [end:events]

# --8<-- [start:views]
views: list[np.ndarray] = []


@ringbus.batch
def careless(trades: np.ndarray) -> None:
    views.append(trades)  # views.append(trades.copy()) is right


ring = ringbus.RingBuffer(Trade, capacity=2)
group = ring.consumer_group("collect-arrays")
group.add("keep", careless)
try:
    with group:
        ring.publish(price=1.0)
except ringbus.KeptViewError as error:
    print(error)
# --8<-- [end:views]
