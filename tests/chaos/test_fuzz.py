"""The corruption of a live segment, the short form: no signal, no foreign error, no hang.

The long form is `make fuzz-segment N=1000000`. What is corrupted follows from the seed.
"""

from __future__ import annotations

import pytest

from chaos.fuzz_segment import run

MUTATIONS = 10_000


@pytest.mark.timeout(180)
def test_whatever_is_written_into_a_live_segment_nobody_crashes_or_hangs(seed: int) -> None:
    found = run(MUTATIONS, seed % 2**32)
    assert found.signals == []
    assert found.failures == []
    assert found.hangs == []
    assert found.mutations == MUTATIONS
    assert found.steps > 0
