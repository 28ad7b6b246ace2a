"""A ring, its cast of processes, and what may happen to them.

A scene is built from a seed: the kind of ring, who takes part, who is hit and when all follow from it. How the
processes interleave does not.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ringbus
from chaos.ledger import Findings
from chaos.nursery import Child, Nursery
from chaos.roles import MOST_CLAIMED, PEER_DIED, Beat

DEADLINE = 10.0
"""Seconds after which a step that must come to its end counts as a hang."""

CHECKED = 100.0
"""Seconds that the check of the ledgers may take."""

LOOK = 0.0005
LIVE = 2
"""The state of a row whose consumer takes part."""
KILLABLE = ("producer", "consumer", "durable", "upstream", "dependent", "watcher", "remote")


class HangError(AssertionError):
    """A step did not come to its end."""


@dataclass
class Stage:
    """The folder and the nursery that scenes have in common."""

    folder: Path
    nursery: Nursery
    made: int = 0

    def name(self) -> str:
        """A name that no ring had, and a folder of that name for its ledgers."""
        self.made += 1
        (self.folder / f"scene-{self.made}").mkdir()
        return f"scene-{self.made}"

    def errors(self) -> list[str]:
        """What processes raised; taken away with it."""
        paths = sorted((self.folder / "errors").iterdir())
        texts = [path.read_text(encoding="utf-8") for path in paths]
        for path in paths:
            path.unlink()
        return texts

    def left_behind(self) -> list[str]:
        """Files in the folder of the rings."""
        return sorted(path.name for path in (self.folder / "rings").iterdir())


@contextmanager
def stage() -> Iterator[Stage]:
    """A folder of our own for rings and ledgers, in memory, gone at the end."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="ringbus-chaos-", dir=memory if memory.is_dir() else None))
    for name in ("rings", "errors"):
        (folder / name).mkdir(mode=0o700)
    before = os.environ.get("RINGBUS_DIR")
    os.environ["RINGBUS_DIR"] = str(folder / "rings")
    try:
        with Nursery(folder) as nursery:
            yield Stage(folder, nursery)
    finally:
        os.environ.pop("RINGBUS_DIR")
        if before is not None:
            os.environ["RINGBUS_DIR"] = before
        shutil.rmtree(folder)


