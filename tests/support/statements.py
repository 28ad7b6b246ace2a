"""How a Disruptor behaves, by number, and where this one does better: the list that conformance must cover.

Source: the tests of LMAX Disruptor 4.0.
"""

from __future__ import annotations

NUMBERED: dict[int, str] = {
    1: "the first claim is 0; a first claim of four ends at 3",
    2: "ring 16, a consumer at -1: room for 1 and 16, not for 17; after one publish for 15, not for 16",
    3: "a full ring refuses, times out, and after the consumer moved by one takes exactly one",
    4: "the remaining capacity counts what is claimed, published or not",
    5: "what is claimed is not available until it is published",
    6: "a sequence that was overwritten is not available",
    7: "a consumer may read up to the last sequence published without a gap",
    8: "out of order: a consumer stops before the gap",
    9: "a claim of none, of a negative number or of more than the capacity is an error and changes nothing",
    10: "ring 32 after 1,032 events with a consumer that keeps up holds 1000..1031",
    11: "ring 32 takes 32 without waiting, and not a 33rd",
    12: "ring 4: one claim of 5 is an error that changes nothing; a batch of 5 goes in by parts",
    13: "the gating sequence is the slowest consumer's; when it has left, the next one's",
    14: "a consumer added after 11 events starts after the cursor",
    15: "removing an unknown consumer is harmless; the minimum over none is 2**63 - 1",
    16: "halt before, during or right after start always ends the thread, with each life-cycle call once",
    17: "on_batch_start never gets a size of 0",
    18: "ring 2048, 10,000 events, two consumers taking alternate sequences: 5,000 each",
    19: "the graph: diamond, unknown names, cycles, second starts, late consumers, events from before the start",
    20: "ring 4, a handler held up: the publisher gets to 4 and waits, and goes on when it is released",
    21: "early release is visible at once",
    22: "a policy gets the error, the sequence and the event; skip goes on; a consumer's overrides the group's",
    23: "a wait of half a second takes no less",
    24: "a halt ends any wait, a busy-spinning one too",
    25: "many producers, many consumers, 200,000 events each: no mismatch",
}

BETTER: dict[str, str] = {
    "a": "start, publish 10, stop at once: none lost",
    "b": "the producer gets the error of a handler with the default policy",
    "c": "a time-out or Ctrl-C in a blocked claim raises and leaves no hole",
    "d": "an error while filling a slot shows nothing to anybody",
    "e": "a stop with a time-out halts what is left and says who lagged",
    "f": "the size of batches can be limited",
    "g": "every wait of the blocking strategy sleeps, for another stage too",
    "h": "objects are cleared after the last consumer",
}
