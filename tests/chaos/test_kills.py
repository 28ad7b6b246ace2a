"""SIGKILL and SIGSTOP under load, the short form: nothing acknowledged is lost, nothing comes twice, nobody hangs.

The long forms are `make kill-test N=1000` and `make stop-test`. Scenes follow from the seed.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from chaos import stop_test
from chaos.kill_test import Run
from chaos.scene import KILLABLE, HangError, Scene, stage, wait_until

SCENES, KILLS = 5, 12


@pytest.mark.timeout(120)
def test_nothing_acknowledged_is_lost_and_nobody_hangs_when_processes_are_killed(rng: random.Random) -> None:
    run = Run()
    with stage() as shared:
        for scene in range(SCENES):
            run.play(shared, rng.getrandbits(48), KILLS, remote=scene == 0)
        assert shared.left_behind() == []
    assert run.hangs == []
    assert run.findings.wrong == Counter(), run.findings.examples
    assert len(run.kills) == SCENES * KILLS
    assert run.findings.acknowledged > 0
    assert run.findings.events > 0


@pytest.mark.timeout(120)
def test_whoever_is_killed_the_others_go_on(rng: random.Random) -> None:
    """Each kind once, in the place where the random choice might not come."""
    with stage() as shared:
        scene = Scene.of_seed(shared, rng.getrandbits(48), remote=True)
        scene.begin()
        for kind in KILLABLE:
            scene.kill(next(part for part in scene.parts if part.kind == kind))
        findings = scene.finish()
    assert findings.wrong == Counter(), findings.examples
    assert [kill.kind for kill in scene.kills] == list(KILLABLE)


@pytest.mark.timeout(120)
def test_nobody_who_is_stopped_counts_as_dead(rng: random.Random) -> None:
    with stage() as shared:
        kinds = [rng.choice(["producer", "consumer", "durable"]), rng.choice(["upstream", "dependent"])]
        findings, hangs = stop_test.play(shared, [rng.getrandbits(48) for _ in kinds], kinds, seconds=0.5)
    assert hangs == []
    assert findings.wrong == Counter(), findings.examples


def test_a_step_that_does_not_end_is_a_hang() -> None:
    with pytest.raises(HangError, match="what is waited for: not after"):
        wait_until("what is waited for", lambda: False, seconds=0.01)
