"""What is in the wheel and in the source distribution, and that both work away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)
TARGET = ROOT / "target" / f"maturin{VENV.name}"
MODULE = "ringbus/_core." + f"cpython-{sys.version_info.major}{sys.version_info.minor}"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run_hook(name: str, out: Path, project: Path = ROOT) -> Path:
    """Call a hook of the project's build backend, as pip does; what it made."""
    code = f"import sys; sys.path.insert(0, 'tools'); import backend; backend.{name}(sys.argv[1])"
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "VIRTUAL_ENV": str(VENV), "PATH": path, "CARGO_TARGET_DIR": str(TARGET)}
    command = [sys.executable, "-c", code, str(out)]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (made,) = out.iterdir()
    return made


def import_from(folder: Path, code: str) -> str:
    """Run code with the unpacked wheel first on the path, away from the checkout and its editable install."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


ATTACH = """
import ctypes, os, tempfile
import ringbus

class Tick(ringbus.Event):
    value: int

with tempfile.TemporaryDirectory() as os.environ["RINGBUS_DIR"]:
    ring = ringbus.RingBuffer(Tick, 16, name="ticks")
    library, handle = ctypes.CDLL(ringbus.get_library()), ctypes.c_void_p()
    print(ringbus.get_library())
    print(library.ringbus_attach(b"ticks", None, ctypes.byref(handle)), library.ringbus_remaining_capacity(handle))
"""


def contents(wheel: Path) -> list[str]:
    """Name the files of the package in a wheel; its metadata may differ."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if name.startswith("ringbus/"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_hook("build_wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_hook("build_sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def source(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    return project


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi", "__init__.py", "include/ringbus.h"])
def test_the_wheel_holds_the_typed_package(unpacked: Path, name: str) -> None:
    assert (unpacked / "ringbus" / name).is_file()


def test_the_wheel_holds_one_native_module_for_this_python_and_the_c_library(wheel: Path) -> None:
    module, library = (name for name in contents(wheel) if name.endswith(".so"))
    assert module.startswith(MODULE)
    assert library == "ringbus/lib/libringbus.so"


def test_the_c_library_of_the_wheel_attaches_to_a_ring_of_its_module(unpacked: Path) -> None:
    said = import_from(unpacked, ATTACH)
    assert Path(said.splitlines()[0]).is_relative_to(unpacked)
    assert said.splitlines()[1:] == ["0 16"]


def test_the_wheel_holds_the_tape_of_the_demo(unpacked: Path) -> None:
    tapes = sorted((ROOT / "examples" / "data").glob("*.tape.gz"))
    assert tapes
    for tape in tapes:
        assert (unpacked / "ringbus" / "demo" / "data" / tape.name).read_bytes() == tape.read_bytes()


def test_the_wheel_holds_nothing_but_the_package_and_its_metadata(unpacked: Path) -> None:
    others = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert others == {"ringbus"}


def test_the_wheel_carries_its_licence_and_its_command(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info")
    assert (metadata / "licenses" / "LICENSE").is_file()
    assert "ringbus=ringbus.cli:main" in (metadata / "entry_points.txt").read_text().replace(" ", "")


def test_the_wheel_works_away_from_the_checkout(unpacked: Path) -> None:
    where = import_from(unpacked, "import ringbus, ringbus._core; print(ringbus._core.__file__)")
    assert Path(where.strip()).is_relative_to(unpacked)


@pytest.mark.parametrize(
    "name",
    ["LICENSE", "README.md", "Cargo.lock", "pyproject.toml", "python/ringbus/py.typed", "crates/ringbus-c/build.rs"],
)
def test_the_source_distribution_holds_what_a_build_needs(source: Path, name: str) -> None:
    assert (source / name).is_file()


def test_the_source_distribution_holds_nothing_that_was_built(source: Path) -> None:
    assert not list(source.rglob("*.so"))


def test_the_source_distribution_builds_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    assert contents(run_hook("build_wheel", tmp_path, source)) == contents(wheel)
