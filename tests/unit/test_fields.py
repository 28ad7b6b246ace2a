"""What each field takes, and fields by name."""

import datetime
import decimal
import math
import pickle
import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ringbus
from ringbus import FieldError, SchemaError
from support.schemas import INTEGERS, Everything, Half, Level, Raises, Rights, Side, Trade, declared

# -- what each field takes --------------------------------------------------------------------------------------------


def fresh():
    return Everything()


GOOD = [
    ("name", "", ""),
    ("name", "BTC", "BTC"),
    ("name", "ABCDEFGH", "ABCDEFGH"),
    ("name", "éé€", "éé€"),
    ("name", "a\0b", "a\0b"),
    ("data", b"", b""),
    ("data", b"a\0\0", b"a\0\0"),
    ("data", bytearray(b"123456"), b"123456"),
    ("data", memoryview(b"xy"), b"xy"),
    ("data", np.frombuffer(b"abc", "u1"), b"abc"),
    ("real", 1, 1.0),
    ("real", True, 1.0),
    ("real", math.inf, math.inf),
    ("real", np.float32(0.5), 0.5),
    ("real", Decimal("0.25"), 0.25),
    ("real", Half(), 0.5),
    ("real", -1.0, -1.0),
    ("short", 0.5, 0.5),
    ("short", -math.inf, -math.inf),
    ("whole", True, 1),
    ("whole", np.int16(-3), -3),
    ("tiny", -128, -128),
    ("flag", True, True),
    ("flag", np.bool_(True), True),
    ("side", Side.SELL, Side.SELL),
    ("level", Level.HIGH, Level.HIGH),
    ("rights", Rights.READ | Rights.WRITE, Rights.READ | Rights.WRITE),
    ("rights", Rights(0), Rights(0)),
    ("money", 3, Decimal("3.00")),
    ("money", Decimal("-0.01"), Decimal("-0.01")),
    ("money", Decimal("1.500"), Decimal("1.50")),
    ("money", Decimal("1E+3"), Decimal("1000.00")),
    ("money", Decimal("-92233720368547758.08"), Decimal("-92233720368547758.08")),
    ("when", np.datetime64("2024-08-08T01:02:03.000000004"), np.datetime64("2024-08-08T01:02:03.000000004", "ns")),
    ("when", np.datetime64("2024-08-08", "D"), np.datetime64("2024-08-08", "ns")),
    ("when", datetime.datetime(2024, 8, 8, 1), np.datetime64("2024-08-08T01", "ns")),  # noqa: DTZ001 (NumPy has no zones)
    ("span", np.timedelta64(3, "us"), np.timedelta64(3000, "ns")),
    ("span", datetime.timedelta(seconds=1), np.timedelta64(10**9, "ns")),
    ("half", 0.5, np.float16(0.5)),
    ("half", math.inf, np.float16(math.inf)),
    ("wave", 1 + 2j, 1 + 2j),
    ("wave", 1.5, 1.5 + 0j),
    ("label", "ab€", "ab€"),
]


@pytest.mark.parametrize(("name", "value", "read"), GOOD, ids=[f"{name}={value!r}"[:40] for name, value, _ in GOOD])
def test_a_field_reads_back_what_was_written(name, value, read):
    built, event = Everything(**{name: value}), fresh()
    setattr(event, name, value)
    for found in (getattr(built, name), getattr(event, name)):
        assert found == read
        assert type(found) is type(read) or isinstance(found, np.generic)


