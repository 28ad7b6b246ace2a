"""Every conformance test runs over every variant, unless it says which make sense."""

from __future__ import annotations

import pytest

from support.variants import ALL, Variant


@pytest.fixture(params=ALL, ids=str)
def variant(request: pytest.FixtureRequest) -> Variant:
    """A way to make a ring: {single, multi} x {each wait strategy} x {struct, object}."""
    chosen: Variant = request.param
    return chosen
