"""Bad input: each a clear error that says the fact, the value and the remedy, and nothing changed afterwards.

Every item of the project's list is here but for feed files, which tests/unit/test_feed.py and tests/e2e/test_demo.py
have. `Stage.untouched` looks at the ring before and after: cursor, free slots, consumers, and then whether an event
still goes through the group.
"""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import ringbus
from ringbus import (
    CapacityError,
    ClaimError,
    ClosedError,
    ConfigurationError,
    FieldError,
    HandlerError,
    KeptViewError,
    RingBuffer,
    RingBusError,
    SchemaError,
    TopologyError,
)


class Trade(ringbus.Event):
    symbol: str = ringbus.text(16)
    price: float
    quantity: float = 1.0
    side: ringbus.int8 = 0
    number: int = 0


class Stage:
    """A ring with a group on it, and the proof that neither was changed."""

    def __init__(self, producers):
        self.ring = RingBuffer(Trade, capacity=16, producers=producers)
        self.seen = []
        self.group = self.ring.consumer_group("g")
        self.group.add("h", lambda trade: self.seen.append(trade.price))
        self.ring.publish(symbol="A", price=0.0)

    def facts(self):
        ring = self.ring
        return ring.cursor, ring.remaining_capacity, ring.minimum_sequence, ring.statistics(), self.group.state

    @contextmanager
    def untouched(self) -> Iterator[None]:
        before = self.facts()
        yield
        assert self.facts() == before
        self.ring.publish(symbol="A", price=1.5)
        assert self.group.run_once() == 2
        assert self.seen == [0.0, 1.5]
        assert self.ring.cursor == before[0] + 1
        assert self.ring.statistics().pads == 0


@pytest.fixture(params=["single", "multi"])
def producers(request):
    return request.param


@pytest.fixture
def stage(producers):
    return Stage(producers)


def says(error: BaseException, *parts: str) -> None:
    """The error is one of ours, and its message has all the parts, the remedy after a semicolon."""
    message = str(error)
    assert isinstance(error, RingBusError)
    assert [part for part in parts if part not in message] == [], message
    assert ";" in message


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


SECOND = {
    "publish": lambda ring: ring.publish(symbol="A", price=1.0),
    "try_publish": lambda ring: ring.try_publish(symbol="A", price=1.0),
    "an event": lambda ring: ring.publish(Trade(symbol="A", price=1.0)),
    "a translator": lambda ring: ring.publish(lambda trade: None),
    "another handle": lambda ring: ring.producer(timeout=0.1).publish(symbol="A", price=1.0),
    "claim": lambda ring: ring.claim().__enter__(),
    "claim of many": lambda ring: ring.claim(3).__enter__(),
    "try_claim": lambda ring: ring.try_claim(),
    "publish_batch": lambda ring: ring.publish_batch(np.zeros(3, Trade.dtype)),
}


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("where", ["same thread", "another thread"])
def test_a_second_producer_inside_a_single_rings_open_claim_is_a_claim_error(second, where):
    ring = RingBuffer(Trade, capacity=16, producers="single")
    poller = ring.poller("p")
    caught = []

    def attempt():
        try:
            SECOND[second](ring)
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


# -- groups ---------------------------------------------------------------------------------------------------


def quiet(trade):
    """A handler that does nothing."""


def test_depends_on_an_unknown_name_is_a_topology_error(stage):
    with stage.untouched():
        with pytest.raises(TopologyError) as caught:
            stage.group["h"].depends_on("nobody")
        says(caught.value, "nobody", "'h'" if "'h'" in str(caught.value) else '"h"', "correct the name")
        with pytest.raises(TopologyError) as caught:
            stage.group.add("late", quiet, depends_on=("nobody",))
        says(caught.value, "nobody", "late")
        with pytest.raises(TopologyError) as caught:
            stage.ring.poller("late", depends_on=("nobody",))
        says(caught.value, "nobody", "late")


