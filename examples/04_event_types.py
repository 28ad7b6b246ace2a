"""Trades and quotes in one ring, in the order in which they were published."""

import ringbus


# --8<-- [start:types]
class Trade(ringbus.Event):
    price: float
    quantity: float


class Quote(ringbus.Event):
    bid: float
    ask: float
    middle: float = 0.0


ring = ringbus.RingBuffer(Trade | Quote, capacity=1024)
group = ring.consumer_group("market")


@group.consumer("book")
def book(quote: Quote) -> None:  # the annotation says which types it takes
    quote.middle = (quote.bid + quote.ask) / 2


@group.consumer("tape", depends_on=("book",))
def tape(event: Trade | Quote) -> None:
    match event:
        case Trade():
            print(f"traded {event.quantity} at {event.price}")
        case Quote():
            print(f"quoted around {event.middle}")


with group:
    ring.publish(Quote, bid=100.0, ask=100.5)  # the type, then the fields
    ring.publish(Trade(price=100.5, quantity=3.0))  # an instance says its type itself
    with ring.claim(Quote) as quote:
        quote.bid, quote.ask = 100.25, 100.75
# --8<-- [end:types]
