"""Plants each fault of the core, one after the other, and requires that a loom test catches it.

The faults are the keys in `crates/ringbus-core/src/planted.rs`; a loom build switches one on by the environment
variable `RINGBUS_PLANTED`. A twin is caught when a loom test fails; the rest of that run is then cut short. The same
tests without a twin must pass: that is `make loom`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TWINS = Path("crates/ringbus-core/src/planted.rs")
CARGO_TEST = ["cargo", "test", "--locked", "--package", "ringbus-core", "--profile", "checked", "--test", "loom*"]
FAILED = re.compile(r"^test (\S+).* \.\.\. FAILED|^test result: FAILED")
CRASHES = {-signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGSEGV}


def main() -> int:
    """Run the chosen twins, print a line for each, and return 1 if one was missed."""
    options = parse_arguments()
    keys = [key for key in planted_keys() if not options.only or key in options.only]
    binaries = build(options.target_dir)
    missed = [key for key in keys if not report(key, binaries, options.timeout)]
    print(f"{len(keys) - len(missed)} of {len(keys)} planted faults caught")
    return 1 if missed or not keys else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="TWIN", help="plant these alone (default: all)")
    parser.add_argument("--target-dir", default="target/loom", help="cargo's target directory (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one twin (default: %(default)s)")
    return parser.parse_args()


def planted_keys() -> list[str]:
    """Read the names of all twins from the source."""
    return re.findall(r'^ +[A-Z]\w+ = "([a-z0-9-]+)",$', TWINS.read_text(encoding="utf-8"), re.MULTILINE)


def build(target_dir: str) -> list[str]:
    """Compile the loom tests once and return their executables."""
    command = [*CARGO_TEST, "--target-dir", target_dir, "--no-run", "--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = map(json.loads, output.splitlines())
    binaries = [message["executable"] for message in messages if message.get("executable")]
    return binaries or sys.exit("cargo built no loom test: is there a crates/ringbus-core/tests/loom*.rs?")


def report(key: str, binaries: list[str], timeout: float) -> bool:
    """Plant one twin, say who caught it and how fast, and return whether anybody did."""
    start = time.monotonic()
    catcher = next(filter(None, (run(key, binary, start + timeout) for binary in binaries)), None)
    print(f"{key:32} {catcher or 'MISSED':60} {time.monotonic() - start:6.1f} s", flush=True)
    return catcher is not None


def run(key: str, binary: str, deadline: float) -> str | None:
    """Run one test program with a twin in it; return the name of the first test that fails."""
    environment = {**os.environ, "RINGBUS_PLANTED": key, "RUST_BACKTRACE": "0"}
    with subprocess.Popen(
        [binary], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        limit = threading.Timer(max(1.0, deadline - time.monotonic()), program.terminate)
        limit.start()
        try:
            return first_failure(program, Path(binary).name)
        finally:
            limit.cancel()
            program.kill()


def first_failure(program: subprocess.Popen[str], name: str) -> str | None:
    """Read the program's lines up to the first failure; a crash counts as one, the end of its time does not."""
    for line in program.stdout or ():
        if match := FAILED.match(line):
            return match[1] or name
    return f"{name} aborted" if program.wait() in CRASHES else None


if __name__ == "__main__":
    sys.exit(main())
