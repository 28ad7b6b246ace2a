"""Measure the time from publish to hand-over, and read the counters."""

import ringbus


class Tick(ringbus.Event):
    price: float


# --8<-- [start:measure]
ring = ringbus.RingBuffer(Tick, capacity=1024, stamp=True)
group = ring.consumer_group("ticks")
group.add("fast", lambda tick: None)
group.add("after", lambda tick: None).depends_on("fast")

with group:
    for number in range(10_000):
        ring.publish(price=float(number))

for name, consumer in group.statistics().consumers.items():
    print(f"{name}: {consumer.events:,} events in batches of {consumer.mean_batch:.1f} on average")
    if latency := consumer.latency:  # None where the ring does not stamp
        print(f"  P50 {latency.p50_ns:,} ns, P99 {latency.p99_ns:,} ns, largest {latency.max_ns:,} ns")
# --8<-- [end:measure]
