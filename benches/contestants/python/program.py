"""The contestants in Python: one measure a process, one line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from options import parse
from registry import entries, find

_HAS_NOT = 3


def main() -> int:
    """Measure what was asked for."""
    wants_list, options = parse()
    if wants_list:
        print(json.dumps([entry.as_data() for entry in entries()]))
        return 0
    entry = find(options.scenario, options.contestant, options.wait)
    if entry is not None:
        print(entry.run(options).as_json(options))
        return 0
    print(f"no {options.contestant!r} in {options.scenario!r} that waits by {options.wait!r}", file=sys.stderr)
    return _HAS_NOT


if __name__ == "__main__":
    sys.exit(main())
