"""A tape: the trades and best quotes of one market, in the order they were received, and its file format.

Prices and quantities are whole numbers of the smallest step that the tape uses (`price_places`, `quantity_places`), so
that everything computed from them is exact. The file format is described in examples/data/README.md.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from ringbus.errors import FeedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

Int64Array: TypeAlias = "npt.NDArray[np.int64]"
Row: TypeAlias = tuple[Any, ...]
"""A trade (True, time, price, quantity, sold) or a quote (False, time, bid, bid quantity, ask, ask quantity)."""

TRADE_COLUMNS: Final = ("time", "exchange_ms", "id", "price", "quantity", "sold")
QUOTE_COLUMNS: Final = ("time", "exchange_ms", "id", "bid", "bid_quantity", "ask", "ask_quantity")
FORMAT: Final = "ringbus-tape"
VERSION: Final = 1
SAMPLE_NAME: Final = "btcusdt_20240808.tape.gz"
_MAX_TOTAL: Final = 2**62


@dataclass(frozen=True, eq=False)
class Tape:
    """The trades and best quotes of one market in the order they were received.

    Args:
        symbol: the market, such as BTCUSDT.
        price_places: prices are whole numbers of 10 ** -price_places.
        quantity_places: quantities are whole numbers of 10 ** -quantity_places.
        is_trade: one flag an event, in order; False is a quote.
        trades: an array for each of TRADE_COLUMNS; `sold` is 1 where the aggressor sold.
        quotes: an array for each of QUOTE_COLUMNS.

    Shapes:
        is_trade: (events,), bool; trades: (trades,), int64; quotes: (events - trades,), int64; `time` in ns.
    """

    symbol: str
    price_places: int
    quantity_places: int
    is_trade: npt.NDArray[np.bool_]
    trades: dict[str, Int64Array]
    quotes: dict[str, Int64Array]

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.is_trade)

    @property
    def duration_ns(self) -> int:
        """Time from the first event to the last."""
        times = self.times()
        return int(times[-1] - times[0]) if len(times) else 0

    def times(self) -> Int64Array:
        """Return the receive time of every event in ns, in order."""
        times = np.empty(len(self), np.int64)
        times[self.is_trade] = self.trades["time"]
        times[~self.is_trade] = self.quotes["time"]
        return times

    def rows(self) -> list[Row]:
        """Return every event as a tuple of plain Python numbers, in order."""
        trades: Iterator[Row] = zip(
            repeat(True),
            *(self.trades[name].tolist() for name in ("time", "price", "quantity")),
            self.trades["sold"].astype(bool).tolist(),
            strict=False,
        )
        names = ("time", "bid", "bid_quantity", "ask", "ask_quantity")
        quotes: Iterator[Row] = zip(repeat(False), *(self.quotes[name].tolist() for name in names), strict=False)
        return [next(trades) if is_trade else next(quotes) for is_trade in self.is_trade.tolist()]

    def head(self, events: int) -> Tape:
        """Return the first `events` events as a tape of their own."""
        is_trade = self.is_trade[:events]
        trades = int(is_trade.sum())
        quotes = len(is_trade) - trades
        return Tape(
            self.symbol,
            self.price_places,
            self.quantity_places,
            is_trade,
            {name: column[:trades] for name, column in self.trades.items()},
            {name: column[:quotes] for name, column in self.quotes.items()},
        )


def check_range(tape: Tape, path: Path) -> None:
    """Refuse a tape whose values could leave 64 bits on their way through the pipeline.

    Args:
        tape: the tape.
        path: the file that it was read from, for the message.

    Raises:
        FeedError: when price times all the quantity ever traded does not fit.
    """
    traded = sum(tape.trades["quantity"].tolist())
    prices = (tape.trades["price"], tape.quotes["bid"], tape.quotes["ask"])
    highest = max(int(column.max(initial=0)) for column in prices)
    if 4 * highest * max(traded, 1) >= _MAX_TOTAL:
        raise FeedError(
            str(path),
            0,
            f"prices with {tape.price_places} places times a total quantity with {tape.quantity_places} places do not "
            "fit 64-bit integers; --limit takes fewer events",
        )


def sample_path() -> Path:
    """Return where the tape lies that comes with ringbus (the same in a checkout and when installed)."""
    return Path(__file__).parent / "data" / SAMPLE_NAME


def write_tape(tape: Tape, path: Path, **notes: str) -> None:
    """Write a tape in our own compact format.

    The same tape always gives the same bytes.

    Args:
        tape: what to write.
        path: the file, which is replaced.
        notes: what else the header shall say, such as origin and licence.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "symbol": tape.symbol,
        "price_places": tape.price_places,
        "quantity_places": tape.quantity_places,
        "trades": len(tape.trades["time"]),
        "quotes": len(tape.quotes["time"]),
        **notes,
    }
    body = b"".join(chain([json.dumps(header).encode(), b"\n", np.packbits(tape.is_trade).tobytes()], _columns(tape)))
    path.write_bytes(gzip.compress(body, 9, mtime=0))


