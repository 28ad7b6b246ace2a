"""Ctrl-C in each blocking call while another process holds the ring up, and rings made and closed over and over.

The long forms are `make ctrl-c-test` and `make cycle-test`, which also hold the bars.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator

import pytest

from chaos import cycles, interrupts
from chaos.scene import Stage, stage


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with stage() as made:
        yield made
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("call", interrupts.CASES)
def test_ctrl_c_ends_the_wait_and_leaves_no_hole(shared: Stage, rng: random.Random, call: str) -> None:
    outcome = interrupts.run(shared, {call: 2}, rng)
    assert outcome.wrong == []
    assert max(outcome.times_ms[call]) < 5_000


@pytest.mark.timeout(120)
def test_rings_that_come_and_go_leave_nothing_behind() -> None:
    before, after = cycles.run(500, warm_up=100)
    assert (after["files"], after["descriptors"]) == (before["files"], before["descriptors"])
    assert after["RSS, KiB"] < before["RSS, KiB"] * 1.10
