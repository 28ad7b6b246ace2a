"""What a Ctrl-C says that comes while the program `ringbus` still imports: one line, as later on, and no traceback.

The interpreter then ends as by SIGINT, which shells show as exit code 130.
"""

from __future__ import annotations

import sys
from pathlib import PurePath
from types import TracebackType

PROGRAM = "ringbus"


def is_program() -> bool:
    """Whether this interpreter runs the command line, by its script or by `python -m ringbus`."""
    if sys.argv[:1] == ["-m"]:
        return ["-m", PROGRAM] in [sys.orig_argv[at : at + 2] for at in range(len(sys.orig_argv))]
    return bool(sys.argv) and PurePath(sys.argv[0]).name == PROGRAM


def say_interrupt(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Stand for `sys.excepthook`."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write(f"{PROGRAM}: interrupted\n")
    else:
        sys.__excepthook__(kind, error, traceback)


if is_program():
    sys.excepthook = say_interrupt
