"""The benchmark suite's command: see suite/command.py."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from suite.command import main

if __name__ == "__main__":
    sys.exit(main())
