"""Test a pipeline without a thread: `run_once` handles what is there, on the caller's own."""

import ringbus


class Order(ringbus.Event):
    amount: float
    fee: float = 0.0


# --8<-- [start:pipeline]
def pipeline(ring: ringbus.RingBuffer[Order], sent: list[float]) -> ringbus.ConsumerGroup[Order]:
    """What the program starts with `with`, and the test steps with `run_once`."""

    def add_fee(order: Order) -> None:
        order.fee = order.amount / 100

    group = ring.consumer_group("orders")
    group.add("fee", add_fee)
    group.add("send", lambda order: sent.append(order.amount + order.fee)).depends_on("fee")
    return group


# --8<-- [end:pipeline]
# --8<-- [start:test]
def test_the_fee_is_added_before_an_order_is_sent() -> None:
    sent: list[float] = []
    ring = ringbus.RingBuffer(Order, capacity=8)
    group = pipeline(ring, sent)
    ring.publish(amount=200.0)
    assert group.run_once() == 2  # one event, handed to two consumers
    assert sent == [202.0]
    assert group.run_once() == 0  # nothing is left
    group.stop()


# --8<-- [end:test]
test_the_fee_is_added_before_an_order_is_sent()
print("passed")
