"""Bad use of groups, of what is closed, and from inside handlers: each a clear error, and nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

import ringbus
from ringbus import (
    ClaimError,
    ClosedError,
    ConfigurationError,
    HandlerError,
    KeptViewError,
    RingBuffer,
    SchemaError,
    TopologyError,
)
from support.stages import VERBS, Stage, Trade, says


@pytest.fixture(params=["single", "multi"])
def producers(request):
    return request.param


@pytest.fixture
def stage(producers):
    return Stage(producers)


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


@pytest.mark.parametrize("verb", VERBS)
def test_publishing_on_a_closed_ring_is_a_closed_error(stage, verb):
    stage.ring.close()
    stage.ring.close()
    before = stage.facts()
    with pytest.raises(ClosedError) as caught:
        VERBS[verb](stage.ring)
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
