"""Measures the calls of ringbus against what Python has, and says for each bar whether it is met.

`threads` is about one process, `processes` about rings between several. Every ratio is between two sides of one run,
taken in turn; the times are those of this machine at this hour. A missed bar is printed; only `--check` makes it an
exit code. A side that delivers something wrong ends the run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from events import WrongResultError
from measure import ROUNDS, Table
from report import print_summary, print_table, record
from scenarios import SUITES, Scenario

from suite import machine


def main() -> int:
    """Run what was asked for."""
    options = _options()
    before, begin = machine.load(), time.monotonic()
    facts = machine.facts()
    print(machine.in_words(facts))
    print(f"load {before}; median of {ROUNDS} rounds, the sides in turn; each side's result is checked")
    tables: list[Table] = []
    try:
        for scenario in _chosen(options.suite, options.only):
            tables.append(scenario(options.quick))
            print_table(tables[-1])
            sys.stdout.flush()
    except WrongResultError as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 2
    print_summary(tables)
    print(f"load {machine.load()}; {time.monotonic() - begin:.0f} s")
    if options.json is not None:
        written = json.dumps(record(tables, facts, (before, machine.load())), indent=2)
        options.json.write_text(f"{written}\n", encoding="utf-8")
    missed = any(not verdict.met for table in tables for verdict in table.verdicts)
    return 1 if missed and options.check else 0


def _chosen(suite: str, only: list[str] | None) -> list[Scenario]:
    """The scenarios that were asked for.

    Raises:
        SystemExit: there is none of that name.
    """
    scenarios = SUITES[suite]
    for name in only or ():
        if name not in scenarios:
            raise SystemExit(f"{suite} has no scenario {name!r}; it has {', '.join(scenarios)}")
    return [scenarios[name] for name in only or scenarios]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/calls/run.py", description=__doc__)
    parser.add_argument("suite", nargs="?", choices=list(SUITES), default="threads")
    parser.add_argument("--quick", action="store_true", help="fewer events: about two minutes")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a record of the run")
    parser.add_argument("--only", action="append", metavar="NAME", help="this scenario only; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
