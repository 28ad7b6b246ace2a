"""Handlers and sources in Python syntax that run as machine code, each on a thread without the GIL."""

from typing import Any

import ringbus


class Trade(ringbus.Event):
    price: float
    quantity: float
    notional: float = 0.0


# --8<-- [start:handler]
@ringbus.compiled
def vwap(trade: Trade, state: Any) -> None:
    trade.notional = trade.price * trade.quantity  # the next consumers see it
    state.volume += trade.quantity
    state.value += trade.notional


ring = ringbus.RingBuffer(Trade, capacity=1024)
group = ring.consumer_group("prices")
group.add("vwap", vwap, state={"volume": 0.0, "value": 0.0})
# --8<-- [end:handler]


# --8<-- [start:source]
def walk(trade: Trade, state: Any, sequence: int) -> None:
    state.price += 0.5 if sequence % 3 else -0.5
    trade.price = state.price
    trade.quantity = 1.0 + sequence % 4


# --8<-- [end:source]
largest: list[float] = [0.0]
group.add("largest", lambda trade: largest.append(max(largest.pop(), trade.notional))).depends_on("vwap")

# --8<-- [start:run]
with group:
    with ring.source(walk, {"price": 100.0}, batch=8, limit=3_000) as source:
        source.join()  # leaving the `with` would stop it; this waits for its limit
    ring.publish(price=1_000.0, quantity=20.0)  # from Python, meanwhile or afterwards
state = group["vwap"].state
print(f"volume {state.volume:,.0f}, average {state.value / state.volume:,.2f}, last walk {source.state.price:,.1f}")
print(f"largest {largest[0]:,.1f}, seen by a Python handler")
# --8<-- [end:run]

# --8<-- [start:error]
try:
    ring.consumer_group("broken").add("broken", ringbus.compiled(lambda trade: input()))
except ringbus.CompilationError as error:
    print(error.reason)
# --8<-- [end:error]
