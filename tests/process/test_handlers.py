"""Handlers in processes of their own: what they are told, what they are not, and how what they raise comes back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ringbus
from ringbus.remote import RemoteProcessor
from support.events import PATIENCE
from support.handed import Noted, double, double_after_zero
from support.segments import rings_folder

__all__ = ["rings_folder"]

Ring = ringbus.RingBuffer[Noted]


@pytest.fixture
def ring(rings_folder: Path) -> Iterator[Ring]:
    """A shared ring."""
    made = ringbus.RingBuffer(Noted, 16, name="noted")
    yield made
    made.unlink()


def publish(ring: Ring, count: int) -> None:
    for value in range(count):
        ring.publish(value=value)


def test_a_consumer_behind_it_sees_each_event_after_it_and_what_it_wrote(ring: Ring) -> None:
    group = ring.consumer_group("group")
    seen: list[tuple[int, int]] = []
    group.add("double", double, process=True)
    group.add("seen", lambda event: seen.append((event.pid, event.doubled))).depends_on("double")
    with group:
        publish(ring, 100)
        group.drain(PATIENCE)
        (pid,) = group["double"].pids
    assert pid != os.getpid()
    assert seen == [(pid, 2 * value) for value in range(100)]


def test_what_it_raises_reaches_the_group_with_the_traceback_it_had_there(ring: Ring) -> None:
    group = ring.consumer_group("group")
    group.add("double", double_after_zero, process=True)
    with pytest.raises(ringbus.HandlerError, match="'double' failed at sequence 0 with Noted") as caught, group:
        publish(ring, 3)
    cause = caught.value.__cause__
    assert isinstance(cause, ringbus.RemoteError)
    assert cause.kind == "builtins.ZeroDivisionError"
    assert "in double_after_zero" in cause.remote_traceback


@pytest.mark.parametrize(("of_group", "of_consumer"), [("skip", None), ("halt", "skip")])
def test_the_policy_of_the_group_is_its_own_unless_it_has_another(ring: Ring, of_group: Any, of_consumer: Any) -> None:
    group = ring.consumer_group("group", on_error=of_group)
    seen: list[int] = []
    group.add("double", double_after_zero, process=True, on_error=of_consumer)
    group.add("seen", lambda event: seen.append(event.doubled)).depends_on("double")
    with group:
        publish(ring, 3)
        group.drain(PATIENCE)
    assert seen == [0, 2, 2]


@pytest.mark.parametrize(("wait", "its_own"), [(None, ringbus.BusySpin()), ("yielding", "yielding")])
def test_it_is_told_the_wait_of_the_group_unless_it_has_another(ring: Ring, wait: Any, its_own: object) -> None:
    group = ring.consumer_group("group", wait="busy_spin")
    (runner,) = group.add("double", double, process=True, wait=wait).runners
    assert isinstance(runner, RemoteProcessor)
    assert runner._assignment.options["wait"] == its_own


class Counting:
    """A policy that is an object."""

    def handle(self, error: BaseException, sequence: int, event: object, consumer: ringbus.Consumer) -> None:
        """Go on."""


@pytest.mark.parametrize(
    ("of_group", "options", "said"),
    [
        (Counting(), {}, "policy"),
        ("halt", {"on_error": Counting()}, "policy"),
        ("halt", {"durable": True}, "durable"),
        ("halt", {"start": "oldest"}, "start"),
        ("halt", {"gating": False}, "gating"),
        ("halt", {"workers": 2}, "workers"),
        ("halt", {"process": False, "on_death": "restart"}, "process=True"),
        ("halt", {"on_death": "perhaps"}, "perhaps"),
    ],
)
def test_what_another_process_cannot_have_is_refused(ring: Ring, of_group: Any, options: Any, said: str) -> None:
    group = ring.consumer_group("group", on_error=of_group)
    with pytest.raises(ringbus.ConfigurationError, match=said):
        group.add("double", double, **{"process": True} | options)
    assert not ring.statistics().consumers


def test_a_handler_that_no_other_process_finds_is_refused(ring: Ring) -> None:
    group = ring.consumer_group("group")
    with pytest.raises(ringbus.ConfigurationError, match="cannot import"):
        group.add("lambda", lambda event: None, process=True)
    private = ringbus.RingBuffer(Noted, 8).consumer_group("group")
    with pytest.raises(ringbus.ConfigurationError, match="give the ring a name="):
        private.add("double", double, process=True)
