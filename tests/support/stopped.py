"""A process that is stopped while it joins the ring "ticks", with the lock in its hands: byte 1 of the lock file."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.children import start_child

STOPPED = """
import fcntl, glob, os, signal
(path,) = glob.glob(os.environ["RINGBUS_DIR"] + "/.ticks.*.lock")
file = os.open(path, os.O_RDWR)
fcntl.lockf(file, fcntl.LOCK_EX, 1, 1)
print("joins", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def somebody_stopped() -> Iterator[Callable[[], object]]:
    """A process that was stopped while it joined; the call lets it go on."""
    with start_child(STOPPED) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "joins\n"
        yield lambda: child.send_signal(signal.SIGCONT)
