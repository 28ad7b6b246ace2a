"""A clean process that forks the others: it has imported everything and holds no ring, so that a start takes
milliseconds.

It takes a JSON line a request on its standard input and answers with one. Its children die with it, and it ends with
its input: nothing outlives a test that was killed itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1


class Child:
    """A process of the nursery."""

    def __init__(self, nursery: Nursery, pid: int, what: str) -> None:
        self._nursery = nursery
        self.pid = pid
        self.what = what
        # It is not reaped before `reap`, so the number is still its own.
        self._descriptor = os.pidfd_open(pid)
        self._code: int | None = None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._code is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        if self._code is not None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def reap(self) -> int:
        """Its exit code, negative for a signal; it has ended."""
        if self._code is None:
            self._code = int(self._nursery.ask(reap=self.pid))
            os.close(self._descriptor)
        return self._code

    def __repr__(self) -> str:
        return f"{self.what} (pid {self.pid})"


class Nursery:
    """Starts processes that play a role of `chaos.roles`."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "RINGBUS_DIR": str(folder / "rings"), "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
        environment["RINGBUS_CHAOS"] = str(folder)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.nursery"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.children: list[Child] = []

    def ask(self, **request: Any) -> Any:
        """Send a request and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, role: str, **arguments: Any) -> Child:
        """Start a process that plays `role`."""
        what = f"{role} {arguments.get('name', arguments.get('number', ''))}"
        child = Child(self, self.ask(role=role, arguments=arguments), what)
        self.children.append(child)
        return child

    def clear(self) -> None:
        """Kill and reap every child that is left."""
        for child in self.children:
            child.send(signal.SIGKILL)
        for child in self.children:
            child.wait(10.0)
            child.reap()
        self.children.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _bear(role: str, arguments: dict[str, Any]) -> int:
    # A SIGTERM that comes before `Stop` is there waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return pid
    code = 1
    try:
        _die_with_parent()
        sys.stdin.close()
        os.dup2(2, 1)
        from chaos.roles import ROLES

        code = ROLES[role](**arguments)
    except BaseException:  # noqa: BLE001 (written down, and told by the exit code)
        with contextlib.suppress(OSError):
            path = Path(os.environ["RINGBUS_CHAOS"], "errors", f"{role}-{os.getpid()}.txt")
            path.write_text(f"{role} {arguments}\n{traceback.format_exc()}", encoding="utf-8")
    finally:
        os._exit(code)


def _serve() -> None:
    importlib.import_module("chaos.roles")
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # readline, for a reader that buffers would share its lines with the children.
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "reap" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["reap"], 0)[1])
        else:
            answer = _bear(request["role"], request["arguments"])
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
