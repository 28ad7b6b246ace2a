"""The build backend: maturin's own, which first builds the C library that lies beside the module in the package.

Maturin builds one library, the module. libringbus.so is built by cargo here, with the same profile and flags, and put
where the package has it: pip calls the functions below, the Makefile runs the file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import maturin  # type: ignore[import-untyped]
from maturin import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "python" / "ringbus" / "lib" / "libringbus.so"
CARGO = [
    "cargo",
    "rustc",
    "--release",
    "--locked",
    "--package",
    "ringbus-c",
    "--message-format",
    "json-render-diagnostics",
]
RUSTC = ["--", "-C", "strip=symbols"]

Settings = Mapping[str, Any] | None


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build the library, then the wheel with it."""
    build_library()
    return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the library, then the wheel that points at the sources."""
    build_library()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))


def build_library(*flags: str) -> None:
    """Build libringbus.so and put it into the package."""
    command = [*CARGO, *flags, *RUSTC]
    built = subprocess.run(command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    artifacts = [message for message in messages if message.get("target", {}).get("crate_types") == ["cdylib"]]
    (library,) = (name for artifact in artifacts for name in artifact.get("filenames", []) if name.endswith(".so"))
    _put(Path(library))


def _put(library: Path) -> None:
    """Copy the library into place by a rename: a process that uses the one before keeps it whole."""
    if LIBRARY.exists() and LIBRARY.read_bytes() == library.read_bytes():
        return
    LIBRARY.parent.mkdir(exist_ok=True)
    new = LIBRARY.with_suffix(".new")
    shutil.copyfile(library, new)
    new.chmod(0o755)
    new.replace(LIBRARY)


def _environment() -> dict[str, str]:
    """Where there is no cargo, that of the package which maturin has asked for."""
    if shutil.which("cargo"):
        return dict(os.environ)
    return {**os.environ, **importlib.import_module("puccinialin").setup_rust()}


def main() -> None:
    """Build the library alone."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--target-dir", required=True, help="where cargo puts what it builds")
    build_library("--target-dir", parser.parse_args().target_dir)


if __name__ == "__main__":
    main()