BAD = [
    ("name", "123456789", "takes at most 8 bytes of UTF-8 (this has 9)"),
    ("name", "€€€", "takes at most 8 bytes of UTF-8 (this has 9)"),
    ("name", "a\0", "does not end in"),
    ("name", "\0", "does not end in"),
    ("name", "\ud800", "UTF-8 can hold"),
    ("name", b"abc", "takes a str"),
    ("name", 3, "takes a str"),
    ("name", None, "takes a str"),
    ("data", b"1234567", "takes at most 6 bytes (this has 7)"),
    ("data", "abc", "takes bytes, bytearray, memoryview"),
    ("data", np.arange(6, dtype="u1")[::2], "takes a contiguous buffer"),
    ("real", "1.0", "takes a float"),
    ("real", None, "takes a float"),
    ("real", 1j, "takes a float"),
    ("real", 10**400, "takes a float of at most"),
    ("short", 1e39, "at most 3.4e38 (float32)"),
    ("short", "1", "takes a float"),
    ("whole", 1.0, "takes an int (int64)"),
    ("whole", 2**63, "from -9223372036854775808 to 9223372036854775807 (int64)"),
    ("whole", "1", "takes an int"),
    ("whole", None, "takes an int"),
    ("flag", 1, "takes True or False"),
    ("flag", None, "takes True or False"),
    ("flag", "yes", "takes True or False"),
    ("side", 1, "takes a member of Side"),
    ("side", Level.LOW, "takes a member of Side"),
    ("level", 0, "takes a member of Level"),
    ("money", 1.5, "takes a Decimal"),
    ("money", "1.5", "takes a Decimal"),
    ("money", Decimal("0.001"), "at most 2 decimal places"),
    ("money", Decimal("1E-400"), "at most 2 decimal places"),
    ("money", Decimal("NaN"), "takes a finite Decimal"),
    ("money", Decimal("-Infinity"), "takes a finite Decimal"),
    ("money", Decimal("92233720368547758.08"), "at most 92233720368547758.07 either way"),
    ("money", Decimal("1E+400"), "either way"),
    ("money", 10**30, "either way"),
    ("when", 3, "takes a datetime64[ns], which int64 does not fit"),
    ("when", "2024-08-08", "takes a datetime64[ns]"),
    ("when", np.datetime64("4000-01-01", "D"), "takes a datetime64[ns]"),
    ("span", 3, "takes a timedelta64[ns]"),
    ("half", 1e6, "takes a float16"),
    ("half", "x", "takes a float16"),
    ("label", "abcde", "takes a <U4"),
    ("grid", [1, 2, 3], "takes the shape (2, 3), this has (3,)"),
    ("grid", np.zeros((3, 2), "i4"), "takes the shape (2, 3)"),
    ("grid", np.zeros((2, 3)), "which float64 does not fit"),
    ("grid", np.full((2, 3), 2**40), "which int64 does not fit"),
    ("grid", [[1, 2, 3], [1, 2]], "takes int32 of the shape (2, 3)"),
    ("line", "abc", "which <U3 does not fit"),
]


@pytest.mark.parametrize(("name", "value", "said"), BAD, ids=[f"{name}={value!r}"[:40] for name, value, _ in BAD])
def test_a_value_that_does_not_fit_is_named_and_changes_nothing(name, value, said):
    event = fresh()
    before = event.record().tobytes()
    with pytest.raises(FieldError) as caught:
        setattr(event, name, value)
    assert caught.value.field == f"Everything.{name}"
    assert caught.value.value is value
    assert said in str(caught.value)
    assert event.record().tobytes() == before
    with pytest.raises(FieldError) as again:
        Everything(**{name: value})
    assert str(again.value) == str(caught.value)
    assert isinstance(caught.value, TypeError | ValueError)


@pytest.mark.parametrize("alias", INTEGERS)
def test_integers_are_exact_to_their_limits(alias):
    low, high = INTEGERS[alias]
    cls = declared(getattr(ringbus, alias))
    for value in (low, high, 0, 1):
        assert cls(thing=value).thing == value
        assert cls(thing=value).record()["thing"] == value
    for value in (low - 1, high + 1, 2**200, -(2**200)):
        with pytest.raises(FieldError, match=rf"from {low} to {high} \({alias}\)"):
            cls(thing=value)
    with pytest.raises(FieldError, match=rf"takes an int \({alias}\)"):
        cls(thing=0.0)


def test_nan_is_fine():
    event = Trade(symbol="X", price=math.nan, quantity=1.0)
    assert math.isnan(event.price)


