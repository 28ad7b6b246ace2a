"""Random SIGKILLs under load: what was acknowledged is seen, in order and once; nobody hangs; all is cleared away.

    python tests/chaos/kill_test.py 1000 --seed 7

Producers (by fields, by translator, by batches, with claims open, with claims inside of claims, on two threads),
consumers, durable consumers, consumers that others follow, those others, watchers and handlers in processes of their
own are killed at random moments. A scene has one ring and up to ten processes; its seed makes it anew: --scene SEED.
Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chaos.ledger import Findings
from chaos.scene import HangError, Kill, Scene, Stage, stage

KILLS_A_SCENE = 20
WARM_UP = 5
"""Scenes after which descriptors and memory count."""
COMES_BACK = ("durable", "remote")
"""Who holds the ring up while it is away: what is timed includes its start."""
COMPLETENESS = ("acknowledged, lost", "missed by a durable consumer", "missed by a consumer that gates")
ORDER = ("order or doubles", "torn events", "other events than the others")


@dataclass
class Run:
    """All scenes of a run."""

    findings: Findings = field(default_factory=Findings)
    kills: list[Kill] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    scenes: int = 0

    def play(self, stage: Stage, seed: int, kills: int, *, remote: bool | None = None) -> None:
        """Play one scene."""
        scene = Scene.of_seed(stage, seed, remote=remote)
        self.scenes += 1
        try:
            scene.begin()
            for _ in range(kills):
                scene.kill_one()
            scene.finish()
        except HangError as hang:
            self.hangs.append(f"{scene}: {hang}")
            scene.give_up()
        self.findings.add(scene.findings)
        self.kills += scene.kills
        self.idle_ms += scene.idle_ms
        if scene.findings.wrong or (self.hangs and self.hangs[-1].startswith(f"{scene}")):
            self.failed.append(seed)

    def recovery_ms(self) -> list[float]:
        """The recovery times that the bar is about."""
        return sorted(kill.recovery_ms for kill in self.kills if kill.kind not in COMES_BACK)

    def by_kind(self) -> dict[str, list[float]]:
        """The recovery times, sorted, by who was hit."""
        times: dict[str, list[float]] = defaultdict(list)
        for kill in self.kills:
            times[kill.kind].append(kill.recovery_ms)
        return {kind: sorted(row) for kind, row in sorted(times.items())}


def at(quantile: float, times: Sequence[float]) -> float:
    """A quantile of sorted times; 0 without any."""
    return times[min(len(times) - 1, int(quantile * len(times)))] if times else 0.0


def verdict(name: str, value: object, bar: str, met: bool) -> None:
    """Print a figure beside its bar."""
    print(f"  {name:<36} {value:>18}   bar {bar:<11} {'met' if met else 'MISSED'}")


def spread(times: Sequence[float]) -> str:
    """Median, P99 and maximum of sorted times."""
    return f"median {at(0.5, times):6.1f}   P99 {at(0.99, times):6.1f}   max {at(1.0, times):6.1f} ms"


def descriptors() -> int:
    """Open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_kib() -> int:
    """The resident memory of this process."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def play(kills: int, seed: int) -> tuple[Run, dict[str, tuple[int, int]]]:
    """Kill `kills` times; the run, and what was there before and after, once some scenes have warmed things up."""
    rng, run = random.Random(seed), Run()
    with stage() as shared:
        before: dict[str, int] = {}
        while len(run.kills) < kills and len(run.hangs) < 5:
            run.play(shared, rng.getrandbits(48), min(KILLS_A_SCENE, kills - len(run.kills)))
            if run.scenes <= WARM_UP:
                before = measure(shared)
            print(f"\r{len(run.kills)} kills, {run.scenes} scenes", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        after = measure(shared)
    return run, {name: (before[name], after[name]) for name in before}


def measure(stage: Stage) -> dict[str, int]:
    """What must go back to the start."""
    return {"files": len(stage.left_behind()), "descriptors": descriptors(), "RSS, KiB": resident_kib()}


def table(run: Run, resources: dict[str, tuple[int, int]]) -> bool:
    """Print the bars; whether all are met."""
    wrong, times = run.findings.wrong, run.recovery_ms()
    lost = sum(wrong[what] for what in COMPLETENESS)
    order = sum(wrong[what] for what in ORDER)
    other = sum(wrong.values()) - lost - order
    rows = [
        ("acknowledged events lost", f"{lost}", "0", lost == 0),
        ("order breaks, doubles, torn events", f"{order}", "0", order == 0),
        ("anything else wrong", f"{other}", "0", other == 0),
        ("hangs", f"{len(run.hangs)}", "0", not run.hangs),
        ("recovery, P99", f"{at(0.99, times):.1f} ms", "<= 100 ms", at(0.99, times) <= 100),
        ("recovery, max", f"{at(1.0, times):.1f} ms", "<= 1000 ms", at(1.0, times) <= 1000),
    ]
    for name, (first, last) in resources.items():
        met = last <= first * 1.02 if name.startswith("RSS") else last <= first
        rows.append((f"{name}, before and after", f"{first} -> {last}", "+ 2 %" if "RSS" in name else "same", met))
    for row in rows:
        verdict(*row)
    return all(met for *_, met in rows)


def details(run: Run) -> None:
    """Print what the bars are made of."""
    found = run.findings
    print(f"  {found.events} events seen by survivors, {found.acknowledged} acknowledged, {found.pads} Pads,")
    print(f"  {found.unacknowledged} seen and not acknowledged, {found.redelivered} redelivered to durable consumers")
    idle = sorted(run.idle_ms)
    print(f"  until all have gone on: nobody died      {len(idle):>4}   {spread(idle)}")
    for kind, times in run.by_kind().items():
        note = "  (includes its new start)" if kind in COMES_BACK else ""
        print(f"    after the death of: {kind:<18} {len(times):>4}   {spread(times)}{note}")
    for kill in sorted(run.kills, key=lambda kill: -kill.recovery_ms)[:3]:
        print(f"  slowest: {kill.recovery_ms:.1f} ms, {kill.name}, {kill.scene}")
    for example in (*found.examples[:10], *run.hangs):
        print(f"  WRONG: {example}")
    if run.failed:
        print(f"  again: {' '.join(f'--scene {seed}' for seed in run.failed)}")


def main() -> int:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--scene", type=int, action="append", help="play the scene of this seed alone")
    options = parser.parse_args()
    begin = time.monotonic()
    if options.scene:
        run = Run()
        with stage() as shared:
            for seed in options.scene:
                run.play(shared, seed, min(KILLS_A_SCENE, options.kills))
            resources = {"files": (0, len(shared.left_behind()))}
    else:
        machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        print(f"{options.kills} kills under load, seed {options.seed}, {machine}")
        run, resources = play(options.kills, options.seed)
    met = table(run, resources)
    details(run)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(kill.kind for kill in run.kills).items()))
    print(f"{len(run.kills)} kills ({kinds}), {run.scenes} rings, {time.monotonic() - begin:.0f} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
