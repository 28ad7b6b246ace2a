"""SIGSTOP under load: nobody who is stopped counts as dead, and nothing is lost when it goes on.

    python tests/chaos/stop_test.py 50 --seconds 5 --seed 7

Five rings at a time, each with a process that is stopped: a producer, a consumer, a durable one, one that others
follow, or one that follows. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chaos.kill_test import COMPLETENESS, verdict
from chaos.ledger import Findings
from chaos.scene import HangError, Scene, Stage, stage

TOGETHER = 5
KINDS = ("producer", "consumer", "durable", "upstream", "dependent")


def play(stage: Stage, seeds: list[int], kinds: list[str], seconds: float) -> tuple[Findings, list[str]]:
    """Stop somebody in a scene for each seed, all at the same time."""
    scenes = [Scene.of_seed(stage, seed, remote=False) for seed in seeds]
    found, hangs = Findings(), list[str]()
    try:
        for scene in scenes:
            scene.begin()
        stopped = [scene.stop_one(kind) for scene, kind in zip(scenes, kinds, strict=True)]
        until = time.monotonic() + seconds
        for one in stopped:
            one.look()
        time.sleep(max(0.0, until - time.monotonic()))
        for one in stopped:
            one.go_on()
        for scene in scenes:
            scene.stop()
        for scene in scenes:
            found.add(scene.check())
    except HangError as hang:
        hangs.append(str(hang))
        for scene in scenes:
            scene.give_up()
    return found, hangs


def main() -> int:
    """Stop and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=50)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"{options.runs} times stopped for {options.seconds} s under load, seed {options.seed}")
    begin, rng = time.monotonic(), random.Random(options.seed)
    found, hangs = Findings(), list[str]()
    with stage() as shared:
        for first in range(0, options.runs, TOGETHER):
            runs = range(first, min(first + TOGETHER, options.runs))
            seeds = [rng.getrandbits(48) for _ in runs]
            more, hung = play(shared, seeds, [KINDS[run % len(KINDS)] for run in runs], options.seconds)
            found.add(more)
            hangs += hung
    lost = sum(found.wrong[what] for what in COMPLETENESS)
    rows = [
        ("false deaths", found.wrong["false deaths"]),
        ("lost after SIGCONT", lost),
        ("anything else wrong", sum(found.wrong.values()) - lost - found.wrong["false deaths"]),
        ("hangs", len(hangs)),
    ]
    for name, count in rows:
        verdict(name, count, "0", not count)
    print(f"  {found.events} events seen by survivors, {found.acknowledged} acknowledged, {found.pads} Pads")
    for example in (*found.examples[:10], *hangs):
        print(f"  WRONG: {example}")
    print(f"{options.runs} runs, {time.monotonic() - begin:.0f} s")
    return 1 if any(count for _, count in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
