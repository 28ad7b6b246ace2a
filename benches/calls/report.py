"""Tables for people, a record for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from measure import Row, Table, Verdict

HEADER = ("", "ns/event", "(low - high)", "events/s", "mean batch")


def print_table(table: Table) -> None:
    """One scenario: its sides, then its bars."""
    print(f"\n{table.title}\n  {table.note}")
    if table.rows:
        _print_rows([HEADER, *(_cells(row) for row in table.rows)])
    for verdict in table.verdicts:
        print(f"  {'met   ' if verdict.met else 'MISSED'}  {_sentence(verdict)}")


def _sentence(verdict: Verdict) -> str:
    return f"{verdict.text}: {verdict.measured} (bar: {verdict.wanted})"


def _cells(row: Row) -> tuple[str, ...]:
    batch = "" if row.mean_batch is None else f"{row.mean_batch:,.1f}"
    return (row.name, f"{row.ns:,.1f}", f"({row.low:,.1f} - {row.high:,.1f})", f"{row.per_second:,.0f}", batch)


def _print_rows(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for name, *cells in rows:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        print(f"  {name.ljust(widths[0])}  {numbers}".rstrip())


def print_summary(tables: Sequence[Table]) -> None:
    """How many bars were met, and again those that were not."""
    verdicts = [verdict for table in tables for verdict in table.verdicts]
    missed = [verdict for verdict in verdicts if not verdict.met]
    print(f"\n{len(verdicts) - len(missed)} of {len(verdicts)} bars met")
    for verdict in missed:
        print(f"  MISSED  {_sentence(verdict)}")


def record(tables: Sequence[Table], facts: dict[str, object], loads: tuple[str, str]) -> dict[str, Any]:
    """Everything that was printed, for `--json`."""
    return {
        "machine": {**facts, "load_before": loads[0], "load_after": loads[1]},
        "tables": [
            {
                "title": table.title,
                "note": table.note,
                "rows": [{**asdict(row), "per_second": row.per_second} for row in table.rows],
                "bars": [asdict(verdict) for verdict in table.verdicts],
            }
            for table in tables
        ],
    }
