"""Events on an asyncio loop: an `async def` handler, and `async for`."""

import asyncio

import ringbus


class Alarm(ringbus.Event):
    level: int


async def send_mail(alarm: Alarm) -> None:
    await asyncio.sleep(0)  # the place of a network call
    print("mail: level", alarm.level)


# --8<-- [start:main]
async def main() -> None:
    ring = ringbus.RingBuffer(Alarm, capacity=64)

    group = ring.consumer_group("mail")
    group.add("send", send_mail)
    async with group:  # its handlers are tasks of this loop
        for level in (1, 2):
            ring.publish(level=level)

    async def watch() -> int:
        async for alarm in events:  # ends when the ring is closed and everything was taken
            print("watch: level", alarm.level)
        return events.sequence

    events = ring.subscribe("watch")  # takes part from here on
    watcher = asyncio.create_task(watch())
    # A wait for a full ring would stop this loop: publish from a thread where the ring may fill up.
    await asyncio.to_thread(ring.publish, level=3)
    ring.close()
    print("last sequence:", await watcher)


asyncio.run(main())
# --8<-- [end:main]