def wait_until(what: str, condition: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """Wait for a condition and return it; a hang after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (held := condition()):
        if time.monotonic() > deadline:
            raise HangError(f"{what}: not after {seconds} s")
        time.sleep(LOOK)
    return held


@dataclass
class Part:
    """Somebody of the cast, through all lives."""

    kind: str
    role: str
    arguments: dict[str, Any]
    child: Child
    lives: int = 1

    @property
    def name(self) -> str:
        """Its name on the ring; producers have none."""
        return str(self.arguments.get("name", ""))


@dataclass(slots=True)
class Kill:
    """What was hit, and how long it took until all others had gone on, in ms."""

    kind: str
    name: str
    recovery_ms: float
    scene: str = ""


@dataclass
class Stopped:
    """Somebody who is stopped and alive."""

    scene: Scene
    part: Part
    row: Any

    @property
    def gates(self) -> bool:
        """Whether the ring has to wait for it."""
        return self.row is not None

    def look(self) -> None:
        """While it is stopped: it keeps its place, and who waits for it is told its name and state."""
        scene, name = self.scene, self.part.name
        if not self.gates:
            return
        full = self.row.sequence + scene.capacity - MOST_CLAIMED
        scene.wait_until("the ring is full", lambda: scene.ring.cursor >= full)
        row = scene._row(name)
        same = row is not None and (row.entry, row.state) == (self.row.entry, self.row.state)
        kept = same and row.process[:2] == (self.part.child.pid, "stopped")
        scene.findings.fault("false deaths", int(not kept), f"{self.row} became {row}")
        if scene.kinds == "multi":
            named = _held_up_by(scene.name)
            told = name in named and "stopped" in named
            scene.findings.fault("laggards not named", int(not told), f"{name} is stopped: {named}")

    def go_on(self) -> None:
        """Let it go on, and everybody with it."""
        self.part.child.send(signal.SIGCONT)
        self.scene.progress(f"all go on after {self.part.child!r} was stopped")
        ended = [part.child for part in self.scene.parts if part.child.wait(0)]
        self.scene.findings.fault("false deaths", len(ended), f"{ended} ended while {self.part.child!r} was stopped")


def _is_stopped(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return stat.rpartition(")")[2].split()[0] == "T"


def _held_up_by(ring: str) -> str:
    """What a producer is told that waits for free slots and gives up; it publishes nothing."""
    handle = ringbus.attach(ring, Beat)
    try:
        with handle.claim(handle.capacity, timeout=0.1):
            return "nobody"
    except ringbus.WaitTimeout as timeout:
        return str(timeout)
    finally:
        handle.close()


@dataclass
class Scene:
    """One ring and who takes part in it."""

    stage: Stage
    seed: int
    kinds: Literal["single", "multi"]
    capacity: int
    start: int
    with_remote: bool
    parts: list[Part] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.name, self._title = self.stage.name(), str(self)
        self.folder = self.stage.folder / self.name
        self._numbers = 0
        self._claims: list[int] = []

    @classmethod
    def of_seed(cls, stage: Stage, seed: int, *, remote: bool | None = None) -> Scene:
        """The scene that belongs to a seed."""
        rng = random.Random(seed)
        with_remote = rng.random() < 0.25
        return cls(
            stage,
            seed,
            rng.choice(("single", "multi", "multi", "multi")),
            rng.choice((16, 64, 256)),
            rng.choice((0, 2**31 - 999, 2**32 - 999)),
            with_remote if remote is None else remote,
        )

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.kinds} producer(s), {self.capacity} slots, start {self.start}"

    # -- the cast -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Bring everybody on; what is published from then on is seen by all."""
        make = {"capacity": self.capacity, "producers": self.kinds, "start": self.start}
        self._add_producer(make=make)
        self.ring = ringbus.attach(self.name, Beat, wait=DEADLINE, read_only=True)
        for name, batch in (("survivor-batch", True), ("survivor-plain", False)):
            self._add_consumer("survivor", name, batch=batch)
        self._add_consumer("consumer", "guest", batch=self.rng.random() < 0.5)
        self._add_consumer("durable", "durable", batch=self.rng.random() < 0.5, durable=True)
        self._add_consumer("upstream", "upstream", batch=self.rng.random() < 0.5, echo="write")
        self._add_consumer("dependent", "dependent", batch=True, echo="read", depends_on=["upstream"])
        self._add_consumer("watcher", "watcher", read_only=True)
        if self.with_remote:
            child = self.stage.nursery.start("owner", ring=self.name, name="remote")
            self.parts.append(Part("remote", "owner", {"name": "remote"}, child))
            self._wait_for_remote(0)
        self._add_producer(held_ms=self.rng.choice((0.2, 2.0)) if self.kinds == "multi" else 0.2)
        self._add_producer(threads=2 if self.kinds == "multi" else 1)
        (self.folder / "go").touch()
        self.progress("the first events")

    def _start(self, role: str, **arguments: Any) -> Child:
        return self.stage.nursery.start(role, ring=self.name, **arguments)

    def _add_producer(self, **arguments: Any) -> None:
        arguments = {"held_ms": 0.0, "threads": 1, **arguments}
        child = self._start_producer(arguments)
        arguments.pop("make", None)
        self.parts.append(Part("producer", "producer", arguments, child))

    def _start_producer(self, arguments: dict[str, Any]) -> Child:
        number, self._numbers = self._numbers, self._numbers + arguments["threads"]
        self._claims += range(number, self._numbers)
        return self._start("producer", number=number, seed=self.rng.getrandbits(48), **arguments)

    def _add_consumer(self, kind: str, name: str, **arguments: Any) -> None:
        arguments["name"] = name
        child = self._start("consumer", life=0, **arguments)
        self.parts.append(Part(kind, "consumer", arguments, child))
        self._wait_for(self.parts[-1])

    def _row(self, name: str) -> Any:
        return next((row for row in self.ring._roster.rows() if row.name == name), None)

    def _wait_for(self, part: Part) -> None:
        """Wait until it takes part."""
        if part.arguments.get("read_only") or part.role != "consumer":
            return

        def joined() -> bool:
            if part.child.wait(0):
                raise HangError(f"{part.child!r} ended with {part.child.reap()} when it began\n{self.report()}")
            row = self._row(part.name)
            return row is not None and row.process[:2] == (part.child.pid, "alive")

        self.wait_until(f"{part.child!r} joins", joined)

    def _wait_for_remote(self, before: int) -> None:
        owner = next(part.child for part in self.parts if part.kind == "remote")

        def joined() -> bool:
            row = self._row("remote")
            # The owner, which holds the place first, is not who serves it.
            others = (0, before, owner.pid)
            return row is not None and row.state == LIVE and row.process[0] not in others and row.process[1] == "alive"

        self.wait_until("the handler in a process joins", joined)

    def wait_until(self, what: str, condition: Callable[[], Any]) -> Any:
        """Wait for a condition; a hang says who was there."""
        try:
            return wait_until(what, condition)
        except HangError as hang:
            raise HangError(f"{hang}\n{self.report()}") from None

    def report(self) -> str:
        """Who is there, and what processes raised."""
        rows = "\n".join(f"  {row}" for row in self.ring._roster.rows())
        raised = "\n".join(self.stage.errors())
        return f"{self}\n{rows}\ncursor {self.ring.cursor}, {self.ring.statistics().pads} Pads\n{raised}"

    # -- what happens -----------------------------------------------------------------------------------------------

    def progress(self, what: str, beyond: int = -1) -> float:
        """Wait until others have gone on; seconds it took.

        What was claimed when this began is published or a Pad, and done with by all who gate; and a producer has
        claimed anew, up to `beyond` at least.
        """
        begin = time.monotonic()
        claimed = self.ring.cursor
        target = max(claimed + 1, beyond)
        self.wait_until(what, lambda: self.ring.cursor >= target and self.ring.minimum_sequence >= claimed)
        return time.monotonic() - begin

    def candidates(self) -> list[Part]:
        """Who may be hit."""
        return [part for part in self.parts if part.kind in KILLABLE]

    def kill_one(self) -> Kill:
        """Kill somebody at a random moment, wait until the others have gone on, and bring it back."""
        if self.rng.random() < 0.2:
            self.idle_ms.append(self.progress("all go on") * 1e3)
        weights = {"producer": 2}
        choices = self.candidates()
        part = self.rng.choices(choices, [weights.get(choice.kind, 1) for choice in choices])[0]
        time.sleep(self.rng.expovariate(1 / 0.01))
        return self.kill(part)

    def kill(self, part: Part) -> Kill:
        """Kill this one now, wait until the others have gone on, and bring it back."""
        kill = self._kill_remote(part) if part.kind == "remote" else self._kill(part)
        kill.scene = self._title
        self.kills.append(kill)
        return kill

    def _kill(self, part: Part) -> Kill:
        begin = time.monotonic()
        part.child.send(signal.SIGKILL)
        self.wait_until(f"{part.child!r} dies", lambda: part.child.wait(1.0))
        code = part.child.reap()
        self.findings.fault("ends by itself", int(code != -signal.SIGKILL), f"{part.child!r}: exit code {code}")
        if part.kind in ("durable", "watcher"):
            self._revive(part)
        self.progress(f"others go on after the death of {part.child!r}", self._reach_of(part))
        kill = Kill(part.kind, part.child.what, (time.monotonic() - begin) * 1e3)
        if part.kind == "upstream":
            self._end_dependent(part)
        elif part.kind not in ("durable", "watcher"):
            self._revive(part)
        return kill

    def _reach_of(self, part: Part) -> int:
        """What producers can claim only once the place of a dead consumer is taken away."""
        row = self._row(part.name) if part.kind in ("consumer", "upstream", "dependent") else None
        return -1 if row is None else int(row.sequence) + self.capacity + 1

    def _end_dependent(self, upstream: Part) -> None:
        """Who follows the dead one is told, and ends; both come back."""
        part = next(part for part in self.parts if part.kind == "dependent")
        self.wait_until(f"{part.child!r} learns of the death of upstream", lambda: part.child.wait(0))
        code = part.child.reap()
        self.findings.fault("not told of a death", int(code != PEER_DIED), f"{part.child!r}: exit code {code}")
        self._revive(upstream)
        self._revive(part)

    def _revive(self, part: Part) -> None:
        part.child.reap()
        self.stage.nursery.children.remove(part.child)
        if part.role == "producer":
            part.child = self._start_producer(part.arguments)
        else:
            part.child = self._start("consumer", life=part.lives, **part.arguments)
            part.lives += 1
            self._wait_for(part)

    def _kill_remote(self, part: Part) -> Kill:
        row = self._row("remote")
        begin = time.monotonic()
        os.kill(row.process[0], signal.SIGKILL)
        self._wait_for_remote(row.process[0])
        self.progress("others go on after the handler's process was started again")
        return Kill("remote", "handler in a process", (time.monotonic() - begin) * 1e3)

    def stop_one(self, kind: str) -> Stopped:
        """Stop somebody of a kind with SIGSTOP, at a random moment."""
        part = self.rng.choice([part for part in self.parts if part.kind == kind])
        time.sleep(self.rng.expovariate(1 / 0.01))
        part.child.send(signal.SIGSTOP)
        self.wait_until(f"{part.child!r} stops", lambda: _is_stopped(part.child.pid))
        return Stopped(self, part, self._row(part.name))

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> Findings:
        """Stop everybody, and check what they wrote down."""
        self.stop()
        return self.check()

    def stop(self) -> None:
        """Stop the producers, let everybody see the rest, and take the ring away."""
        order = ("producer", "remote", "dependent", "upstream", "consumer", "durable", "watcher", "survivor")
        for kind in order:
            parts = [part for part in self.parts if part.kind == kind]
            for part in parts:
                part.child.send(signal.SIGTERM)
            for part in parts:
                self.wait_until(f"{part.child!r} ends", partial(part.child.wait, 0))
                code = part.child.reap()
                self.findings.fault("ends badly", int(code != 0), f"{part.child!r}: exit code {code}")
                self.stage.nursery.children.remove(part.child)
        self._pads = self.ring.statistics().pads
        self.ring.close()
        del self.ring
        gc.collect()
        ringbus.sharing.unlink(self.name)

    def check(self) -> Findings:
        """Check what everybody wrote down, in a process of its own, and that nothing is left; once it has stopped."""
        parts = [(part.kind, part.name) for part in self.parts if part.role != "producer"]
        claims = sorted(self._claims)
        child = self._start("check", start=self.start, pads=self._pads, claims=claims, parts=parts)
        wait_until(f"{child!r} ends", partial(child.wait, 0), CHECKED)
        code = child.reap()
        self.stage.nursery.children.remove(child)
        self.findings.fault("errors of the check", int(code != 0), f"exit code {code}")
        if code == 0:
            self.findings.add(Findings.read(self.folder / "findings"))
        for text in self.stage.errors():
            self.findings.fault("errors in a process", 1, text)
        shutil.rmtree(self.folder)
        left = [name for name in self.stage.left_behind() if self.name in name.split(".")]
        self.findings.fault("files left behind", len(left), f"{left[:5]}")
        return self.findings

    def give_up(self) -> None:
        """After a hang: kill everybody and take the ring away."""
        self.stage.nursery.clear()
        if "ring" in self.__dict__:
            self.ring.close()
            del self.ring
        gc.collect()
        shutil.rmtree(self.folder)
        for path in (self.stage.folder / "rings").iterdir():
            if self.name in path.name.split("."):
                path.unlink()
