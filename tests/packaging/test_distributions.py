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


def maturin(*arguments: str | Path, cwd: Path = ROOT) -> None:
    command = [sys.executable, "-m", "maturin", *map(str, arguments)]
    environment = {**os.environ, "VIRTUAL_ENV": str(VENV)}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def build_wheel(project: Path, out: Path) -> Path:
    maturin("build", "--release", "--target-dir", TARGET, "--interpreter", sys.executable, "--out", out, cwd=project)
    (wheel,) = out.glob("*.whl")
    return wheel


def import_from(folder: Path, code: str) -> str:
    """Run code with the unpacked wheel first on the path, away from the checkout and its editable install."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def contents(wheel: Path) -> list[str]:
    """Name the files of the package in a wheel; its metadata may differ."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if name.startswith("ringbus/"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    maturin("sdist", "--out", out)
    (archive,) = out.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def source(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    return project


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi", "__init__.py"])
def test_the_wheel_holds_the_typed_package(unpacked: Path, name: str) -> None:
    assert (unpacked / "ringbus" / name).is_file()


def test_the_wheel_holds_one_native_module_for_this_python(wheel: Path) -> None:
    natives = [name for name in contents(wheel) if name.endswith(".so")]
    assert len(natives) == 1
    assert natives[0].startswith(MODULE)


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


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "Cargo.lock", "pyproject.toml", "python/ringbus/py.typed"])
def test_the_source_distribution_holds_what_a_build_needs(source: Path, name: str) -> None:
    assert (source / name).is_file()


def test_the_source_distribution_builds_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    assert contents(build_wheel(source, tmp_path)) == contents(wheel)
