"""What one death does to each who waits: on an event loop, in a group with a policy, for a place in the registry."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ringbus
from chaos import interrupts
from chaos.roles import Beat
from chaos.scene import DEADLINE, Stage, stage, wait_until
from ringbus.poller import MOST_CONSUMERS
from ringbus.roster import Roster


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with stage() as made:
        yield made


def kill_the_other(stage: Stage) -> None:
    """Kill the one other process, and wait for its end."""
    child = stage.nursery.children[-1]
    child.send(signal.SIGKILL)
    assert child.wait(DEADLINE)


def test_an_event_loop_goes_on_behind_the_claim_of_a_dead_producer(shared: Stage) -> None:
    async def next_one(ring: interrupts.Ring) -> Any:
        async with ring.subscribe("reader") as events:
            waiting = asyncio.ensure_future(anext(aiter(events)))
            await asyncio.sleep(0)
            await asyncio.to_thread(kill_the_other, shared)
            return await asyncio.wait_for(waiting, DEADLINE)

    with interrupts.held_up(shared, claim=True, require=("reader",)) as (ring, _):
        interrupts.publish(ring, 1)
        assert asyncio.run(next_one(ring)).number == 1
        assert ring.statistics().pads == 1


def test_an_event_loop_learns_that_whom_it_follows_has_died(shared: Stage) -> None:
    async def next_one(ring: interrupts.Ring) -> Any:
        async with ring.subscribe("reader", depends_on=["other"]) as events:
            waiting = asyncio.ensure_future(anext(aiter(events)))
            await asyncio.sleep(0)
            await asyncio.to_thread(kill_the_other, shared)
            return await asyncio.wait_for(waiting, DEADLINE)

    with interrupts.held_up(shared, claim=False) as (ring, _):
        interrupts.publish(ring, 0)
        with pytest.raises(ringbus.PeerDiedError, match="'other' is gone"):
            asyncio.run(next_one(ring))


def test_a_coroutine_handler_halts_its_group_when_whom_it_follows_has_died(shared: Stage) -> None:
    async def handle(beat: Beat) -> None:
        raise AssertionError(beat)

    async def run(ring: interrupts.Ring) -> None:
        group = ring.consumer_group("group")
        group.add("reader", handle, depends_on=["other"])
        interrupts.publish(ring, 0)
        async with group:
            await asyncio.to_thread(kill_the_other, shared)

    died = pytest.raises(ringbus.PeerDiedError, match="'other' is gone")
    with interrupts.held_up(shared, claim=False) as (ring, _), died:
        asyncio.run(asyncio.wait_for(run(ring), DEADLINE))


@pytest.mark.parametrize("policy", ["halt", "skip"])
def test_whatever_the_policy_a_group_halts_when_whom_it_follows_has_died(shared: Stage, policy: str) -> None:
    with interrupts.held_up(shared, claim=False) as (ring, _):
        group = ring.consumer_group("group", on_error=policy)
        group.add("reader", lambda beat: None, depends_on=["other"])
        group.start()
        interrupts.publish(ring, 0)
        kill_the_other(shared)
        assert group.join(DEADLINE)
        with pytest.raises(ringbus.PeerDiedError, match="'other' is gone"):
            group.stop()
        assert [row.name for row in ring._roster.rows()] == []


def test_a_watcher_leaves_the_hole_of_a_dead_producer_to_others(shared: Stage) -> None:
    with interrupts.held_up(shared, claim=True) as (ring, _):
        interrupts.publish(ring, 1)
        watching = ringbus.attach(ring.name, Beat, read_only=True)
        with watching.poller("watcher", gating=False, start=0) as watcher:
            kill_the_other(shared)
            assert watcher.take(8, 0.2) == []
            assert not watching.recover()
            assert ring.recover()
            assert [beat.number for beat in watcher.take(8, DEADLINE)] == [1]
        watching.close()


def test_the_dead_leave_room_in_the_registry_though_nobody_waits_for_them(shared: Stage) -> None:
    name = shared.name()
    ring = ringbus.RingBuffer(Beat, 8, name=name)
    children = [shared.nursery.start("blocker", ring=name, name=f"dead-{number}") for number in range(MOST_CONSUMERS)]
    place = shared.folder / name
    for number, child in enumerate(children):
        wait_until(f"{child!r} joins", (place / f"ready-dead-{number}").exists)
        child.send(signal.SIGKILL)
    assert all(child.wait(DEADLINE) for child in children)
    with ring.poller("reader"):
        assert [row.name for row in ring._roster.rows()] == ["reader"]
    ring.close()
    ring.unlink()


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("how", ["poller", "add", "connect"])
def test_who_dies_at_the_moment_when_it_is_to_be_followed_is_not_waited_for(
    shared: Stage, monkeypatch: pytest.MonkeyPatch, how: str, reused: bool
) -> None:
    with interrupts.held_up(shared, claim=False) as (ring, _), contextlib.ExitStack() as strangers:
        entries = Roster.entries
        attached = ringbus.attach(ring.name, Beat)
        group = ring.consumer_group("group")
        follower = group.add("follower", lambda beat: None) if how == "connect" else None

        def and_then_it_dies(self: Roster, name: str, depends_on: Any) -> int:
            found = entries(self, name, depends_on)
            if not depends_on:
                return found
            monkeypatch.undo()
            kill_the_other(shared)
            ring.recover()
            if reused:
                strangers.enter_context(attached.poller("stranger"))
            return found

        monkeypatch.setattr(Roster, "entries", and_then_it_dies)
        join: dict[str, Callable[[], object]] = {
            "poller": lambda: ring.poller("reader", depends_on=["other"]),
            "add": lambda: group.add("reader", lambda beat: None, depends_on=["other"]),
            "connect": lambda: follower.depends_on("other") if follower is not None else None,
        }
        with pytest.raises(ringbus.PeerDiedError, match="'other' is gone"):
            join[how]()
        rest = {"follower"} if how == "connect" else set()
        assert {row.name for row in ring._roster.rows()} == rest | ({"stranger"} if reused else set())
        group.halt()
        if follower is not None:
            group.remove("follower")
        attached.close()
