"""The ways to end a group: drain, stop with a limit, halt."""

import threading

import ringbus


class Job(ringbus.Event):
    number: int


release = threading.Event()
done: list[int] = []


def work(job: Job) -> None:
    done.append(job.number)
    if job.number == 3:
        release.wait()


ring = ringbus.RingBuffer(Job, capacity=16)
group = ring.consumer_group("work")
group.add("work", work)

# --8<-- [start:stop]
group.start()
for number in range(3):
    ring.publish(number=number)
group.drain()  # waits until everybody has handled what was published up to now
print("drained:", done)

for number in range(3, 6):
    ring.publish(number=number)
try:
    group.drain(timeout=0.05)
except ringbus.WaitTimeout as late:
    print("late:", *late.laggards)

threading.Timer(0.05, release.set).start()
group.halt()  # the event in hand is finished, and no other is begun
print("halted after:", done)
print("state:", group.state)
# --8<-- [end:stop]
