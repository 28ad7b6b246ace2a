"""Event loops: `async for` on asyncio and trio, also by anyio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import anyio
import anyio.lowlevel
import pytest

import ringbus
from ringbus import ConfigurationError, RingBuffer
from support.loops import LOOPS, limited, on_asyncio, publishing, until
from support.ticks import Tick, publish


@pytest.fixture(params=["single", "multi"])
def ring(request):
    return RingBuffer(Tick, capacity=16, producers=request.param)


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine function on one of the loops; none of them waits for ever."""
    return limited(request.param)


# -- subscribe ------------------------------------------------------------------------------------------------


def test_a_subscription_gives_every_event_in_order_and_ends_with_the_ring(ring, run):
    async def main():
        events = ring.subscribe("ui")
        thread = publishing(ring, 1_000)
        seen = [tick.value async for tick in events]
        thread.join()
        return seen

    assert run(main) == list(range(1_000))
    assert not ring.statistics().consumers


def test_a_subscription_waits_for_events_and_is_woken_by_each(ring, run):
    """One event at a time, each published only after the one before was seen: every one needs a wake-up."""
    asked = threading.Semaphore(0)

    def one_by_one():
        for value in range(200):
            assert asked.acquire(timeout=10)
            ring.publish(value=value)
        ring.close()

    async def main():
        seen = []
        thread = threading.Thread(target=one_by_one)
        thread.start()
        async with ring.subscribe("ui") as events:
            asked.release()
            async for tick in events:
                seen.append(tick.value)
                asked.release()
        thread.join()
        return seen

    assert run(main) == list(range(200))


def test_events_of_a_subscription_are_kept_safely(ring, run):
    async def main():
        events = ring.subscribe("ui")
        thread = publishing(ring, 100)
        kept = [tick async for tick in events]
        thread.join()
        return kept

    assert [tick.value for tick in run(main)] == list(range(100))


def test_a_subscription_gates_until_its_event_is_done_with(ring, run):
    async def main():
        async with ring.subscribe("ui") as events:
            publish(ring, 16)
            assert not ring.try_publish(value=16)
            assert (await anext(events)).value == 0
            assert not ring.try_publish(value=16)
            assert (await anext(events)).value == 1
            assert ring.try_publish(value=16)

    run(main)
    assert ring.remaining_capacity == 16


def test_two_subscriptions_see_the_same_events(ring, run):
    async def main():
        seen = {"a": [], "b": []}

        async def follow(name, events):
            async for tick in events:
                seen[name].append(tick.value)

        async with anyio.create_task_group() as tasks:
            for name in seen:
                tasks.start_soon(follow, name, ring.subscribe(name))
            thread = publishing(ring, 500)
        thread.join()
        return seen

    assert run(main) == {"a": list(range(500)), "b": list(range(500))}


def test_a_busy_subscription_lets_other_tasks_run(run):
    ring = RingBuffer(Tick, capacity=1 << 14)

    async def main():
        turns, done = 0, False
        events = ring.subscribe("ui")
        publish(ring, 1 << 14)
        ring.close()

        async def follow():
            nonlocal done
            async for _ in events:
                pass
            done = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            while not done:
                turns += 1
                await anyio.lowlevel.checkpoint()
        return turns

    assert run(main) > 10


def test_a_cancelled_iteration_leaves_the_ring(ring, run):
    async def main():
        started = anyio.Event()

        async def follow():
            async for tick in ring.subscribe("ui"):
                assert tick.value == 0
                started.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            while not ring.statistics().consumers:
                await anyio.lowlevel.checkpoint()
            ring.publish(value=0)
            await started.wait()
            publish(ring, 8)
            tasks.cancel_scope.cancel()

    run(main)
    gc.collect()
    assert not ring.statistics().consumers
    publish(ring, 40)


def test_a_cancelled_asyncio_task_leaves_the_ring_while_the_loop_goes_on(ring):
    async def main():
        async def follow():
            async for _ in ring.subscribe("ui"):
                pass

        task = asyncio.create_task(follow())
        await until(lambda: ring.statistics().consumers)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert not ring.statistics().consumers
        publish(ring, 40)

    on_asyncio(main)


def test_a_wait_that_is_cut_short_does_not_lose_the_subscription(ring, run):
    async def main():
        async with ring.subscribe("ui") as events:
            for value in range(20):
                with anyio.move_on_after(0.001):
                    await anext(events)
                    raise AssertionError("nothing was published")
                ring.publish(value=value)
                assert (await anext(events)).value == value

    run(main)


def test_a_subscription_that_is_left_early_lets_the_producers_go(ring, run):
    async def main():
        publish(ring, 1)
        async with ring.subscribe("ui") as events:
            publish(ring, 5)
            async for tick in events:
                if tick.value == 2:
                    break

    run(main)
    assert not ring.statistics().consumers
    publish(ring, 40)


def test_a_closed_subscription_is_an_error(ring, run):
    async def main():
        events = ring.subscribe("ui")
        await events.aclose()
        await events.aclose()
        with pytest.raises(ringbus.ClosedError, match=r"'ui'|\"ui\""):
            await anext(events)

    run(main)


def test_a_subscription_that_does_not_gate_is_told_what_it_missed(ring, run):
    async def main():
        async with ring.subscribe("ui", gating=False) as events:
            publish(ring, 100)
            ring.close()
            seen = [tick.value async for tick in events]
            assert seen == list(range(100 - len(seen), 100))
            assert events.missed == 100 - len(seen)
            assert 0 < len(seen) <= 16

    run(main)


def test_a_subscription_depends_on_a_handler(ring, run):
    order = []

    async def main():
        group = ring.consumer_group("g")
        group.add("first", lambda tick: order.append(("first", tick.value)))
        events = ring.subscribe("ui", depends_on=("first",))
        ring.publish(value=1)
        group.start()
        tick = await anext(events)
        order.append(("ui", tick.value))
        events.close()
        await anyio.to_thread.run_sync(group.stop)

    run(main)
    assert order == [("first", 1), ("ui", 1)]


def test_iterating_without_an_event_loop_is_a_clear_error(ring):
    events = ring.subscribe("ui")
    with pytest.raises(ConfigurationError, match="asyncio or trio"):
        events.__anext__().send(None)
    ring.publish(value=1)
    with pytest.raises(StopIteration) as stopped:
        events.__anext__().send(None)
    assert stopped.value.value.value == 1
