"""Reading tapes: the raw feed, its faults, and the tape file that comes with ringbus."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ringbus.demo.baseline import Loop
from ringbus.demo.events import Limits
from ringbus.demo.feed import PLACES, SHOWN, load, parse_decimal
from ringbus.demo.tape import QUOTE_COLUMNS, TRADE_COLUMNS, Tape, sample_path, write_tape
from ringbus.errors import FeedError

ROOT = Path(__file__).parents[2]
RAW = ROOT.parent / "shared" / "data" / "trades"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the raw feeds are not on this machine")


def trade(time, number=1, price="61800.30", quantity="0.006", *, sold=False, symbol="BTCUSDT"):
    data = {"e": "trade", "E": 5, "T": 5, "s": symbol, "t": number, "p": price, "q": quantity, "m": sold}
    return f"{time} {json.dumps({'stream': 'btcusdt@trade', 'data': data})}"


def quote(time, bid="61800.20", ask="61800.30", *, symbol="BTCUSDT"):
    data = {"e": "bookTicker", "u": 7, "s": symbol, "b": bid, "B": "2.5", "a": ask, "A": "1", "T": 6, "E": 6}
    return f"{time} {json.dumps({'stream': 'btcusdt@bookTicker', 'data': data})}"


GOOD = [
    quote(1),
    trade(2),
    '3 {"stream":"btcusdt@depth@0ms","data":{}}',
    '4 {"lastUpdateId":1}',
    trade(5, 2, sold=True),
]


@pytest.fixture
def feed(tmp_path):
    def write(lines, name="feed.jsonl"):
        path = tmp_path / name
        text = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return path

    return write


def same(one: Tape, other: Tape) -> bool:
    names = ("symbol", "price_places", "quantity_places")
    columns = [(one.trades[name], other.trades[name]) for name in TRADE_COLUMNS]
    columns += [(one.quotes[name], other.quotes[name]) for name in QUOTE_COLUMNS]
    columns.append((one.is_trade, other.is_trade))
    equal = all(getattr(one, name) == getattr(other, name) for name in names)
    return equal and all(np.array_equal(a, b) for a, b in columns)


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.jsonl.gz", "gzipped-or-not-is-seen-from-the-bytes.txt"])
def test_a_feed_gives_trades_and_quotes_in_order(feed, name):
    tape, report = load(feed(GOOD, name))
    assert tape.rows() == [
        (False, 1, 618002, 2500, 618003, 1000),
        (True, 2, 618003, 6, False),
        (True, 5, 618003, 6, True),
    ]
    assert (tape.symbol, tape.price_places, tape.quantity_places) == ("BTCUSDT", 1, 3)
    assert (report.lines, report.trades, report.quotes, report.bad, report.cut) == (5, 2, 1, 0, None)
    assert report.others == {"depth": 1, "snapshot": 1}


def test_prices_and_quantities_are_exact_where_a_float_is_not(feed):
    tape, _ = load(feed([trade(1, price="0.1"), trade(2, price="90071992.54740993")]))
    assert tape.price_places == 8
    assert tape.trades["price"].tolist() == [10_000_000, 9_007_199_254_740_993]


@pytest.mark.parametrize(
    ("text", "scaled"),
    [("1", 10**8), ("0", 0), ("61800.30", 6_180_030_000_000), ("0.00000001", 1), ("1.500000000000", 150_000_000)],
)
def test_a_decimal_is_read_as_a_scaled_integer(text, scaled):
    assert parse_decimal(text, "p") == scaled
    assert PLACES == 8


NO_DECIMALS = ["", ".", "1.", ".5", "-1", "+1", "1e5", "NaN", "Infinity", "1_000", "1,5", " 1", "1\n", "1" * 11]
NO_DIGITS = ["\u0661", 1, 1.5, None]


@pytest.mark.parametrize("text", NO_DECIMALS + NO_DIGITS)
def test_what_is_no_plain_decimal_is_refused(text):
    with pytest.raises(ValueError, match=r"p is .*, not a decimal"):
        parse_decimal(text, "p")


def test_a_decimal_with_too_many_places_is_refused_and_not_rounded():
    with pytest.raises(ValueError, match="more than 8 places"):
        parse_decimal("0.000000001", "p")


BAD = {
    "garbage": "does not begin with a receive time",
    "-5 {}": "does not begin with a receive time",
    "99999999999999999999 {}": "does not begin with a receive time",
    "9": "is not JSON",
    "9 {": "is not JSON",
    "9 " + "[" * 100_000: "is not JSON",
    "9 [1]": "not a JSON object",
    "9 {}": "stream is None",
    '9 {"stream": 5}': "stream is 5",
    '9 {"stream": "btcusdt@trade"}': "data is not a JSON object",
    trade(9, price="61800,3"): "p is '61800,3'",
    trade(9, price="0.0"): "p is zero",
    trade(9, quantity="0.000"): "q is zero",
    trade(9, number="1"): "t is '1', not a whole number",
    trade(9, number=2**63): "not a whole number of 64 bits",
    trade(9, sold="yes"): "m is 'yes', neither true nor false",
    trade(9, symbol="ETHUSDT"): "the symbol is 'ETHUSDT', the feed's is BTCUSDT",
    trade(9, symbol=""): "s is '', not a symbol",
    quote(9, bid="61800.40"): "the bid '61800.40' is over the ask '61800.30'",
    trade(4): "the receive time 4 is before that of an earlier line (5)",
    "\udcff\udcfe 5": "does not begin with a receive time",
    '9 {"stream": "\udcff"}': "is not JSON",
}


@pytest.mark.parametrize("line", BAD, ids=[f"line{number}" for number in range(len(BAD))])
def test_a_bad_line_is_counted_named_and_left_out(feed, line):
    tape, report = load(feed([*GOOD, line, trade(10, 3)]))
    assert same(tape, load(feed([*GOOD, trade(10, 3)]))[0])
    assert report.bad == 1
    assert report.first_bad[0].number == 6
    assert BAD[line] in report.first_bad[0].fact


@pytest.mark.parametrize("line", BAD, ids=[f"line{number}" for number in range(len(BAD))])
def test_a_bad_line_is_an_error_when_strict(feed, line):
    with pytest.raises(FeedError, match=r"feed\.jsonl:6: ") as caught:
        load(feed([*GOOD, line]), strict=True)
    assert BAD[line] in str(caught.value)


def test_only_the_first_bad_lines_are_kept(feed):
    _, report = load(feed([*GOOD, *["garbage"] * 100]))
    assert (report.bad, len(report.first_bad)) == (100, SHOWN)


def test_empty_lines_are_no_fault(feed):
    _, report = load(feed([GOOD[0], "", *GOOD[1:], ""]), strict=True)
    assert (report.trades, report.quotes, report.bad) == (2, 1, 0)


def test_a_feed_cut_in_the_middle_of_gzip_gives_what_was_readable(feed):
    path = feed([trade(time, time, price=f"{60000 + time * 7919 % 1000}.1") for time in range(1, 20_001)], "f.jsonl.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    tape, report = load(path)
    assert 0 < len(tape) == report.trades < 20_000
    assert tape.trades["id"].tolist() == list(range(1, len(tape) + 1))
    assert f"after line {report.lines:,}" in report.cut
    with pytest.raises(FeedError, match="gzip data ends early"):
        load(path, strict=True)


def test_damage_in_the_middle_of_gzip_ends_the_feed_there(feed):
    path = feed([trade(time, time, price=f"{60000 + time * 7919 % 1000}.1") for time in range(1, 20_001)], "f.jsonl.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    path.write_bytes(data)
    tape, report = load(path)
    assert report.cut
    assert len(tape) < 20_000


def test_a_plain_feed_cut_in_the_middle_of_a_line_has_one_bad_line(feed):
    path = feed([*GOOD, trade(9, 3)])
    path.write_bytes(path.read_bytes()[:-20])
    tape, report = load(path)
    assert (len(tape), report.bad, report.first_bad[0].number) == (3, 1, 6)


def test_a_limit_takes_the_first_events(feed):
    tape, report = load(feed([*GOOD, "garbage"]), limit=2, strict=True)
    assert len(tape) == report.trades + report.quotes == 2


@pytest.mark.parametrize(
    ("lines", "fact"),
    [([], "0 lines"), (["x", "y"], "2 lines, 2 bad; line 1: does not"), ([GOOD[2]], "1 lines, 0 bad")],
)
def test_a_feed_without_events_is_an_error(feed, lines, fact):
    with pytest.raises(FeedError, match="holds no trade and no best quote") as caught:
        load(feed(lines))
    assert fact in str(caught.value)


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(FeedError, match="No such file"):
        load(tmp_path / "missing.jsonl.gz")
    with pytest.raises(FeedError, match="Is a directory"):
        load(tmp_path)


def test_a_tape_that_could_leave_64_bits_is_refused(feed):
    lines = [trade(time, price="61800.12345678", quantity="1000000.12345678") for time in range(1, 9)]
    with pytest.raises(FeedError, match="do not fit 64-bit integers"):
        load(feed(lines))


def test_a_tape_file_gives_the_tape_back_and_the_same_bytes(feed, tmp_path):
    tape, _ = load(feed([*GOOD, trade(2**62, 2**62, price="9999999.9"), quote(2**62 + 1)]))
    write_tape(tape, tmp_path / "one.tape.gz", origin="here")
    write_tape(tape, tmp_path / "two.tape.gz", origin="here")
    assert same(load(tmp_path / "one.tape.gz")[0], tape)
    assert (tmp_path / "one.tape.gz").read_bytes() == (tmp_path / "two.tape.gz").read_bytes()


def test_a_tape_file_has_a_head(feed, tmp_path):
    tape, _ = load(feed(GOOD))
    write_tape(tape, tmp_path / "t")
    head, report = load(tmp_path / "t", limit=2)
    assert head.rows() == tape.rows()[:2]
    assert (report.trades, report.quotes) == (1, 1)


def damaged(body: bytes) -> dict[str, bytes]:
    head, _, data = body.partition(b"\n")
    return {
        "no trade and no best quote": b"",
        "bytes of columns": body[:-1],
        "events are trades": head + b"\n" + b"\x00" + data[1:],
        "version 1": body.replace(b'"version": 1', b'"version": 2'),
        "header of this tape file is damaged": body.replace(b'"symbol"', b'"symbols"'),
        "not one of": body.replace(b'"trades": 2', b'"trades": -2'),
    }


@pytest.mark.parametrize("fact", damaged(b""))
def test_a_damaged_tape_file_is_an_error(feed, tmp_path, fact):
    write_tape(load(feed(GOOD))[0], tmp_path / "t")
    body = gzip.decompress((tmp_path / "t").read_bytes())
    (tmp_path / "t").write_bytes(damaged(body)[fact])
    with pytest.raises(FeedError, match=fact):
        load(tmp_path / "t")


def test_a_tape_file_cut_in_the_middle_is_an_error(feed, tmp_path):
    tape, _ = load(feed([trade(time, time, price=f"{60000 + time * 7919 % 1000}.1") for time in range(1, 5000)]))
    write_tape(tape, tmp_path / "t")
    data = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(data[: len(data) // 2])
    with pytest.raises(FeedError, match="damaged"):
        load(tmp_path / "t")


def test_the_sample_is_whole_and_small():
    tape, report = load(sample_path(), strict=True)
    assert (report.trades, report.quotes, len(tape)) == (21_313, 66_089, 87_402)
    assert sample_path().stat().st_size <= 2_000_000
    assert np.all(np.diff(tape.trades["id"]) == 1)
    assert np.all(np.diff(tape.times()) >= 0)


def test_the_sample_lies_under_examples_with_its_origin_and_licence():
    folder = ROOT / "examples" / "data"
    assert (folder / sample_path().name).read_bytes() == sample_path().read_bytes()
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "nkaz001/hftbacktest" in text
    assert "Permission is hereby granted" in text


@needs_raw
def test_the_sample_is_the_raw_feed():
    raw, report = load(RAW / "binance_usdm_btcusdt_20240808.jsonl.gz", strict=True)
    assert same(raw, load(sample_path())[0])
    assert (report.lines, report.bad) == (93_954, 0)


@needs_raw
@pytest.mark.parametrize(
    ("name", "trades", "quotes", "places"),
    [
        ("binance_spot_btcusdt_20240808", 9_757, 28_040, (2, 5)),
        ("binance_spot_btcusdt_20240809", 10_147, 45_134, (2, 5)),
        ("binance_spot_ethusdt_20240808", 6_106, 24_077, (2, 4)),
    ],
)
def test_the_spot_feeds_are_read_as_they_are(name, trades, quotes, places):
    tape, report = load(RAW / f"{name}.jsonl.gz", strict=True)
    assert (report.trades, report.quotes) == (trades, quotes)
    assert (tape.price_places, tape.quantity_places) == places


@pytest.fixture
def loop_over(feed):
    def run(lines, limits):
        return Loop(limits).run(load(feed(lines))[0].rows())

    return run


def test_the_plain_loop_marks_a_position_to_the_middle_price(loop_over):
    lines = [quote(1, "99", "101"), trade(2, price="101", quantity="2"), trade(3, price="109", quantity="1", sold=True)]
    results = loop_over([*lines, quote(4, "109.5", "110")], Limits(10**9, 10**6))
    tenths = 10 * 10  # a step of the price is 0.1 and one of the quantity 0.1, because the quotes have 2.5
    assert (results.position, results.cash) == (10, (-2 * 101 + 109) * tenths)
    assert results.profit2 == (2 * (-2 * 101 + 109) + 219.5) * tenths


def test_the_plain_loop_makes_a_bar_of_each_second_that_has_trades(loop_over):
    second = 10**9
    lines = [trade(5, price="3"), trade(7, price="5"), trade(second - 1, price="2"), trade(3 * second, price="4")]
    results = loop_over(lines, Limits(10**9, 10**6))
    assert [bar.second for bar in results.bars] == [0, 3]
    assert results.bars[0][1:] == (3, 5, 2, 2, 18, 60, 3)
    assert [bar.vwap for bar in results.bars] == [3, 4]


def test_the_plain_loop_notes_a_breach_once_until_the_value_is_back(loop_over):
    second = 10**9
    prices = ["100", "100", "102", "103", "100", "98"]
    lines = [trade(second * (number > 0) + number, price=price) for number, price in enumerate(prices)]
    results = loop_over(lines, Limits(10**9, 100))
    assert [(breach.event, breach.rule, breach.value) for breach in results.breaches] == [
        (2, "jump", 102),
        (5, "jump", 98),
    ]
