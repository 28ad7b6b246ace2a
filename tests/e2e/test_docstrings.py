"""Runs the examples in the docstrings of the package, with `numpy` as `np` and `ringbus` at hand."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import ringbus

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ringbus.__path__, "ringbus.")
    if not module.name.endswith(("__main__", "._core"))
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, extraglobs={"np": np, "ringbus": ringbus}, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_there_are_examples_to_run():
    attempted = [doctest.testmod(importlib.import_module(name), extraglobs={"ringbus": ringbus}) for name in MODULES]
    assert sum(result.attempted for result in attempted) > 10
