"""Where it was measured: no number means anything without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

import ringbus


def facts() -> dict[str, object]:
    """What a reader of the numbers has to know."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "ringbus": ringbus.__version__,
    }


def load() -> str:
    """How busy the machine is: a load near or above the cores makes every time here longer."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def _processor() -> str:
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
