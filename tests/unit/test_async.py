"""`async def` handlers on asyncio, how they end, and where they cannot run."""

from __future__ import annotations

import asyncio

import pytest

import ringbus
from ringbus import DECLINE, ConfigurationError, HaltedError, HandlerError, RingBuffer, WaitTimeout
from support.loops import on_anyio_on_trio, on_asyncio, on_trio, until
from support.ticks import BrokenError, Tick, publish


@pytest.fixture(params=["single", "multi"])
def ring(request):
    return RingBuffer(Tick, capacity=16, producers=request.param)


# -- async handlers -------------------------------------------------------------------------------------------


def test_async_handlers_get_every_event_in_order(ring):
    seen = []

    async def handler(tick, sequence, end_of_batch):
        await asyncio.sleep(0)
        seen.append((tick.value, sequence))

    async def main():
        group = ring.consumer_group("g")
        group.add("h", handler)
        async with group:
            await asyncio.to_thread(publish, ring, 300)

    on_asyncio(main)
    assert seen == [(value, value) for value in range(300)]
    assert not ring.statistics().consumers


def test_async_and_plain_handlers_follow_each_other(ring):
    order = []

    async def slow(tick):
        await asyncio.sleep(0)
        order.append(("slow", tick.value))

    async def main():
        group = ring.consumer_group("g")
        group.add("plain", lambda tick: order.append(("plain", tick.value)))
        group.add("slow", slow).depends_on("plain")
        group.add("last", lambda tick: order.append(("last", tick.value))).depends_on("slow")
        async with group:
            await asyncio.to_thread(publish, ring, 50)

    on_asyncio(main)
    for value in range(50):
        steps = [name for name, seen in order if seen == value]
        assert steps == ["plain", "slow", "last"]


def test_events_of_an_async_handler_may_be_used_after_an_await(ring):
    seen = []

    async def handler(tick):
        before = tick.value
        await asyncio.sleep(0)
        seen.append((before, tick.value))

    async def main():
        group = ring.consumer_group("g")
        group.add("h", handler)
        async with group:
            await asyncio.to_thread(publish, ring, 100)

    on_asyncio(main)
    assert seen == [(value, value) for value in range(100)]


def test_life_cycle_methods_of_an_async_handler_are_called_and_may_be_async(ring):
    calls = []

    class Handler:
        async def __call__(self, tick):
            calls.append(tick.value)

        async def on_start(self):
            calls.append("start")

        def on_shutdown(self):
            calls.append("shutdown")

    async def main():
        group = ring.consumer_group("g")
        group.add("h", Handler())
        async with group:
            publish(ring, 2)

    on_asyncio(main)
    assert calls == ["start", 0, 1, "shutdown"]


def fails_at(value, error=BrokenError):
    async def handler(tick):
        await asyncio.sleep(0)
        if tick.value == value:
            raise error

    return handler


def test_an_async_handler_that_fails_halts_its_group(ring):
    async def main():
        group = ring.consumer_group("g")
        consumer = group.add("h", fails_at(3))
        with pytest.raises(HandlerError) as caught:
            async with group:
                publish(ring, 8)
        assert caught.value.sequence == 3
        assert isinstance(caught.value.__cause__, BrokenError)
        assert consumer.sequence == 2
        assert group.state == "failed"

    on_asyncio(main)


def test_the_next_publisher_gets_an_async_handlers_error(ring):
    async def main():
        group = ring.consumer_group("g")
        group.add("h", fails_at(0))
        group.start()
        ring.publish(value=0)
        await asyncio.gather(*group._crew.tasks, return_exceptions=True)
        with pytest.raises(HandlerError):
            ring.publish(value=1)
        await asyncio.to_thread(group.join)
        with pytest.raises(HandlerError):
            await asyncio.to_thread(group.stop)

    on_asyncio(main)


def test_an_async_handler_that_fails_can_be_skipped(ring):
    seen = []

    async def handler(tick):
        if tick.value == 1:
            raise BrokenError
        if tick.value == 2:
            return DECLINE
        return seen.append(tick.value)

    async def main():
        group = ring.consumer_group("g", on_error="skip")
        group.add("h", handler)
        async with group:
            publish(ring, 5)

    on_asyncio(main)
    assert seen == [0, 3, 4]


def test_what_is_no_exception_halts_the_group_as_it_is(ring):
    async def main():
        group = ring.consumer_group("g", on_error="skip")
        group.add("h", fails_at(0, SystemExit("from the handler")))
        with pytest.raises(SystemExit, match="from the handler"):
            async with group:
                publish(ring, 3)

    on_asyncio(main)


def test_an_exception_in_an_async_body_wins_and_gets_notes(ring):
    async def main():
        group = ring.consumer_group("g")
        group.add("h", fails_at(0))

        async def body():
            async with group:
                ring.publish(value=0)
                await asyncio.gather(*group._crew.tasks, return_exceptions=True)
                raise KeyError

        with pytest.raises(KeyError) as caught:
            await body()
        (note,) = caught.value.__notes__
        assert "HandlerError" in note

    on_asyncio(main)


def test_cancelling_the_body_halts_the_group_and_leaves_the_ring(ring):
    inside = asyncio.Event()
    seen = []

    async def handler(tick):
        seen.append(tick.value)
        inside.set()

    async def body():
        group = ring.consumer_group("g")
        group.add("h", handler)
        async with group:
            ring.publish(value=0)
            await inside.wait()
            await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(body())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ring.statistics().consumers
        publish(ring, 40)

    on_asyncio(main)
    assert seen == [0]