def test_depends_on_itself_is_a_topology_error(stage):
    with stage.untouched(), pytest.raises(TopologyError) as caught:
        stage.group["h"].depends_on("h")
    says(caught.value, "h")


def test_a_cycle_is_a_topology_error_that_shows_it_and_changes_nothing(producers):
    ring, order = RingBuffer(Trade, capacity=16, producers=producers), []
    group = ring.consumer_group("g")
    for name in "abc":
        group.add(name, lambda trade, name=name: order.append(name))
    group["b"].depends_on("a")
    group["c"].depends_on("b")
    with pytest.raises(TopologyError) as caught:
        group["a"].depends_on("c")
    says(caught.value, "a", "b", "c", "take one")
    ring.publish(symbol="A", price=1.0)
    assert group.run_once() == 3
    assert order == ["a", "b", "c"]


def test_a_text_in_the_place_of_names_is_a_clear_error(stage):
    with stage.untouched():
        with pytest.raises(ConfigurationError) as caught:
            stage.group.add("late", quiet, depends_on="h")
        says(caught.value, "depends_on", "'h'", "('h',)")
        with pytest.raises(ConfigurationError) as caught:
            RingBuffer(Trade, capacity=8, require="risk")
        says(caught.value, "require", "'risk'", "('risk',)")


def test_a_name_used_twice_is_a_topology_error(stage):
    other = stage.ring.consumer_group("other")
    adds = [
        lambda: stage.group.add("h", quiet),
        lambda: other.add("h", quiet),
        lambda: stage.ring.poller("h"),
        lambda: stage.ring.subscribe("h"),
    ]
    with stage.untouched():
        for add in adds:
            with pytest.raises(TopologyError) as caught:
                add()
            says(caught.value, "h", "another name")


@pytest.mark.parametrize("name", ["", "x" * 500, "nul\0"])
def test_a_name_that_cannot_be_is_a_topology_error(stage, name):
    with stage.untouched(), pytest.raises(TopologyError) as caught:
        stage.group.add(name, quiet)
    says(caught.value, "name")


def test_adding_to_a_running_static_group_is_a_topology_error(producers):
    ring, seen = RingBuffer(Trade, capacity=16, producers=producers), []
    group = ring.consumer_group("g")
    group.add("h", lambda trade: seen.append(trade.price))
    with group:
        for change in (
            lambda: group.add("late", quiet),
            lambda: group.consumer("late")(quiet),
            lambda: group["h"].depends_on("h"),
            lambda: group.remove("h"),
        ):
            with pytest.raises(TopologyError) as caught:
                change()
            says(caught.value, "'g'")
        assert set(ring.statistics().consumers) == {"h"}
        ring.publish(symbol="A", price=1.0)
    assert seen == [1.0]
    with pytest.raises(TopologyError, match="has stopped; make a new group"):
        group.add("later", quiet)
    with pytest.raises(TopologyError, match="started before; make a new group"):
        group.start()


def test_a_running_group_cannot_run_once_or_start_again(producers):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    group = ring.consumer_group("g")
    with pytest.raises(TopologyError, match="no consumers; add one"):
        group.start()
    group.add("h", quiet)
    with group:
        with pytest.raises(TopologyError, match="threads of its own"):
            group.run_once()
        with pytest.raises(TopologyError, match="started before"):
            group.start()
        ring.publish(symbol="A", price=1.0)


def test_draining_what_does_not_run_is_a_topology_error_and_no_hang(stage):
    with stage.untouched(), pytest.raises(TopologyError) as caught:
        stage.group.drain()
    says(caught.value, "'g'", "does not run", "start it")


HANDLERS = [
    pytest.param(lambda: None, id="no argument"),
    pytest.param(lambda a, b, c, d: None, id="four arguments"),
    pytest.param(lambda trade, *, price: None, id="a named argument"),
    pytest.param(ringbus.batch(lambda a, b, c: None), id="a batch handler of three"),
    pytest.param(ringbus.batch(lambda: None), id="a batch handler of none"),
]


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_with_a_wrong_signature_is_a_configuration_error(stage, handler):
    with stage.untouched(), pytest.raises(ConfigurationError) as caught:
        stage.group.add("late", handler)
    says(caught.value, "late", "takes (", "a handler is h(event")


