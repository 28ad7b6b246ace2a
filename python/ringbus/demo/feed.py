"""Reads a tape from a file: the raw Binance feed, plain or gzipped, or a tape in our own format.

A line of the raw feed is `<receive time, ns> <JSON>`. Trades and best quotes are taken, all other streams are counted.
What cannot be read is counted too and named by its line; nothing is guessed or repaired.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

import numpy as np

from ringbus.demo.tape import FORMAT, QUOTE_COLUMNS, TRADE_COLUMNS, Int64Array, Tape, check_range, decode_tape
from ringbus.errors import FeedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLACES: Final = 8
"""The most decimal places that a price or a quantity may have."""
SHOWN: Final = 5
"""How many bad lines are kept to be shown."""
_LINE_BYTES: Final = 4 << 20
_PROGRESS_LINES: Final = 5000
_DECIMAL: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,24}))?")
_INT64_MAX: Final = 2**63 - 1
_GZIP_MAGIC: Final = b"\x1f\x8b"
_TAPE_MAGIC: Final = f'{{"format": "{FORMAT}"'.encode()

Message: TypeAlias = dict[str, Any]


class Lines(Protocol):
    """What is needed of an open file."""

    def readline(self, size: int, /) -> bytes:
        """Read a line of at most `size` bytes."""
        ...

    def read(self) -> bytes:
        """Read all the rest."""
        ...


@dataclass(frozen=True)
class BadLine:
    """A line that could not be used.

    Args:
        number: its number, from 1.
        fact: what is wrong with it.
    """

    number: int
    fact: str


@dataclass(frozen=True)
class FeedReport:
    """What was found in a file.

    Args:
        path: the file.
        lines: lines read; 0 for a tape in our own format.
        trades: trades taken.
        quotes: best quotes taken.
        others: lines of other streams, counted by stream.
        bad: lines that could not be used.
        first_bad: the first few of them.
        cut: how the file ended early, or None when it was read to its end.
    """

    path: Path
    lines: int
    trades: int
    quotes: int
    others: dict[str, int]
    bad: int
    first_bad: tuple[BadLine, ...]
    cut: str | None


def load(
    path: Path,
    *,
    strict: bool = False,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tape, FeedReport]:
    """Read a tape from a raw feed or from a file in our own format.

    Args:
        path: the file; whether it is gzipped and what it holds is seen from its first bytes.
        strict: take a bad line or an early end for an error.
        limit: stop after this many trades and quotes, at least 1.
        progress: called with the number of lines read, now and then.

    Returns:
        The tape and what was found on the way.

    Raises:
        FeedError: when the file cannot be opened, holds no event, or (strict) has a bad line or an early end.
    """
    try:
        with path.open("rb") as file:
            zipped = file.peek(2)[:2] == _GZIP_MAGIC
            lines = cast("Lines", gzip.GzipFile(fileobj=file)) if zipped else file
            return _load(lines, path, _Reader(path, strict, limit), progress)
    except OSError as error:
        raise FeedError(str(path), 0, f"cannot be read: {error.strerror or error}") from error


def _load(file: Lines, path: Path, reader: _Reader, progress: Callable[[int], None] | None) -> tuple[Tape, FeedReport]:
    lines = reader.lines(file)
    first = next(lines, b"")
    if first.startswith(_TAPE_MAGIC):
        return _load_tape(first, file, path, reader.limit)
    if first:
        reader.take(first)
    for line in lines:
        if reader.full:
            break
        reader.take(line)
        if progress and reader.number % _PROGRESS_LINES == 0:
            progress(reader.number)
    return reader.finish()


def _load_tape(first: bytes, file: Lines, path: Path, limit: int | None) -> tuple[Tape, FeedReport]:
    try:
        tape = decode_tape(first + file.read(), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FeedError(str(path), 0, f"this tape file is damaged ({error}): fetch it again") from error
    tape = tape.head(limit or len(tape))
    if not len(tape):
        raise FeedError(str(path), 0, "holds no trade and no best quote")
    check_range(tape, path)
    return tape, FeedReport(path, 0, len(tape.trades["time"]), len(tape.quotes["time"]), {}, 0, (), None)


class _LineError(ValueError):
    """Says what is wrong with a line."""


def parse_decimal(text: object, name: str) -> int:
    """Read a decimal exactly, as a whole number of 10 ** -PLACES.

    Args:
        text: digits, with or without a point.
        name: what it is, for the message.

    Returns:
        The scaled number.

    Raises:
        ValueError: when it is not a decimal in digits, has more than PLACES places, or is 10 ** 10 or more.
    """
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _LineError(f"{name} is {_short(text)}, not a decimal in a string")
    whole, fraction = match.groups(default="")
    fraction = fraction.rstrip("0")
    if len(fraction) > PLACES:
        raise _LineError(f"{name} is {_short(text)}, with more than {PLACES} places")
    return int(whole + fraction.ljust(PLACES, "0"))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _integer(message: Message, name: str, default: int | None = None) -> int:
    value = message.get(name, default)
    if type(value) is not int or not 0 <= value <= _INT64_MAX:
        raise _LineError(f"{name} is {_short(value)}, not a whole number of 64 bits")
    return value


def _price(message: Message, name: str) -> int:
    price = parse_decimal(message.get(name), name)
    if price == 0:
        raise _LineError(f"{name} is zero")
    return price


def _trade(message: Message) -> tuple[int, ...]:
    quantity = parse_decimal(message.get("q"), "q")
    sold = message.get("m")
    if quantity == 0:
        raise _LineError("q is zero")
    if type(sold) is not bool:
        raise _LineError(f"m is {_short(sold)}, neither true nor false")
    return _integer(message, "T"), _integer(message, "t"), _price(message, "p"), quantity, int(sold)


def _quote(message: Message) -> tuple[int, ...]:
    bid, ask = _price(message, "b"), _price(message, "a")
    if bid > ask:
        raise _LineError(f"the bid {_short(message['b'])} is over the ask {_short(message['a'])}")
    sizes = parse_decimal(message.get("B"), "B"), parse_decimal(message.get("A"), "A")
    return _integer(message, "T", 0), _integer(message, "u"), bid, sizes[0], ask, sizes[1]


def _decode(line: bytes) -> tuple[int, Message]:
    stamp, _, text = line.partition(b" ")
    if not stamp.isdigit() or len(stamp) > 19 or int(stamp) > _INT64_MAX:
        raise _LineError("does not begin with a receive time in ns")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _LineError("what follows the time is not JSON") from error
    if not isinstance(message, dict):
        raise _LineError("what follows the time is not a JSON object")
    return int(stamp), message


def _stream(message: Message) -> str:
    if "lastUpdateId" in message and "stream" not in message:
        return "snapshot"
    stream = message.get("stream")
    if not isinstance(stream, str) or "@" not in stream:
        raise _LineError(f"stream is {_short(stream)}, not of the form symbol@stream")
    return stream.partition("@")[2].partition("@")[0]


@dataclass
class _Reader:
    """Collects the events of a raw feed, line by line."""

    path: Path
    strict: bool
    limit: int | None
    number: int = 0
    bad: int = 0
    symbol: str | None = None
    last_time: int = 0
    cut: str | None = None
    is_trade: list[bool] = field(default_factory=list)
    trades: list[tuple[int, ...]] = field(default_factory=list)
    quotes: list[tuple[int, ...]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    first_bad: list[BadLine] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return self.limit is not None and len(self.is_trade) >= self.limit

    def lines(self, file: Lines) -> Iterator[bytes]:
        """Yield line after line; an end in the middle of gzip is noted and ends it."""
        try:
            while line := file.readline(_LINE_BYTES):
                yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.cut = f"the gzip data ends early or is damaged after line {self.number:,} ({error})"
            if self.strict:
                raise FeedError(str(self.path), self.number, self.cut) from error

    def take(self, line: bytes) -> None:
        self.number += 1
        line = line.strip()
        if not line:
            return
        try:
            self._add(*_decode(line))
        except _LineError as error:
            if self.strict:
                raise FeedError(str(self.path), self.number, str(error)) from error
            self.bad += 1
            if self.bad <= SHOWN:
                self.first_bad.append(BadLine(self.number, str(error)))

    def _add(self, time: int, message: Message) -> None:
        stream = _stream(message)
        if stream not in ("trade", "bookTicker"):
            self.others[stream] += 1
            return
        data = message.get("data")
        if not isinstance(data, dict):
            raise _LineError("data is not a JSON object")
        values = _trade(data) if stream == "trade" else _quote(data)
        self._check(time, data.get("s"))
        self.last_time = time
        self.is_trade.append(stream == "trade")
        (self.trades if stream == "trade" else self.quotes).append((time, *values))

    def _check(self, time: int, symbol: object) -> None:
        if not isinstance(symbol, str) or not symbol:
            raise _LineError(f"s is {_short(symbol)}, not a symbol")
        if self.symbol not in (None, symbol):
            raise _LineError(f"the symbol is {_short(symbol)}, the feed's is {self.symbol}: one symbol a tape")
        if time < self.last_time:
            raise _LineError(f"the receive time {time} is before that of an earlier line ({self.last_time})")
        self.symbol = symbol

    def finish(self) -> tuple[Tape, FeedReport]:
        if self.symbol is None:
            raise FeedError(str(self.path), 0, self._why_empty())
        tape = _scaled(self.symbol, self.is_trade, self.trades, self.quotes)
        check_range(tape, self.path)
        counts = len(self.trades), len(self.quotes), dict(self.others), self.bad, tuple(self.first_bad)
        return tape, FeedReport(self.path, self.number, *counts, self.cut)

    def _why_empty(self) -> str:
        first = "".join(f"; line {bad.number}: {bad.fact}" for bad in self.first_bad[:1])
        cut = f"; {self.cut}" if self.cut else ""
        return f"holds no trade and no best quote ({self.number:,} lines, {self.bad:,} bad{first}{cut})"


def _scaled(symbol: str, is_trade: list[bool], trades: list[tuple[int, ...]], quotes: list[tuple[int, ...]]) -> Tape:
    """Go from PLACES decimal places to as many as the tape needs."""
    trade_table = _table(TRADE_COLUMNS, trades)
    quote_table = _table(QUOTE_COLUMNS, quotes)
    prices = [(trade_table, "price"), (quote_table, "bid"), (quote_table, "ask")]
    sizes = [(trade_table, "quantity"), (quote_table, "bid_quantity"), (quote_table, "ask_quantity")]
    places = _shorten(prices), _shorten(sizes)
    return Tape(symbol, *places, np.array(is_trade, bool), trade_table, quote_table)


def _table(names: tuple[str, ...], rows: list[tuple[int, ...]]) -> dict[str, Int64Array]:
    columns = np.array(rows, np.int64).reshape(-1, len(names)).T
    return {name: np.ascontiguousarray(column) for name, column in zip(names, columns, strict=True)}


def _shorten(columns: list[tuple[dict[str, Int64Array], str]]) -> int:
    places = PLACES
    while places and not any(np.any(table[name] % 10) for table, name in columns):
        for table, name in columns:
            table[name] //= 10
        places -= 1
    return places
