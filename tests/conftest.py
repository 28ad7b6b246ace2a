"""What all tests share: seeds that are printed and can be replayed, and Hypothesis profiles.

A random test takes the fixture `rng`. Its seed follows from the run's seed and the test's name, so that
`pytest --seed N path::test` replays one test alone. The same seed drives Hypothesis.
"""

from __future__ import annotations

import os
import random
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

SEEDED_BY = "replay with --seed"
_seed = pytest.StashKey[int]()

# Compiled handlers are kept beside the sources, not in the user's own cache; child processes follow.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "numba"))

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="seed of every random test (default: a new one)")


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("--seed")
    config.stash[_seed] = random.SystemRandom().randrange(2**32) if given is None else given
    if config.pluginmanager.hasplugin("hypothesispytest") and config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = config.stash[_seed]


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.stash[_seed]} ({SEEDED_BY} {config.stash[_seed]})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("seed", f"{SEEDED_BY} {item.config.stash[_seed]}"))
    return report


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed for this test alone, the same whichever tests run beside it."""
    return random.Random(f"{request.config.stash[_seed]}:{request.node.nodeid}").randrange(2**63)


@pytest.fixture
def rng(seed: int) -> random.Random:
    """A generator of random numbers that starts from this test's seed."""
    return random.Random(seed)


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio unless they name another backend."""
    return "asyncio"