def decode_tape(body: bytes, path: Path) -> Tape:
    """Read a tape from the (decompressed) contents of a tape file.

    Args:
        body: the contents.
        path: where they come from, for messages.

    Returns:
        The tape.

    Raises:
        FeedError: when the header is wrong or the contents do not have the size that it says.
    """
    head, _, data = body.partition(b"\n")
    header = _Header.parse(head, path)
    if len(data) != header.body_bytes:
        wrong = f"{len(data):,} bytes of columns where the header calls for {header.body_bytes:,}"
        raise FeedError(str(path), 0, wrong)
    is_trade = np.unpackbits(np.frombuffer(data, np.uint8, header.flag_bytes), count=header.events).astype(bool)
    if int(is_trade.sum()) != header.trades:
        raise FeedError(str(path), 0, f"{int(is_trade.sum()):,} events are trades, the header says {header.trades:,}")
    tape = _build(header, is_trade, memoryview(data)[header.flag_bytes :])
    _check_values(tape, path)
    return tape


@dataclass(frozen=True)
class _Header:
    symbol: str
    price_places: int
    quantity_places: int
    trades: int
    quotes: int

    @property
    def events(self) -> int:
        return self.trades + self.quotes

    @property
    def flag_bytes(self) -> int:
        return -(-self.events // 8)

    @property
    def body_bytes(self) -> int:
        own = self.trades * len(TRADE_COLUMNS[1:]) + self.quotes * len(QUOTE_COLUMNS[1:])
        return self.flag_bytes + 8 * (self.events + own)

    @classmethod
    def parse(cls, head: bytes, path: Path) -> _Header:
        try:
            header = json.loads(head)
            known = (header["format"], header["version"]) == (FORMAT, VERSION)
            numbers = [header[name] for name in ("price_places", "quantity_places", "trades", "quotes")]
            symbol = header["symbol"]
        except (ValueError, LookupError, TypeError) as error:
            raise FeedError(str(path), 1, "the header of this tape file is damaged") from error
        if not known or not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
            raise FeedError(str(path), 1, f"the header is not one of {FORMAT} version {VERSION}")
        return cls(str(symbol), *numbers)


def _check_values(tape: Tape, path: Path) -> None:
    prices = (tape.trades["price"], tape.quotes["bid"], tape.quotes["ask"])
    sizes = (tape.trades["quantity"], tape.quotes["bid_quantity"], tape.quotes["ask_quantity"])
    if any(column.min(initial=1) < 1 for column in prices) or any(column.min(initial=0) < 0 for column in sizes):
        raise FeedError(str(path), 0, "holds a price or a quantity under zero: the file is damaged")
    if len(tape) and np.diff(tape.times()).min(initial=0) < 0:
        raise FeedError(str(path), 0, "the receive times go back: the file is damaged")


def _columns(tape: Tape) -> Iterator[bytes]:
    yield _pack(tape.times())
    yield from (_pack(tape.trades[name]) for name in TRADE_COLUMNS[1:])
    yield from (_pack(tape.quotes[name]) for name in QUOTE_COLUMNS[1:])


def _build(header: _Header, is_trade: npt.NDArray[np.bool_], data: memoryview) -> Tape:
    times, data = _unpack(data, len(is_trade))
    trades, data = _table(TRADE_COLUMNS, times[is_trade], data)
    quotes, data = _table(QUOTE_COLUMNS, times[~is_trade], data)
    return Tape(header.symbol, header.price_places, header.quantity_places, is_trade, trades, quotes)


def _table(names: Sequence[str], times: Int64Array, data: memoryview) -> tuple[dict[str, Int64Array], memoryview]:
    table = {names[0]: times}
    for name in names[1:]:
        table[name], data = _unpack(data, len(times))
    return table, data


def _pack(column: Int64Array) -> bytes:
    """Differences, the sign in the lowest bit, then all lowest bytes, all second bytes and so on: zlib likes that."""
    steps = np.diff(column, prepend=np.int64(0))
    zigzag = (steps << 1) ^ (steps >> 63)
    return zigzag.astype("<i8").view(np.uint8).reshape(-1, 8).T.tobytes()


def _unpack(data: memoryview, rows: int) -> tuple[Int64Array, memoryview]:
    planes = np.frombuffer(data, np.uint8, 8 * rows).reshape(8, rows)
    zigzag = np.ascontiguousarray(planes.T).view("<u8").reshape(rows)
    steps = (zigzag >> np.uint64(1)).astype(np.int64) ^ -(zigzag & np.uint64(1)).astype(np.int64)
    return np.cumsum(steps, dtype=np.int64), data[8 * rows :]
