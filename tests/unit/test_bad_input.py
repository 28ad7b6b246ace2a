"""Bad input: each a clear error that says the fact, the value and the remedy, and nothing changed afterwards.

Groups and handlers are in test_bad_groups.py, feed files in test_feed.py and tests/e2e/test_demo.py. `Stage.untouched`
looks at the ring before and after: cursor, free slots, consumers, and whether an event then goes through the group.
"""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import threading

import numpy as np
import pytest

import ringbus
from ringbus import (
    CapacityError,
    ClaimError,
    ClosedError,
    ConfigurationError,
    FieldError,
    RingBuffer,
    RingBusError,
    SchemaError,
)
from support.stages import VERBS, Stage, Trade, says


@pytest.fixture(params=["single", "multi"])
def producers(request):
    return request.param


@pytest.fixture
def stage(producers):
    return Stage(producers)


# -- capacity -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capacity", "parts"),
    [
        (0, ("less than 1", "0", "power of two")),
        (-1, ("less than 1", "-1", "power of two")),
        (1000, ("not a power of two", "1000", "512 or 1024")),
        (3, ("not a power of two", "3", "2 or 4")),
        (2**40, ("would take", "TiB", str(2**40), "smaller")),
        (2**100, ("more than any memory", "power of two")),
        (1024.0, ("not a whole number", "1024.0", "power of two")),
        ("1024", ("not a whole number", "'1024'", "power of two")),
        (True, ("not a whole number", "True", "power of two")),
        (None, ("not a whole number", "None", "power of two")),
    ],
)
def test_a_capacity_that_cannot_be_is_a_capacity_error(capacity, parts, producers):
    with pytest.raises(CapacityError) as caught:
        RingBuffer(Trade, capacity=capacity, producers=producers)
    says(caught.value, *parts)
    assert isinstance(caught.value, ValueError)


