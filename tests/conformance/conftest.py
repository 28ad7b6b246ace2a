"""Every conformance test runs over every variant, unless it says which make sense."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.variants import ALL, Variant, end_peer


@pytest.fixture(params=ALL, ids=str)
def variant(request: pytest.FixtureRequest) -> Variant:
    """A way to make a ring: {single, multi} x {each wait strategy} x {struct, object} x {one process, two}."""
    chosen: Variant = request.param
    return chosen


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where the rings of two processes are, and the socket of the other one, which ends with the session."""
    made = Path(tempfile.mkdtemp(prefix="ringbus-test-", dir="/dev/shm"))
    yield made
    end_peer()
    shutil.rmtree(made)


@pytest.fixture(autouse=True)
def rings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """Have the rings of two processes made in the folder, and take their names away afterwards."""
    monkeypatch.setenv("RINGBUS_DIR", str(folder))
    yield
    for path in folder.glob("conformance-*"):
        path.unlink()
