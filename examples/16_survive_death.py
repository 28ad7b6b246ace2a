"""A handler in a process of its own that is killed in the middle, and goes on."""

import os
import signal

import ringbus


class Trade(ringbus.Event):
    price: float
    quantity: float
    notional: float = 0.0


# --8<-- [start:handler]
def value(trade: Trade) -> None:  # at the top level of a module, so that another process can import it
    trade.notional = trade.price * trade.quantity


# --8<-- [end:handler]
# --8<-- [start:group]
def main() -> None:
    ring = ringbus.RingBuffer(Trade, capacity=256, name=f"example-{os.getpid()}")
    group = ring.consumer_group("valuation")
    remote = group.add("value", value, process=True, on_death=ringbus.Restart(limit=3))
    notionals: list[float] = []
    group.add("collect", lambda trade: notionals.append(trade.notional)).depends_on("value")
    with group:
        for number in range(1000):
            ring.publish(price=float(number), quantity=2.0)
            if number == 500 and (pid := remote.pids[0]):
                os.kill(pid, signal.SIGKILL)  # it goes on after the last event it was done with
    print("collected", len(notionals), "and all are right:", notionals == [number * 2.0 for number in range(1000)])
    ring.unlink()


# --8<-- [end:group]
if __name__ == "__main__":
    main()
