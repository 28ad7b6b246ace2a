"""What happens when a handler fails: halt, skip, or a policy of your own."""

import ringbus


class Message(ringbus.Event):
    number: int


def handle(message: Message) -> object:
    if message.number == 2:
        raise ValueError("two is not allowed")
    if message.number == 3:
        return ringbus.DECLINE  # a refusal without an exception; it counts as a failure too
    print("handled", message.number)
    return None


# --8<-- [start:policy]
class DeadLetters:
    """Keeps what failed and goes on. To halt the group, it would raise."""

    def __init__(self) -> None:
        self.letters: list[tuple[int, str, object]] = []

    def handle(self, error: BaseException, sequence: int, event: object, consumer: ringbus.Consumer) -> None:
        self.letters.append((sequence, type(error).__name__, event))


dead = DeadLetters()
ring = ringbus.RingBuffer(Message, capacity=8)
group = ring.consumer_group("tolerant", on_error=dead)
group.add("work", handle)
with group:
    for number in range(1, 5):
        ring.publish(number=number)
for letter in dead.letters:
    print(letter)
# --8<-- [end:policy]

# --8<-- [start:halt]
ring = ringbus.RingBuffer(Message, capacity=8)
group = ring.consumer_group("strict")  # on_error="halt" is the default
group.add("work", handle)
try:
    with group:
        for number in range(1, 5):
            ring.publish(number=number)
except ringbus.HandlerError as error:
    print(f"{error.consumer} failed at sequence {error.sequence}: {error.__cause__!r}")
# --8<-- [end:halt]
