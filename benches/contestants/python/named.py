"""What carriers have in common that are opened by a name, and how one waits that can only be asked."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

from options import Options

_NUMBERS = itertools.count()


def fresh(kind: str) -> str:
    """A name that nobody else has."""
    return f"{kind}-{os.getpid()}-{next(_NUMBERS)}"


def idle(wait: str) -> Callable[[], object]:
    """What a peer that can only be asked does between two questions."""
    return (lambda: None) if wait == "spin" else os.sched_yield


def asking(ask: Callable[[], Any], wait: str) -> Callable[[], Any]:
    """Ask until there is something."""
    rest = idle(wait)

    def get() -> Any:
        while (message := ask()) is None:
            rest()
        return message

    return get


def insisting(offer: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Offer until it is taken."""

    def put(message: Any) -> None:
        while not offer(message):
            os.sched_yield()

    return put


class Named:
    """A carrier that is opened by its name in each process, when it is used there."""

    objects = False

    def __init__(self, options: Options, size: int) -> None:
        self.capacity, self.size = max(options.capacity * 64 // size, 8), size
        self.name = fresh(type(self).__name__.lower())

    def __getstate__(self) -> dict[str, Any]:
        """What is opened here stays here: only names go to another process."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def announce(self) -> None:
        return

    def flush(self) -> None:
        return

    def close(self) -> None:
        return
