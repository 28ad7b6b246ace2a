"""A diamond: two consumers work on each event, a third waits for both of them."""

import ringbus


class Order(ringbus.Event):
    number: int
    amount: float
    fee: float = 0.0
    allowed: bool = False


# --8<-- [start:graph]
ring = ringbus.RingBuffer(Order, capacity=256)
group = ring.consumer_group("orders")


@group.consumer("fees")
def fees(order: Order) -> None:
    order.fee = order.amount * 0.001


@group.consumer("limits")
def limits(order: Order) -> None:
    order.allowed = order.amount < 1_000


@group.consumer("send", depends_on=("fees", "limits"))
def send(order: Order, sequence: int, end_of_batch: bool) -> None:
    verb = "send" if order.allowed else "hold"
    print(f"{sequence}: {verb} order {order.number}, fee {order.fee:.2f}")


# --8<-- [end:graph]
with group:
    for number, amount in enumerate((250.0, 5_000.0, 980.0), start=1):
        ring.publish(number=number, amount=amount)
