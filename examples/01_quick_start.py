"""Publish trades to one ring; two consumers follow each other on it."""

# --8<-- [start:all]
import numpy as np

import ringbus


class Trade(ringbus.Event):
    symbol: str = ringbus.text(16)  # UTF-8, at most 16 bytes; a longer one is an error, never cut
    price: float
    quantity: float
    notional: float = 0.0

    def compute(self) -> None:
        self.notional = self.price * self.quantity


def check_risk(trade: Trade) -> None:
    verdict = "too large" if trade.notional > 50_000 else "fine"
    print(f"{trade.symbol} {trade.notional:,.2f} {verdict}")


def fill(trade: Trade) -> None:
    trade.symbol, trade.price, trade.quantity = "ETH-USD", 2640.0, 1.5


ring = ringbus.RingBuffer(Trade, capacity=1024)

group = ring.consumer_group("trading-pipeline")
group.add("price", lambda trade: trade.compute())
group.add("risk", check_risk).depends_on("price")

with group:  # starts; leaving drains and stops, and raises what handlers raised
    ring.publish(symbol="BTC-USD", price=63241.5, quantity=1.0)  # by fields
    ring.publish(Trade(symbol="BTC-USD", price=63240.0, quantity=0.25))  # an instance
    ring.publish(fill)  # a translator: it fills the event it is given
    with ring.claim() as trade:  # in place: published when the `with` ends
        trade.symbol, trade.price, trade.quantity = "BTC-USD", 63239.5, 2.0
    with ring.claim(2) as trades:  # two slots as a NumPy structured array, zero copy
        trades["symbol"] = "SOL-USD"
        trades["price"] = np.array([150.0, 151.0])
        trades["quantity"] = 10.0
# --8<-- [end:all]
