"""The contestants in Python: one measure a process, one line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from options import parse
from registry import entries

_HAS_NOT = 3


def main() -> int:
    """Measure what was asked for."""
    wants_list, options = parse()
    found = entries()
    if wants_list:
        print(json.dumps([entry.as_data() for entry in found]))
        return 0
    for entry in found:
        if (entry.scenario, entry.contestant) == (options.scenario, options.contestant) and options.wait in entry.waits:
            print(entry.run(options).as_json(options))
            return 0
    print(f"no {options.contestant!r} in {options.scenario!r} that waits by {options.wait!r}", file=sys.stderr)
    return _HAS_NOT


if __name__ == "__main__":
    sys.exit(main())
