"""A ring of reusable Python objects, for what has no fixed layout."""

import ringbus


# --8<-- [start:objects]
class Document:
    """Made once a slot; filled and cleared again and again."""

    def __init__(self) -> None:
        self.words: list[str] = []


def read(document: Document, text: str = "the ring goes round") -> None:
    document.words.extend(text.split())


ring = ringbus.RingBuffer(
    factory=Document,
    capacity=8,
    clear=lambda document: document.words.clear(),  # after the last consumer
)
group = ring.consumer_group("documents")
group.add("count", lambda document: print(len(document.words), "words"))

with group:
    ring.publish(read)  # a translator fills the object of the slot
    ring.publish(lambda document: read(document, "and round"))
    with ring.claim() as document:
        read(document, "again")
# --8<-- [end:objects]
