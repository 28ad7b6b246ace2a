"""Crash points, places at which a test kills the process, are in the sources and in no build that anybody uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ringbus

CORE = Path(__file__).parents[2] / "crates" / "ringbus-core"
POINT = re.compile(r'crash_point!\("([a-z_]+\.[a-z_]+)"\)')


def points() -> set[str]:
    return {name for path in (CORE / "src").rglob("*.rs") for name in POINT.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("path", [str(ringbus._core.__file__), ringbus.get_library()], ids=["module", "library"])
def test_what_is_built_has_no_trace_of_crash_points(path: str) -> None:
    module = Path(path).read_bytes()
    words = {"CRASH_AT", "STOP_AT", "name or name:number", *points()}
    assert len(words) > 100
    assert not {word for word in words if word.encode() in module}


def test_the_words_looked_for_are_those_of_the_sources() -> None:
    source = (CORE / "src" / "crash.rs").read_text(encoding="utf-8")
    assert all(word in source for word in ('"CRASH_AT"', '"STOP_AT"', "name or name:number"))


def test_no_manifest_switches_crash_points_on() -> None:
    assert 'default = ["crash-points"]' not in (CORE / "Cargo.toml").read_text(encoding="utf-8")
    for binding in ("ringbus-c", "ringbus-python"):
        assert "crash-points" not in (CORE.parent / binding / "Cargo.toml").read_text(encoding="utf-8")