@pytest.mark.parametrize("handler", [None, 7, "text", []])
def test_a_handler_that_cannot_be_called_is_a_configuration_error(stage, handler):
    with stage.untouched(), pytest.raises(ConfigurationError) as caught:
        stage.group.add("late", handler)
    says(caught.value, "late", repr(handler), "function")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"wait": "bussy_spin"}, ("'bussy_spin'", "did you mean 'busy_spin'")),
        ({"wait": "hope"}, ("'hope'", "busy_spin, yielding, sleeping, blocking, phased_backoff")),
        ({"wait": 7}, ("7", "blocking")),
        ({"wait": ringbus.Sleeping(longest=-1.0)}, ("-1", "at least 0")),
        ({"max_batch": 0}, ("max_batch", "0", "at least 1")),
        ({"workers": 0}, ("workers=0", "1 to 32")),
        ({"workers": 33}, ("workers=33", "1 to 32")),
        ({"key": "symbol"}, ("key", "workers=")),
        ({"workers": 2, "key": 7}, ("key=7", "field's name")),
        ({"workers": 2, "gating": False}, ("gate", "gating=False")),
        ({"on_error": "ignore"}, ("'ignore'", "'halt', 'skip'")),
        ({"on_error": 7}, ("7", "handle(")),
        ({"start": "yesterday"}, ("yesterday", "oldest")),
        ({"start": 99}, ("99",)),
        ({"kinds": (int,)}, ("int", "Trade")),
        ({"timeout": -1.0}, ("-1", "at least 0")),
    ],
)
def test_an_option_of_a_consumer_that_cannot_be_is_an_error(stage, options, parts):
    with stage.untouched(), pytest.raises((ConfigurationError, TopologyError)) as caught:
        stage.group.add("late", quiet, **options)
    says(caught.value, *parts)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"wait": "bloking"}, ("'bloking'", "did you mean 'blocking'")),
        ({"producers": "many"}, ("'many'", "'multi' or 'single'")),
        ({"start": -1}, ("-1", "at least 0")),
        ({"start": 2**62}, (str(2**62),)),
        ({"factory": dict}, ("factory", "leave one out")),
        ({"clear": print}, ("clear", "factory=")),
        ({"timeout": -0.5}, ("-0.5", "at least 0")),
    ],
)
def test_an_option_of_a_ring_that_cannot_be_is_a_configuration_error(options, parts):
    with pytest.raises(ConfigurationError) as caught:
        RingBuffer(Trade, capacity=8, **options)
    says(caught.value, *parts)


@pytest.mark.parametrize("event", [None, int, 7, "Trade", ringbus.Event, Trade | int])
def test_what_is_no_event_type_is_a_schema_error(event):
    with pytest.raises(SchemaError) as caught:
        RingBuffer(event, capacity=8)
    says(caught.value)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"threads": 2}, ("threads", "2", "None")),
        ({"wait": "bussy_spin"}, ("did you mean",)),
        ({"on_error": "ignore"}, ("'ignore'",)),
        ({"at_exit": "hang"}, ("'hang'", "'drain' or 'halt'")),
    ],
)
def test_an_option_of_a_group_that_cannot_be_is_a_configuration_error(stage, options, parts):
    with stage.untouched(), pytest.raises(ConfigurationError) as caught:
        stage.ring.consumer_group("other", **options)
    says(caught.value, *parts)


