"""Where it was measured: no number means anything without it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import ringbus


def facts() -> dict[str, Any]:
    """What a reader of the numbers has to know of the machine."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _cpuinfo().get("model name", platform.processor() or "unknown"),
        "caches": _caches(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "ringbus": ringbus.__version__,
    }


def in_words(found: dict[str, Any]) -> str:
    """The facts in one line."""
    caches = ", ".join(f"{level} {size}" for level, size in found["caches"].items())
    words = (
        f"{found['cores']} cores of {found['processor']} ({caches})",
        found["memory"],
        found["system"],
        found["python"],
        f"numpy {found['numpy']}",
        f"ringbus {found['ringbus']}",
    )
    return ", ".join(words)


def load() -> str:
    """How busy the machine is: a load near or above the cores makes every time here longer."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _caches() -> dict[str, str]:
    """The sizes of the first core's caches, as the system names them."""
    sizes: dict[str, str] = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = (index / "type").read_text(encoding="utf-8").strip()
        level = (index / "level").read_text(encoding="utf-8").strip()
        if kind != "Instruction":
            sizes[f"L{level}"] = (index / "size").read_text(encoding="utf-8").strip()
    return sizes
