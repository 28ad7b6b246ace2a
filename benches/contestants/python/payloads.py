"""What the peers send, and the loops that send and receive it: as objects, or as bytes where a peer carries only those.

Both loops call only what they need, bound to local names; the receiving one gives the checksum.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Put = Callable[[Any], object]
Get = Callable[[], Any]

SYMBOL = "BTC-USD"
QUANTITY = 0.5
ROWS = 1024
"""Rows of a block."""
COLUMNS = 8
"""Columns of an event that holds whole columns."""

WIDE = np.dtype([("number", "i8"), ("values", "f8", (7,))])
"""A row of 64 bytes."""

_FIELDS = struct.Struct("<16sqdd24x")
"""Filled up to 64 bytes: some peers have messages of one size only."""
_SYMBOL = SYMBOL.encode()


class Payload(NamedTuple):
    """A pair of loops over so many events."""

    send: Callable[[Put, int], None]
    receive: Callable[[Get, int], int]


def _send_tuples(put: Put, events: int) -> None:
    symbol, quantity = SYMBOL, QUANTITY
    for number in range(events):
        put((symbol, number, float(number), quantity))


def _receive_tuples(get: Get, events: int) -> int:
    numbers, prices = 0, 0.0
    for _ in repeat(None, events):
        _symbol, number, price, _quantity = get()
        numbers += number
        prices += price
    return numbers + int(prices)


def _send_packed(put: Put, events: int) -> None:
    pack, symbol, quantity = _FIELDS.pack, _SYMBOL, QUANTITY
    for number in range(events):
        put(pack(symbol, number, float(number), quantity))


def _receive_packed(get: Get, events: int) -> int:
    unpack = _FIELDS.unpack
    numbers, prices = 0, 0.0
    for _ in repeat(None, events):
        _symbol, number, price, _quantity = unpack(get())
        numbers += number
        prices += price
    return numbers + int(prices)


def _send_dicts(put: Put, events: int) -> None:
    symbol, quantity = SYMBOL, QUANTITY
    for number in range(events):
        put({"symbol": symbol, "number": number, "price": float(number), "quantity": quantity})


def _receive_dicts(get: Get, events: int) -> int:
    numbers, prices = 0, 0.0
    for _ in repeat(None, events):
        event = get()
        numbers += event["number"]
        prices += event["price"]
    return numbers + int(prices)


def _send_pickled_dicts(put: Put, events: int) -> None:
    dumps = pickle.dumps
    _send_dicts(lambda event: put(dumps(event, 5)), events)


def _receive_pickled_dicts(get: Get, events: int) -> int:
    loads = pickle.loads
    return _receive_dicts(lambda: loads(get()), events)


MESSAGES = [bytes([number]) + bytes(63) for number in range(256)]
"""Messages of 64 bytes; the first is the number modulo 256."""


def _send_bytes(put: Put, events: int) -> None:
    messages = MESSAGES
    for number in range(events):
        put(messages[number & 255])


def _receive_bytes(get: Get, events: int) -> int:
    total = 0
    for _ in repeat(None, events):
        message = get()
        total += message[0] + len(message)
    return total


def fill_rows(rows: Any, numbers: npt.NDArray[np.int64]) -> None:
    """What a sender writes into a block of rows."""
    rows["number"] = numbers
    rows["values"] = 1.5


def blocks(events: int) -> Any:
    """The numbers of each block: one array that moves on in place."""
    numbers = np.arange(ROWS)
    for _ in repeat(None, events // ROWS):
        yield numbers
        numbers += ROWS


def _send_fresh_rows(put: Put, events: int) -> None:
    for numbers in blocks(events):
        rows = np.empty(ROWS, WIDE)
        fill_rows(rows, numbers)
        put(rows)


def _send_rows(put: Put, events: int) -> None:
    rows = np.empty(ROWS, WIDE)
    data = rows.view("u1")
    for numbers in blocks(events):
        fill_rows(rows, numbers)
        put(data)


def _receive_rows(get: Get, events: int) -> int:
    return sum(int(get()["number"].sum()) for _ in repeat(None, events // ROWS))


def _receive_row_bytes(get: Get, events: int) -> int:
    return sum(int(np.frombuffer(get(), WIDE)["number"].sum()) for _ in repeat(None, events // ROWS))


def fill_columns(columns: Any, numbers: npt.NDArray[np.int64]) -> None:
    """What a sender writes into whole columns: the numbers, and seven columns of a constant."""
    columns[0] = numbers
    columns[1:] = 3


def _send_fresh_columns(put: Put, events: int) -> None:
    for numbers in blocks(events):
        columns = np.empty((COLUMNS, ROWS), np.int64)
        fill_columns(columns, numbers)
        put(columns)


def _send_columns(put: Put, events: int) -> None:
    columns = np.empty((COLUMNS, ROWS), np.int64)
    data = columns.reshape(-1).view("u1")
    for numbers in blocks(events):
        fill_columns(columns, numbers)
        put(data)


def _receive_columns(get: Get, events: int) -> int:
    return sum(int(get()[0].sum()) for _ in repeat(None, events // ROWS))


def _receive_column_bytes(get: Get, events: int) -> int:
    return sum(int(np.frombuffer(get(), np.int64, ROWS).sum()) for _ in repeat(None, events // ROWS))


PAYLOADS: dict[tuple[str, bool], Payload] = {
    ("fields", True): Payload(_send_tuples, _receive_tuples),
    ("fields", False): Payload(_send_packed, _receive_packed),
    ("dict", True): Payload(_send_dicts, _receive_dicts),
    ("dict", False): Payload(_send_pickled_dicts, _receive_pickled_dicts),
    ("bytes", True): Payload(_send_bytes, _receive_bytes),
    ("bytes", False): Payload(_send_bytes, _receive_bytes),
    ("rows", True): Payload(_send_fresh_rows, _receive_rows),
    ("rows", False): Payload(_send_rows, _receive_row_bytes),
    ("columns", True): Payload(_send_fresh_columns, _receive_columns),
    ("columns", False): Payload(_send_columns, _receive_column_bytes),
}
"""By kind, and whether the peer carries objects."""

CHECKSUMS = {"fields": "fields", "dict": "fields", "bytes": "bytes", "rows": "number", "columns": "number"}
"""What is added up of each kind (suite/checksums.py)."""

BYTES = {"fields": 64, "dict": 512, "bytes": 64, "rows": ROWS * 64, "columns": ROWS * 64}
"""The most bytes of a message, for peers that want to know."""
