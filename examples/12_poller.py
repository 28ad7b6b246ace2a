"""Pull instead of push: a consumer that is asked for events by a loop of one's own."""

import ringbus


class Tick(ringbus.Event):
    price: float


ring = ringbus.RingBuffer(Tick, capacity=64)

# --8<-- [start:poll]
with ring.poller("audit") as poller:  # holds producers up until it is closed: use it in a `with`
    for number in range(10):
        ring.publish(price=float(number))

    if first := poller.next():  # waits for one event
        print("next:", first.price)
    print("take:", [tick.price for tick in poller.take(3, timeout=1.0)])  # at most 3, waits for the first
    rows = poller.take_array(2)  # the same, as a structured array of its own
    if rows is not None:
        print("array:", rows["price"].tolist())
    handed = poller.poll(lambda tick: print("poll:", tick.price), limit=2)  # never waits
    print("handed out:", handed)
    ring.close()
    print("rest:", [tick.price for tick in poller])  # until the ring is closed and everything was taken
# --8<-- [end:poll]

# --8<-- [start:watch]
ring = ringbus.RingBuffer(Tick, capacity=4)
with ring.poller("display", gating=False) as display:  # never waited for, so it may be lapped
    for number in range(10):
        ring.publish(price=float(number))
    ring.close()
    shown = [tick.price for tick in display]
    print("shown:", shown[-1], "and", len(shown) + display.missed, "in all, with those it missed")
# --8<-- [end:watch]