@pytest.mark.parametrize("name", ["real", "short", "whole", "tiny"])
def test_an_error_of_a_conversion_comes_through_unchanged(name):
    with pytest.raises(ZeroDivisionError, match=r"from __(float|index)__"):
        Everything(**{name: Raises()})
    event = fresh()
    with pytest.raises(ZeroDivisionError):
        setattr(event, name, Raises())
    assert event == fresh()


def test_a_conversion_may_make_events_of_the_same_class():
    class Sneaky:
        def __float__(self):
            inner = [Trade(price=float(i), symbol="inner", quantity=1.0) for i in range(3)]
            inner.append(Trade(quantity=9.0, notional=9.0, symbol="other", price=9.0))
            return inner[2].price

    event = Trade(symbol="outer", price=Sneaky(), quantity=7.0)
    assert (event.symbol, event.price, event.quantity, event.notional) == ("outer", 2.0, 7.0, 0.0)


def test_arrays_are_copied_on_the_way_in_and_out():
    given_, event = np.arange(6, dtype="i4").reshape(2, 3), fresh()
    event.grid = given_
    given_[0, 0] = 99
    read = event.grid
    read[1, 1] = 99
    assert event.grid.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read.flags.owndata
    assert read.dtype == np.int32


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2, 3], [4, 5, 6]],
        np.array([[1, 2, 3], [4, 5, 6]], "i8"),
        np.array([[1, 4], [2, 5], [3, 6]], "i4").T,
        np.array([[1, 0, 2, 0, 3, 0], [4, 0, 5, 0, 6, 0]], "i4")[:, ::2],
        np.array([[1, 2, 3], [4, 5, 6]], ">i4"),
        np.array([[1, 2, 3], [4, 5, 6]], "u2"),
    ],
    ids=["list", "wider", "transposed", "strided", "big-endian", "unsigned"],
)
def test_an_array_takes_what_numpy_makes_one_of(value):
    event = fresh()
    event.grid = value
    assert event.grid.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_structured_field_takes_a_tuple_or_a_record():
    event = fresh()
    event.pair = (1, 2)
    assert event.pair.item() == (1, 2)
    event.pair = np.array([(3, 4)], [("x", "i4"), ("y", "i4")])[0]
    assert event.pair["y"] == 4


def test_a_decimal_does_not_depend_on_the_context():
    with decimal.localcontext(decimal.Context(prec=3)):
        event = Everything(money=Decimal("123456.78"))
        assert str(event.money) == "123456.78"


def test_what_others_wrote_is_read_with_an_error_that_names_it():
    rows = np.zeros(1, Everything.dtype)
    rows["name"] = b"\xff"
    rows["side"] = 7
    rows["data"]["length"] = 2**31
    event = Everything.from_record(rows[0])
    with pytest.raises(FieldError, match=r"Everything\.name holds text as UTF-8, got b'\\xff'"):
        _ = event.name
    with pytest.raises(FieldError, match=r"Everything\.side holds a member of Side, got 7"):
        _ = event.side
    assert event.data == bytes(6)
    assert "<unreadable: " in repr(event)


@given(st.text(max_size=20))
def test_any_text_is_kept_or_refused(text):
    cls = TEXTS
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = b"too long" * 8
    if len(encoded) <= 13 and not encoded.endswith(b"\0"):
        event = cls(text=text)
        assert event.text == text
        assert event.text == text
        assert event.record()["text"] == encoded
        assert (event.before, event.after) == (-1, -1)
    else:
        with pytest.raises(FieldError):
            cls(text=text)


class TEXTS(ringbus.Event):
    before: ringbus.int8 = -1
    text: str = ringbus.text(13)
    after: ringbus.int8 = -1


@pytest.mark.parametrize("size", [*range(1, 70), 200])
def test_texts_of_every_size_and_length_are_whole(size):
    cls = type(ringbus.Event)(
        "Sized",
        (ringbus.Event,),
        {
            "__annotations__": {"a": ringbus.uint8, "t": str, "b": ringbus.uint8},
            "__module__": __name__,
            "a": 255,
            "t": ringbus.text(size, default="x" * size),
            "b": 255,
        },
    )
    event = cls()
    for length in range(size + 1):
        word = "".join(chr(33 + (length + i) % 90) for i in range(length))
        event.t = word
        assert event.t == word
        assert event.record()["t"] == word.encode()
        assert cls(t=word).t == word
        assert (event.a, event.b) == (255, 255)


