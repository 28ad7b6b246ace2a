"""The suite's command line: measure, make the page, compare two records."""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suite import bars, check, contestants, garbage, machine, record, runner, scenarios, tables
from suite.page import write_page
from suite.record import Record, RecordError

WRONG = 2
"""The exit code where somebody got something else than was sent."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what was asked for, by these words or by the command line."""
    options = _options(words)
    try:
        return int(options.do(options))
    except RecordError as error:
        raise SystemExit(str(error)) from error


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/bench.py", description=__doc__)
    parser.set_defaults(do=_measure, quick=False, only=None, contestant=None, runs=None, out=record.NEW)
    _measuring(parser)
    commands = parser.add_subparsers(title="commands; without one it measures")
    page = commands.add_parser("page", help="make docs/benchmarks.md and its pictures from a record")
    page.add_argument("record", nargs="?", type=Path, help="left out, the last one kept")
    page.set_defaults(do=_page)
    keep = commands.add_parser("keep", help="keep the new record under its day, and make the page from it")
    keep.set_defaults(do=_keep)
    compare = commands.add_parser("check", help="compare two records ratio by ratio")
    compare.add_argument("new", nargs="?", type=Path, default=record.NEW)
    compare.add_argument("old", nargs="?", type=Path, help="left out, the last one kept")
    compare.set_defaults(do=_check)
    return parser.parse_args(words)


def _measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="one process a side, few events: under 3 minutes")
    parser.add_argument(
        "--only", action="append", metavar="ID", help="this scenario only, or all that begin so; repeatable"
    )
    parser.add_argument("--contestant", action="append", metavar="NAME", help="sides whose name or language has this")
    parser.add_argument("--runs", type=int, help="processes of each side")
    parser.add_argument("--out", type=Path, default=record.NEW, help="where the record goes")


def _say(text: str) -> None:
    print(text, flush=True)


def _measure(options: argparse.Namespace) -> int:
    """Run the scenarios, print each table, write the record."""
    effort = runner.Effort.quick() if options.quick else runner.Effort()
    if options.runs is not None:
        effort = runner.Effort(**{**asdict(effort), "runs": options.runs})
    begin = time.monotonic()
    programs, missing = contestants.programs()
    sides, silent = contestants.assemble(programs)
    where: dict[str, Any] = {**machine.facts(), "load_before": machine.load()}
    _say(f"{machine.in_words(where)}; load {where['load_before']}")
    for word in (*missing, *silent):
        _say(f"  {word}")
    data: dict[str, Any] = {
        "format": record.FORMAT,
        "day": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "quick": options.quick,
        "runs": effort.runs,
        "picked": [*(options.only or ()), *(options.contestant or ())],
        "machine": where,
        "missing": [*missing, *silent],
        "scenarios": [],
    }
    result = Record(data)
    for scenario in _chosen(options.only, quick=options.quick):
        _say(f"\n{scenario.id}")
        taking_part = _matching(_named(sides.get(scenario.program, []), scenario), options.contestant)
        data["scenarios"].append(runner.measure(runner.limited(scenario, effort), taking_part, effort, _say))
        _say(tables.text(result, scenario.id))
    if options.only is None:
        data["garbage"] = garbage.count(options.quick, _say)
    where["load_after"] = machine.load()
    data["minutes"] = round((time.monotonic() - begin) / 60, 1)
    return _finish(result, options.out)


def _finish(result: Record, out: Path) -> int:
    verdicts = bars.verdicts(result)
    result.data["bars"] = bars.as_data(verdicts)
    result.save(out)
    _say("\nBars")
    for verdict in verdicts:
        _say(f"  {verdict.word:<6}  {verdict.text}: {verdict.measured} (bar: {verdict.wanted})")
    met = sum(verdict.met is True for verdict in verdicts)
    after = result.data["machine"]["load_after"]
    _say(f"{met} of {len(verdicts)} bars met; load {after}; {result.data['minutes']} minutes; {out}")
    wrong = result.wrong()
    for row in wrong:
        _say(f"WRONG: {row.scenario}: {row.label}: {row.facts['word']}")
    return WRONG if wrong else 0


def _chosen(only: Sequence[str] | None, *, quick: bool) -> list[scenarios.Scenario]:
    """The scenarios asked for; without a word all, and in a quick run those that are quick."""
    every = scenarios.every()
    if only is None:
        return [scenario for scenario in every if scenario.in_quick or not quick]
    exact = {scenario.id for scenario in every} & set(only)
    begins = tuple(name for name in only if name not in exact)
    chosen = [scenario for scenario in every if scenario.id in exact or (begins and scenario.id.startswith(begins))]
    if not chosen:
        raise SystemExit(f"no scenario is called {', '.join(only)}; there are {', '.join(s.id for s in every)}")
    return chosen


def _named(sides: Sequence[contestants.Contestant], scenario: scenarios.Scenario) -> list[contestants.Contestant]:
    """Those that this scenario wants."""
    found = [side for side in sides if not scenario.sides or side.begins_with(scenario.sides)]
    return [side for side in found if scenario.id == "harness" or side.language == "python" or not side.is_harness]


def _matching(sides: Sequence[contestants.Contestant], words: Sequence[str] | None) -> list[contestants.Contestant]:
    if words is None:
        return list(sides)
    return [side for side in sides if any(word in f"{side.language} {side.name}" for word in words)]


def _page(options: argparse.Namespace) -> int:
    path = options.record or _newest()
    for written in write_page(Record.load(path), path):
        _say(str(written))
    return 0


def _keep(_options: argparse.Namespace) -> int:
    found = Record.load(record.NEW)
    if found.picked:
        raise RecordError(f"{record.NEW} holds only {', '.join(found.picked)}; run `make bench` without picking")
    path = record.FOLDER / f"{found.data['day']}-ringbus-{found.data['machine']['ringbus']}.json"
    found.save(path)
    _say(str(path))
    for written in write_page(found, path):
        _say(str(written))
    return 0


def _check(options: argparse.Namespace) -> int:
    """1 where something got worse beyond the noise, or is gone."""
    old = options.old or _newest()
    before, after = Record.load(old), Record.load(options.new)
    _say(f"{options.new} ({after})\nagainst {old} ({before})")
    changes = check.compare(before, after)
    lost, dirtier = check.vanished(before, after), check.dirtier(before, after)
    if not changes and not lost:
        raise RecordError("the two records have no scenario with the same sides; nothing was compared")
    worse, better = ([c for c in changes if c.is_worse], [c for c in changes if c.is_better])
    for word, found in (("better", better), ("WORSE", worse)):
        for change in found:
            _say(f"{word}  {change}")
    for name in dirtier:
        _say(f"WORSE  {name}")
    for name in lost:
        _say(f"GONE  {name}")
    _say(f"{len(changes)} ratios: {len(better)} better, {len(worse)} worse, the others within the noise")
    return 1 if worse or lost or dirtier else 0


def _newest() -> Path:
    """The last record that was kept.

    Raises:
        RecordError: none is.
    """
    found = record.newest()
    if found is None:
        raise RecordError(f"no record is kept in {record.FOLDER}; run `make bench`, then `make bench-keep`")
    return found
