"""Finds the code in Markdown pages, and compares what programs print with what is expected."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
INCLUDED_FROM = (EXAMPLES, ROOT / "python" / "ringbus" / "include")
"""Where pages include files from, in this order: `base_path` of zensical.toml."""

_LINES = re.MULTILINE | re.DOTALL
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", _LINES)
_INCLUDE = re.compile(r'^\s*--8<-- "(?P<file>[^":]+)(?::(?P<section>\w+))?"\s*$', re.MULTILINE)
_MARK = re.compile(r"^\s*# --8<-- \[(?:start|end):\w+\]\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the line it begins at."""

    language: str
    code: str
    line: int

    @property
    def included(self) -> list[tuple[str, str | None]]:
        """The files, and sections of them, that the block includes."""
        return [(match["file"], match["section"]) for match in _INCLUDE.finditer(self.code)]


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for match in _FENCE.finditer(page):
        indent = match["indent"]
        code = "".join(line.removeprefix(indent) for line in match["code"].splitlines(keepends=True))
        yield Block(match["language"], code, page.count("\n", 0, match.start()) + 1)


def included(file: str) -> str:
    """The text of a file that a page includes."""
    return next(folder / file for folder in INCLUDED_FROM if (folder / file).is_file()).read_text("utf-8")


def without_marks(program: str) -> str:
    """A program without the comments that name its sections."""
    return _MARK.sub("", program)


def section(program: str, name: str) -> str | None:
    """The lines between the marks of a section; None where it has none."""
    found = re.search(rf"^\s*# --8<-- \[start:{name}\]\n(.*?)^\s*# --8<-- \[end:{name}\]$", program, _LINES)
    return without_marks(found[1]) if found else None


def matches(expected: str, printed: str) -> bool:
    """Whether `printed` is `expected`, where `...` stands for anything."""
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)
