"""Make the tape that comes with ringbus from the raw feed.

Usage: python tools/make_sample.py RAW_FEED.jsonl.gz [examples/data/btcusdt_20240808.tape.gz]

The same feed always gives the same bytes. See examples/data/README.md for the feed's origin and licence.
"""

import sys
from pathlib import Path

from ringbus.demo.feed import load
from ringbus.demo.tape import SAMPLE_NAME, write_tape

ORIGIN = "Binance USD-M futures, by way of github nkaz001/hftbacktest, examples/usdm, commit 5f3ec40"
TARGET = Path(__file__).parent.parent / "examples" / "data" / SAMPLE_NAME


def main(feed: str, target: str = str(TARGET)) -> None:
    """Read the feed, which must be without a fault, and write the tape."""
    tape, report = load(Path(feed), strict=True)
    write_tape(tape, Path(target), origin=ORIGIN, licence="MIT")
    size = Path(target).stat().st_size
    print(f"{target}: {report.trades:,} trades and {report.quotes:,} best quotes in {size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
