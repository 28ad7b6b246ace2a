"""The ledger's rules find what they are there to find: each is given a run in which one thing went wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chaos import ledger
from chaos.ledger import ACKNOWLEDGED, ATTEMPTED, SEEN, Findings, Ledger, Rows


def rows(*events: tuple[int, int], whole: int = 1) -> Rows:
    """Events of producer 0: (sequence, number)."""
    return np.array([(sequence, number, 0, whole) for sequence, number in events], SEEN)


def claims(path: Path, attempted: int, acknowledged: int) -> dict[int, Path]:
    """The ledger of producer 0."""
    written = Ledger(path / "claims-0")
    written.claim(ATTEMPTED, 0, attempted)
    written.claim(ACKNOWLEDGED, 0, acknowledged)
    return {0: path / "claims-0"}


FINE = rows((0, 0), (1, 1), (2, 2))


def test_a_run_in_which_all_went_well_has_no_findings(tmp_path: Path) -> None:
    findings = Findings()
    ledger.check_reference(findings, FINE, claims(tmp_path, 4, 2), 0)
    ledger.check_order(findings, "one", FINE)
    ledger.check_against(findings, "one", FINE[1:], FINE, gaps=False)
    ledger.check_durable(findings, "one", [FINE[:2], FINE[1:]], FINE)
    assert not findings.wrong
    assert (findings.acknowledged, findings.unacknowledged, findings.redelivered) == (2, 1, 1)


@pytest.mark.parametrize(
    ("attempted", "acknowledged", "seen", "pads", "what"),
    [
        (3, 3, rows((0, 0), (2, 2)), 1, "acknowledged, lost"),
        (2, 2, FINE, 0, "seen, never attempted"),
        (3, 0, rows((0, 0), (2, 2)), 0, "holes that are no Pads"),
    ],
)
def test_the_reference_is_held_against_what_producers_wrote(
    tmp_path: Path, *, attempted: int, acknowledged: int, seen: Rows, pads: int, what: str
) -> None:
    findings = Findings()
    ledger.check_reference(findings, seen, claims(tmp_path, attempted, acknowledged), pads)
    assert dict(findings.wrong) == {what: 1}


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (rows((0, 0), (0, 1)), "order or doubles"),
        (rows((0, 1), (1, 0)), "order or doubles"),
        (rows((0, 0), (1, 0)), "order or doubles"),
        (rows((0, 0), whole=0), "torn events"),
    ],
)
def test_what_comes_twice_or_out_of_order_or_torn_is_found(seen: Rows, what: str) -> None:
    findings = Findings()
    ledger.check_order(findings, "one", seen)
    assert dict(findings.wrong) == {what: 1}


def test_a_consumer_that_saw_less_or_something_else_is_found() -> None:
    findings = Findings()
    ledger.check_against(findings, "one", rows((0, 0), (2, 2)), FINE, gaps=False)
    ledger.check_against(findings, "watcher", rows((0, 0), (2, 2)), FINE, gaps=True)
    ledger.check_against(findings, "other", rows((0, 0), (1, 7)), FINE, gaps=False)
    assert dict(findings.wrong) == {"missed by a consumer that gates": 1, "other events than the others": 1}


def test_a_durable_consumer_that_left_something_out_is_found() -> None:
    findings = Findings()
    ledger.check_durable(findings, "one", [FINE[:1], FINE[2:]], FINE)
    assert dict(findings.wrong) == {"missed by a durable consumer": 1}


def test_who_stops_before_the_end_is_found() -> None:
    findings = Findings()
    ledger.check_end(findings, "one", FINE, FINE)
    ledger.check_end(findings, "other", FINE[:2], FINE)
    assert dict(findings.wrong) == {"missed by a consumer that gates": 1}


def test_a_record_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = claims(tmp_path, 1, 1)[0]
    broken = bytearray(path.read_bytes())
    broken[8] ^= 1
    path.write_bytes(broken)
    with pytest.raises(ValueError, match="wrong checksum"):
        ledger.read_claims(path)