def test_a_capacity_that_the_system_has_no_memory_for_says_what_it_would_take():
    """In a process of its own, with its address space limited."""
    program = """
import resource, ringbus
class Tick(ringbus.Event):
    value: int
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
try:
    ringbus.RingBuffer(Tick, capacity=2**30)
except ringbus.CapacityError as error:
    print(error)
ringbus.RingBuffer(Tick, capacity=1024).publish(value=1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=25, check=True)
    assert "GiB" in done.stdout
    assert "smaller capacity" in done.stdout


def test_a_whole_number_of_numpy_is_a_capacity():
    assert RingBuffer(Trade, capacity=np.int64(8)).capacity == 8


# -- fields ---------------------------------------------------------------------------------------------------

GOOD = {"symbol": "BTC-USD", "price": 1.0}
FIELDS = [
    pytest.param({**GOOD, "colour": 1}, SchemaError, ("colour", "symbol, price"), id="unknown"),
    pytest.param({**GOOD, "quantitiy": 1.0}, SchemaError, ("quantitiy", "did you mean", "quantity"), id="misspelt"),
    pytest.param(
        {"symbol": "A", "prise": 1.0}, SchemaError, ("prise", "did you mean", "price"), id="misspelt and missing"
    ),
    pytest.param({"symbol": "A"}, SchemaError, ("price",), id="missing"),
    pytest.param({}, SchemaError, ("symbol",), id="all missing"),
    pytest.param({**GOOD, "symbol": "x" * 17}, FieldError, ("symbol", "16 bytes", "17"), id="text too long"),
    pytest.param(
        {**GOOD, "symbol": "\u20bf" * 6}, FieldError, ("symbol", "16 bytes", "18"), id="text too long in bytes"
    ),
    pytest.param({**GOOD, "symbol": 7}, FieldError, ("symbol", "7", "int"), id="no text"),
    pytest.param({**GOOD, "symbol": "\ud800"}, FieldError, ("symbol",), id="text that UTF-8 has not"),
    pytest.param({**GOOD, "price": "1.0"}, FieldError, ("price", "'1.0'", "str"), id="no number"),
    pytest.param({**GOOD, "price": None}, FieldError, ("price", "None"), id="None"),
    pytest.param({**GOOD, "side": 128}, FieldError, ("side", "128", "-128"), id="just out of range"),
    pytest.param({**GOOD, "side": -129}, FieldError, ("side", "-129", "127"), id="just out of range below"),
    pytest.param({**GOOD, "number": 2**63}, FieldError, ("number", str(2**63)), id="out of range"),
    pytest.param({**GOOD, "number": 10**100}, FieldError, ("number",), id="far out of range"),
    pytest.param({**GOOD, "number": 1.5}, FieldError, ("number", "1.5", "float"), id="no whole number"),
]


@pytest.mark.parametrize(("fields", "kind", "parts"), FIELDS)
@pytest.mark.parametrize("verb", ["publish", "try_publish", "producer", "instance", "translator", "assignment"])
def test_a_field_that_does_not_fit_is_an_error_and_nothing_is_published(stage, verb, fields, kind, parts):
    def fill(trade):
        for name, value in fields.items():
            setattr(trade, name, value)

    def assign():
        trade = Trade(symbol="A", price=1.0)
        fill(trade)

    verbs = {
        "publish": lambda: stage.ring.publish(**fields),
        "try_publish": lambda: stage.ring.try_publish(**fields),
        "producer": lambda: stage.ring.producer(timeout=0.1).publish(**fields),
        "instance": lambda: stage.ring.publish(Trade(**fields)),
        "translator": lambda: stage.ring.publish(fill),
        "assignment": assign,
    }
    only_set = verb in ("translator", "assignment")
    if only_set and kind is SchemaError and not ({*fields} - {"symbol", "price"}):
        with stage.untouched():
            return  # a translator begins with zeros: nothing is missing
    with stage.untouched(), pytest.raises((AttributeError, kind) if only_set else kind) as caught:
        verbs[verb]()
    if isinstance(caught.value, RingBusError):
        says(caught.value, *parts)
        assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(("fields", "kind", "parts"), [case for case in FIELDS if case.values[1] is FieldError])
def test_a_field_that_does_not_fit_inside_a_claim_gives_the_claim_back(producers, fields, kind, parts):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    poller = ring.poller("p")

    def fill():
        with ring.claim() as trade:
            for name, value in fields.items():
                setattr(trade, name, value)

    with pytest.raises(kind) as caught:
        fill()
    says(caught.value, *parts)
    ring.publish(symbol="A", price=2.0)
    assert [trade.price for trade in poller.take()] == [2.0]
    assert ring.remaining_capacity == 16


def test_nan_and_infinities_are_fine(stage):
    for price in (math.nan, math.inf, -math.inf):
        stage.ring.publish(symbol="A", price=price)
    assert stage.group.run_once() == 4
    assert math.isnan(stage.seen[1])
    assert stage.seen[2:] == [math.inf, -math.inf]


def test_a_value_whose_float_raises_goes_through_as_it_is_and_nothing_is_published(stage):
    class Bad:
        def __float__(self):
            raise LookupError("its own")

    for verb in (stage.ring.publish, stage.ring.try_publish):
        with pytest.raises(LookupError, match="its own"):
            verb(symbol="A", price=Bad())
    with stage.untouched(), pytest.raises(LookupError):
        stage.ring.publish(Trade(symbol="A", price=Bad()))


@pytest.mark.parametrize("inner", ["publish", "claim", "publish on a full ring", "raise after publish"])
def test_a_value_whose_float_publishes_is_published_first_and_both_are_whole(producers, inner):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    poller = ring.poller("p")

    class Nested:
        def __float__(self):
            if inner == "claim":
                with ring.claim() as trade:
                    trade.symbol, trade.price = "INNER", 1.0
            elif inner == "publish on a full ring":
                while ring.try_publish(symbol="INNER", price=1.0):
                    pass
                poller.take(1)
            else:
                ring.publish(symbol="INNER", price=1.0)
            if inner == "raise after publish":
                raise LookupError("its own")
            return 2.0

    if inner == "raise after publish":
        with pytest.raises(LookupError, match="its own"):
            ring.publish(symbol="OUTER", price=Nested(), quantity=3.0)
    else:
        ring.publish(symbol="OUTER", price=Nested(), quantity=3.0)
    seen = [(trade.symbol, trade.price, trade.quantity) for trade in poller.take()]
    outer = [] if inner == "raise after publish" else [("OUTER", 2.0, 3.0)]
    assert seen == [("INNER", 1.0, 1.0)] * (len(seen) - len(outer)) + outer
    assert ring.remaining_capacity == 16


def test_a_value_whose_float_closes_the_ring_does_not_get_published(producers):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    poller = ring.poller("p")

    class Closes:
        def __float__(self):
            ring.close()
            return 1.0

    with pytest.raises(ClosedError):
        ring.publish(symbol="A", price=Closes())
    assert poller.take(timeout=0) == []
    assert ring.cursor == -1


def test_a_value_whose_repr_raises_is_still_named(stage):
    class Shy:
        def __repr__(self):
            raise ValueError("no")

    with stage.untouched(), pytest.raises(FieldError) as caught:
        stage.ring.publish(symbol="A", price=Shy())
    says(caught.value, "price", "Shy")


@pytest.mark.parametrize(
    "arguments", [(7,), ("text",), (None,), (Trade, Trade), (lambda trade: None, 1), ([],), (int,)]
)
def test_what_is_no_event_is_an_error(stage, arguments):
    with stage.untouched(), pytest.raises((SchemaError, TypeError)) as caught:
        stage.ring.publish(*arguments)
    assert isinstance(caught.value, SchemaError), caught.value
    says(caught.value, "Trade")


def test_an_event_of_another_class_is_an_error(stage):
    class Other(ringbus.Event):
        price: float

    with stage.untouched(), pytest.raises(SchemaError) as caught:
        stage.ring.publish(Other(price=1.0))
    says(caught.value, "Trade", "Other")


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros(3),
        np.zeros(3, [("price", "f8")]),
        np.zeros((3, 3), Trade.dtype),
        np.zeros((), Trade.dtype),
        [(1, 2)],
        "text",
        None,
        np.zeros(3, [(name, "U300" if name == "symbol" else "f8") for name in Trade.dtype.names]),
    ],
    ids=["no fields", "other fields", "two dimensions", "no dimension", "a list", "a text", "None", "too wide"],
)
def test_an_array_that_does_not_fit_is_an_error_and_nothing_is_published(stage, rows):
    with stage.untouched(), pytest.raises(SchemaError) as caught:
        stage.ring.publish_batch(rows)
    says(caught.value)


# -- claims ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["claim", "try_claim"])
@pytest.mark.parametrize("count", [0, -1, 17, 2**40, 1.0, "1", True])
def test_a_claim_out_of_range_is_a_capacity_error(stage, verb, count):
    with stage.untouched(), pytest.raises(CapacityError) as caught:
        getattr(stage.ring, verb)(count)
    says(caught.value, repr(count))
    if type(count) is int:
        says(caught.value, "1 to 16", "publish_batch")


@pytest.mark.parametrize("timeout", [-1.0, math.nan])
def test_a_time_out_that_cannot_be_is_a_configuration_error(stage, timeout):
    verbs = [
        lambda: stage.ring.producer(timeout=timeout),
        lambda: stage.ring.poller("p").next(timeout),
        lambda: RingBuffer(Trade, capacity=8, timeout=timeout),
    ]
    with stage.untouched():
        for verb in verbs:
            with pytest.raises(ConfigurationError) as caught:
                verb()
            says(caught.value, "timeout", "at least 0")
        gc.collect()


@pytest.mark.parametrize("second", VERBS)
@pytest.mark.parametrize("where", ["same thread", "another thread"])
def test_a_second_producer_inside_a_single_rings_open_claim_is_a_claim_error(second, where):
    ring = RingBuffer(Trade, capacity=16, producers="single")
    poller = ring.poller("p")
    caught = []

    def attempt():
        try:
            VERBS[second](ring)
        except ClaimError as error:
            caught.append(error)

    with ring.claim() as trade:
        trade.symbol, trade.price = "FIRST", 1.0
        if where == "same thread":
            attempt()
        else:
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()
    (error,) = caught
    says(error, "open", "one producer", 'producers="multi"')
    ring.publish(symbol="NEXT", price=2.0)
    assert [trade.symbol for trade in poller.take()] == ["FIRST", "NEXT"]


def test_a_claim_is_for_one_with_only(stage):
    claim = stage.ring.claim()
    with stage.untouched(), pytest.raises(ClaimError, match="not open"):
        claim.__exit__(None, None, None)
    with claim as trade:
        trade.price = 1.0
    with pytest.raises(ClaimError, match="used before"):
        claim.__enter__()