def test_cancelling_while_the_group_drains_halts_it(ring):
    """The drain waits in a thread of its own, which has to end too, or the loop's end would wait for it."""
    inside = asyncio.Event()
    seen = []

    async def handler(tick):
        seen.append(tick.value)
        inside.set()
        await asyncio.Event().wait()

    async def body():
        group = ring.consumer_group("g")
        group.add("h", handler)
        async with group:
            publish(ring, 5)

    async def main():
        task = asyncio.create_task(body())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ring.statistics().consumers

    on_asyncio(main)
    assert seen == [0]


def test_an_async_handler_that_is_late_when_its_group_is_left_is_cancelled_and_named(ring):
    ended = []

    async def handler(tick):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(tick.value)

    async def main():
        group = ring.consumer_group("g", drain_timeout=0.01)
        group.add("late", handler)

        async def body():
            async with group:
                publish(ring, 2)
                await until(lambda: group._crew.tasks[0].get_coro().cr_await)

        with pytest.raises(WaitTimeout, match=r"late .2 behind"):
            await body()

    on_asyncio(main)
    assert ended in ([0], [])
    assert not ring.statistics().consumers


def test_a_cancelled_consumer_task_halts_its_group_and_leaves_the_ring(ring):
    """As `asyncio.run` does with all that is still there when its main coroutine has ended."""
    inside = asyncio.Event()

    async def handler(tick):
        inside.set()
        await asyncio.Event().wait()

    async def main():
        group = ring.consumer_group("g")
        group.add("h", handler)
        group.add("other", fails_at(-1))
        group.start()
        ring.publish(value=0)
        await inside.wait()
        return group

    group = on_asyncio(main)
    assert not ring.statistics().consumers
    publish(ring, 40)
    with pytest.raises(HaltedError, match="'g'"):
        group.drain()
    group.stop()


def test_halt_inside_an_async_handler_does_not_wait(ring):
    seen = []

    async def main():
        group = ring.consumer_group("g")

        async def handler(tick):
            seen.append(tick.value)
            group.halt()

        group.add("h", handler)
        async with group:
            publish(ring, 5)

    on_asyncio(main)
    assert seen == [0]
    assert not ring.statistics().consumers


@pytest.mark.parametrize("verb", ["stop", "drain", "join"])
def test_a_wait_that_would_hold_up_its_own_loop_is_a_clear_error(ring, verb):
    seen = []

    async def handler(tick):
        seen.append(tick.value)

    async def main():
        group = ring.consumer_group("g")
        group.add("h", handler)
        async with group:
            ring.publish(value=0)
            with pytest.raises(ConfigurationError, match=rf"to_thread.group.{verb}"):
                getattr(group, verb)()
            await asyncio.to_thread(group.drain)
            assert seen == [0]

    on_asyncio(main)


def test_a_group_can_be_stopped_from_a_thread(ring):
    seen = []

    async def handler(tick):
        await asyncio.sleep(0)
        seen.append(tick.value)

    async def main():
        group = ring.consumer_group("g")
        group.add("h", handler)
        group.start()
        publish(ring, 10)
        await asyncio.to_thread(group.stop)
        assert group.state == "stopped"

    on_asyncio(main)
    assert seen == list(range(10))


# -- where async handlers cannot run --------------------------------------------------------------------------


@pytest.mark.parametrize("start", [on_trio, on_anyio_on_trio])
def test_async_handlers_on_trio_are_a_clear_error(ring, start):
    async def main():
        group = ring.consumer_group("g")
        group.add("h", fails_at(-1))
        with pytest.raises(ConfigurationError, match=r"'h' is an async handler.*asyncio"):
            async with group:
                raise AssertionError("it started")
        assert group.state == "new"

    start(main)


def test_async_handlers_without_a_loop_are_a_clear_error_and_the_group_can_still_start(ring):
    seen = []

    async def handler(tick):
        seen.append(tick.value)

    group = ring.consumer_group("g")
    group.add("h", handler)
    with pytest.raises(ConfigurationError, match=r"no asyncio loop runs.*async with"):
        group.start()
    with pytest.raises(ConfigurationError, match="async with"):
        group.__enter__()
    with pytest.raises(ConfigurationError, match="start the group"):
        group.run_once()
    assert group.state == "new"
    ring.publish(value=1)

    async def main():
        async with group:
            pass

    on_asyncio(main)
    assert seen == [1]


def test_async_handlers_on_one_thread_are_a_clear_error(ring):
    async def main():
        group = ring.consumer_group("g", threads=1)
        group.add("h", fails_at(-1))
        with pytest.raises(ConfigurationError, match="threads=1"):
            group.start()
        assert group.state == "new"

    on_asyncio(main)


def test_early_release_by_an_async_handler_is_a_clear_error(ring):
    async def main():
        group = ring.consumer_group("g")

        async def handler(tick):
            consumer.release(0)

        consumer = group.add("h", handler)
        with pytest.raises(HandlerError) as caught:
            async with group:
                ring.publish(value=0)
        assert isinstance(caught.value.__cause__, ringbus.ClaimError)

    on_asyncio(main)
