"""Each event to one of several workers; with a key, the same key to the same worker, in order."""

import threading
from collections import defaultdict

import ringbus


class Order(ringbus.Event):
    customer: int
    number: int


# --8<-- [start:workers]
seen: dict[int, list[int]] = defaultdict(list)
threads: dict[int, set[str]] = defaultdict(set)


def ship(order: Order) -> None:
    seen[order.customer].append(order.number)
    threads[order.customer].add(threading.current_thread().name)


ring = ringbus.RingBuffer(Order, capacity=256)
group = ring.consumer_group("shipping")
group.add("ship", ship, workers=4, key="customer")

with group:
    for number in range(1_000):
        ring.publish(customer=number % 10, number=number)
# --8<-- [end:workers]

print("orders shipped:", sum(len(numbers) for numbers in seen.values()))
print("each customer's in order:", all(numbers == sorted(numbers) for numbers in seen.values()))
print("each customer's by one worker:", all(len(names) == 1 for names in threads.values()))
