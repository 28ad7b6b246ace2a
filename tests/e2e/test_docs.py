"""Runs the Python code of README, CONTRIBUTING and docs/, page by page, and checks what the pages refer to.

A `python` block is run, a `pycon` block is compared with what the interpreter answers, and an included file is run
whole; the blocks of one page share their names. `numpy` as `np` and `ringbus` are there from the start.
"""

import contextlib
import doctest
import io
import re

import numpy as np
import pytest

import ringbus
from support.documents import EXAMPLES, ROOT, blocks, included, section, without_marks

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#\s]+)")
MAKE = re.compile(r"\bmake ((?:[a-z]+-?)+)")


def run_block(block, names, seen, where):
    for file, _ in block.included:
        if block.language == "python" and file.endswith(".py") and file not in seen:
            seen.add(file)
            exec(compile((EXAMPLES / file).read_text("utf-8"), str(EXAMPLES / file), "exec"), names)
    if block.language == "python" and not block.included:
        exec(compile("\n" * block.line + block.code, where, "exec"), names)
    if block.language == "pycon":
        check_session(block, names, where)


def check_session(block, names, where):
    test = doctest.DocTestParser().get_doctest(block.code, names, where, where, block.line)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failed = runner.run(test, out=report.write, clear_globs=False).failed
    names.update(test.globs)
    assert not failed, report.getvalue()


@EVERY_PAGE
def test_the_code_of_a_page_runs(page):
    names, seen = {"np": np, "ringbus": ringbus, "__name__": "page"}, set()
    with contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(page.read_text("utf-8")):
            run_block(block, names, seen, str(page))


@EVERY_PAGE
def test_what_a_page_includes_exists(page):
    for block in blocks(page.read_text("utf-8")):
        for file, name in block.included:
            text = included(file)
            assert name is None or section(text, name), f"{file} has no section {name}"


@EVERY_PAGE
def test_what_a_page_links_to_exists(page):
    for match in LINK.finditer(page.read_text("utf-8")):
        assert (page.parent / match["target"]).exists(), match["target"]


@EVERY_PAGE
def test_the_make_targets_that_a_page_names_exist(page):
    code = re.findall(r"`([^`\n]+)`|^ {4}(make .*)$", page.read_text("utf-8"), re.MULTILINE)
    targets = {target for pair in code for text in pair for target in MAKE.findall(text)}
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert targets <= known


def test_the_quick_start_of_the_readme_is_the_first_example():
    shown = [block.code for block in blocks((ROOT / "README.md").read_text("utf-8")) if block.language == "python"]
    program = (EXAMPLES / "01_quick_start.py").read_text("utf-8")
    assert without_marks(section(program, "all")).strip() == shown[0].strip()


def test_the_first_two_commands_of_the_readme_are_make_demo_and_make_test():
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"^ {4}(\w+ [\w-]+)", readme, re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text("utf-8")))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text("utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    shown = re.findall(r"^::: ([\w.]+)", pages, re.MULTILINE)
    public = {name: getattr(getattr(ringbus, name), "__module__", "") for name in ringbus.__all__}
    told = {name for name, module in public.items() if module in shown or f"{module}.{name}" in shown}
    assert [name for name in public if name not in told and not re.search(rf"\b{name}\b", pages)] == []