@pytest.mark.parametrize("kept", ["the array", "a column", "a slice", "a reversed slice", "a memoryview"])
def test_a_batch_handler_that_keeps_a_view_halts_with_a_clear_error(producers, kept):
    ring, views = RingBuffer(Trade, capacity=16, producers=producers), []
    keep = {
        "the array": lambda trades: trades,
        "a column": lambda trades: trades["price"],
        "a slice": lambda trades: trades[1:2],
        "a reversed slice": lambda trades: trades["quantity"][::-1],
        "a memoryview": lambda trades: memoryview(trades["price"]),
    }[kept]

    @ringbus.batch
    def handler(trades):
        views.append(keep(trades))

    group = ring.consumer_group("g", on_error="skip")
    consumer = group.add("h", handler)
    ring.publish_batch(np.zeros(4, Trade.dtype))
    with pytest.raises(KeptViewError) as caught:
        group.run_once()
    says(caught.value, "'h'" if "'h'" in str(caught.value) else '"h"', "sequence 0", "view.copy()")
    assert isinstance(caught.value, BufferError)
    assert consumer.sequence == -1
    assert group.state == "failed"


def test_a_batch_handler_that_keeps_copies_is_fine(producers):
    ring, kept = RingBuffer(Trade, capacity=16, producers=producers), []

    @ringbus.batch
    def handler(trades):
        kept.append(trades["price"].copy())

    group = ring.consumer_group("g")
    group.add("h", handler)
    with group:
        for first in range(0, 64, 4):
            ring.publish_batch(np.array([("A", float(first + i), 1.0, 0, 0) for i in range(4)], Trade.dtype))
    assert np.concatenate(kept).tolist() == [float(value) for value in range(64)]


@pytest.mark.parametrize("kept", ["the array", "a column"])
def test_a_claim_whose_view_is_kept_publishes_nothing(producers, kept):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    poller, views = ring.poller("p"), []
    with pytest.raises(KeptViewError, match=r"copy\(\)"), ring.claim(4) as trades:
        views.append(trades["price"] if kept == "a column" else trades)
    ring.publish(symbol="A", price=1.0)
    assert [trade.price for trade in poller.take()] == [1.0]


# -- closed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", SECOND)
def test_publishing_on_a_closed_ring_is_a_closed_error(stage, verb):
    stage.ring.close()
    stage.ring.close()
    before = stage.facts()
    with pytest.raises(ClosedError) as caught:
        SECOND[verb](stage.ring)
    says(caught.value, "Trade[16]", "closed")
    assert isinstance(caught.value, RuntimeError)
    assert stage.facts() == before
    assert stage.group.run_once() == 1


def test_a_closed_poller_is_a_closed_error(stage):
    poller = stage.ring.poller("p")
    poller.close()
    poller.close()
    with stage.untouched():
        for verb in (poller.take, poller.poll, poller.next, poller.take_array, lambda: next(poller)):
            with pytest.raises(ClosedError) as caught:
                verb()
            says(caught.value, "p")


# -- misuse from inside handlers ------------------------------------------------------------------------------


def test_a_handler_that_stops_its_own_group_gets_a_clear_error(producers):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    group = ring.consumer_group("g")
    group.add("h", lambda trade: group.stop())
    with pytest.raises(HandlerError) as caught, group:
        ring.publish(symbol="A", price=1.0)
    says(caught.value.__cause__, "'g'", "own handler", "halt()")


def test_a_handler_that_runs_its_own_group_gets_a_clear_error(producers):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    group = ring.consumer_group("g")
    group.add("h", lambda trade: group.run_once())
    ring.publish(symbol="A", price=1.0)
    with pytest.raises(HandlerError) as caught:
        group.run_once()
    says(caught.value.__cause__, "inside its own handler", "return first")


def test_releasing_more_than_is_done_is_a_claim_error(producers):
    ring = RingBuffer(Trade, capacity=16, producers=producers)
    group = ring.consumer_group("g")
    errors = []

    def handler(trade, sequence):
        for wanted in (sequence, sequence + 1):
            with pytest.raises(ClaimError) as caught:
                consumer.release(wanted)
            errors.append(caught.value)

    consumer = group.add("h", handler)
    ring.publish(symbol="A", price=1.0)
    assert group.run_once() == 1
    assert len(errors) == 2
    says(errors[0], "sequence 0", "before the one in hand")
    with pytest.raises(ClaimError):
        consumer.release(0)