@given(st.binary(max_size=9))
def test_any_bytes_are_kept_whole_or_refused(data):
    if len(data) <= 6:
        assert Everything(data=data).data == data
    else:
        with pytest.raises(FieldError):
            Everything(data=data)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 18))
def test_any_scaled_number_is_exact(number, places):
    value = Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -places))
    read = DECIMALS[places](thing=value).thing
    assert read == value
    assert -read.as_tuple().exponent == places


DECIMALS = [declared(Decimal, ringbus.decimal(places)) for places in range(19)]


# -- fields by name ---------------------------------------------------------------------------------------------------


def test_a_misspelt_field_is_told_the_near_one():
    with pytest.raises(SchemaError, match=r"Trade has no field \"prise\"; did you mean \"price\"\?"):
        Trade(symbol="X", prise=1.0, quantity=1.0)
    with pytest.raises(SchemaError, match=r"no field \"venue\"; its fields are symbol, price, quantity, notional"):
        Trade(symbol="X", price=1.0, quantity=1.0, venue="X")


def test_missing_fields_are_all_named():
    with pytest.raises(SchemaError, match=r"Trade needs price, quantity, which have no default"):
        Trade(symbol="X")
    with pytest.raises(SchemaError, match=r"Trade needs symbol, price, quantity"):
        Trade()
    with pytest.raises(SchemaError, match=r"Trade needs quantity, which has no default; pass quantity="):
        Trade(symbol="X", price=1.0)


def test_fields_are_taken_by_name_only():
    with pytest.raises(SchemaError, match=r"Trade takes its fields by name only; write Trade\(symbol=\.\.\.\)"):
        Trade("X", 1.0, 2.0)


def test_names_come_in_any_order_and_from_anywhere():
    expected = Trade(symbol="X", price=1.0, quantity=2.0)
    assert Trade(quantity=2.0, price=1.0, symbol="X") == expected
    assert Trade(**dict(reversed(expected.asdict().items()))) == expected
    built = {"".join(list(name)): value for name, value in expected.asdict().items()}
    assert all(name is not known for name, known in zip(built, Trade.dtype.names, strict=True))
    assert Trade(**built) == expected


def test_more_call_sites_than_are_remembered_work_all_the_same():
    names = [f"f{i}" for i in range(10)]
    body = {"__annotations__": dict.fromkeys(names, float), "__module__": __name__, **dict.fromkeys(names, -1.0)}
    cls = type(ringbus.Event)("Wide", (ringbus.Event,), body)
    for _ in range(2):
        for first in range(10):
            for second in range(10):
                if first != second:
                    event = cls(**{f"f{first}": 1.0, f"f{second}": 2.0})
                    assert (getattr(event, f"f{first}"), getattr(event, f"f{second}")) == (1.0, 2.0)
                    assert sum(event.asdict().values()) == 3.0 - 8


def test_what_is_not_named_takes_its_default_not_what_was_there():
    for _ in range(3):
        assert Trade(symbol="X", price=1.0, quantity=1.0, notional=7.0).notional == 7.0
        assert Trade(symbol="X", price=1.0, quantity=1.0).notional == 0.0


def test_a_schema_is_pickled_with_its_class_only():
    with pytest.raises(TypeError):
        pickle.dumps(Trade.__schema__)
    assert pickle.loads(pickle.dumps(Trade)) is Trade


def test_writing_the_same_again_takes_no_more_references():
    symbol, price = "".join(list("BTC-USD")), float("63241.5")

    def churn():
        for _ in range(100):
            event = Trade(symbol=symbol, price=price, quantity=price)
            event.symbol = symbol
            event.price = price
            with pytest.raises(FieldError):
                event.price = symbol

    churn()
    before = sys.getrefcount(symbol), sys.getrefcount(price)
    churn()
    assert (sys.getrefcount(symbol), sys.getrefcount(price)) == before
