"""Wait strategies: what a producer or consumer does until there is something to do.

Source: LMAX Disruptor 4.0, `WaitStrategy` and its implementations.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ringbus.errors import ConfigurationError


@dataclass(frozen=True)
class BusySpin:
    """Look again and again: the lowest latency, and a core for each that waits."""

    def facts(self) -> tuple[str, float, float]:
        """The name and two numbers, for the core."""
        return "busy_spin", 0.0, 0.0


@dataclass(frozen=True)
class Yielding:
    """Look a hundred times, then offer the core to others between looks. Uses what others leave."""

    def facts(self) -> tuple[str, float, float]:
        """The name and two numbers, for the core."""
        return "yielding", 0.0, 0.0


@dataclass(frozen=True)
class Sleeping:
    """Look, yield, then sleep, longer each time.

    Attributes:
        longest: the longest single sleep, in seconds.
    """

    longest: float = 100e-6

    def facts(self) -> tuple[str, float, float]:
        """The name and two numbers, for the core."""
        return "sleeping", self.longest, 0.0


@dataclass(frozen=True)
class Blocking:
    """Look a few times, then sleep until woken: costs nothing while idle. The default.

    Attributes:
        spins: looks before the sleep.
    """

    spins: int = 200

    def __post_init__(self) -> None:
        """Check the number."""
        spins: object = self.spins
        if not isinstance(spins, int) or not 0 <= spins < 1 << 31:
            raise ConfigurationError(f"spins is {self.spins!r}", "use a whole number, at least 0")

    def facts(self) -> tuple[str, float, float]:
        """The name and two numbers, for the core."""
        return "blocking", float(self.spins), 0.0


@dataclass(frozen=True)
class PhasedBackoff:
    """Spin for a time, yield for a time, then sleep until woken.

    Attributes:
        spin: time to spin, in seconds.
        yielding: time to yield after that, in seconds.
    """

    spin: float = 10e-6
    yielding: float = 90e-6

    def facts(self) -> tuple[str, float, float]:
        """The name and two numbers, for the core."""
        return "phased_backoff", self.spin, self.yielding


WaitStrategy = BusySpin | Yielding | Sleeping | Blocking | PhasedBackoff

_BY_NAME: dict[str, WaitStrategy] = {
    "busy_spin": BusySpin(),
    "yielding": Yielding(),
    "sleeping": Sleeping(),
    "blocking": Blocking(),
    "phased_backoff": PhasedBackoff(),
}

NAMES: tuple[str, ...] = tuple(_BY_NAME)
"""The names by which strategies are known."""


def wait_strategy(wait: object) -> WaitStrategy:
    """Return the strategy that a name or an object stands for.

    Args:
        wait: one of `NAMES`, or an object of this module.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if isinstance(wait, WaitStrategy):
        return wait
    found = _BY_NAME.get(wait) if isinstance(wait, str) else None
    if found is None:
        near = difflib.get_close_matches(str(wait), NAMES, 1)
        remedy = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(NAMES)}"
        raise ConfigurationError(f"there is no wait strategy {wait!r}", remedy)
    return found
