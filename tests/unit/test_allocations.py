"""The publish path and the handler loop keep nothing and never make the garbage collector run.

Counted over 10^6 events, and over 10^7 in the slow form: blocks of the interpreter that are there afterwards and were
not before, and collections in between, with the collector on.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

import ringbus
from ringbus import RingBuffer
from support.memory import counting

EVENTS = pytest.mark.parametrize("events", [10**6, pytest.param(10**7, marks=pytest.mark.slow)])
NOISE = 100
"""Blocks that the counting and the threads may leave, whatever the number of events: fewer than one a batch."""
ROUNDS = 4


def settled(run):
    """A count that begins when `run`, counted too, has been through a few times: what is made once is there."""
    for _ in range(ROUNDS):
        with counting():
            run()
    return counting()


class Trade(ringbus.Event):
    symbol: str = ringbus.text(16)
    price: float
    quantity: float
    notional: float = 0.0


@pytest.fixture(params=["single", "multi"])
def ring(request):
    return RingBuffer(Trade, capacity=8192, producers=request.param)


def by_fields(ring, events):
    publish = ring.publish
    for _ in range(events):
        publish(symbol="BTC-USD", price=63241.5, quantity=0.5, notional=31620.75)


def by_instance(ring, events):
    publish, trade = ring.publish, Trade(symbol="BTC-USD", price=1.0, quantity=2.0)
    for _ in range(events):
        publish(trade)


def by_trying(ring, events):
    publish = ring.try_publish
    for _ in range(events):
        publish(symbol="BTC-USD", price=63241.5, quantity=0.5)


def by_translator(ring, events):
    def fill(trade):
        trade.price = 63241.5

    publish = ring.publish
    for _ in range(events // 4):
        publish(fill)


def by_claim(ring, events):
    claim = ring.claim
    for _ in range(events // 4):
        with claim() as trade:
            trade.price = 63241.5


def by_claim_of_many(ring, events):
    claim, prices = ring.claim, np.arange(256.0)
    for _ in range(events // 256):
        with claim(256) as trades:
            trades["price"] = prices


def by_batch(ring, events):
    publish, rows = ring.publish_batch, np.zeros(256, Trade.dtype)
    for _ in range(events // 256):
        publish(rows)


WAYS = [by_fields, by_instance, by_trying, by_translator, by_claim, by_claim_of_many, by_batch]


@pytest.mark.timeout(300)
@EVENTS
@pytest.mark.parametrize("way", WAYS)
def test_publishing_keeps_nothing_and_collects_nothing(ring, way, events):
    with settled(lambda: way(ring, 8192)) as kept:
        way(ring, events)
    assert ring.cursor >= events // 4
    assert kept.blocks <= NOISE
    assert kept.collections == 0


def reads_a_field(seen):
    def handler(trade):
        seen[0] += trade.price

    return handler


def reads_all_arguments(seen):
    def handler(trade, sequence, end_of_batch):
        seen[0] += trade.price

    return handler


def sums_a_column(seen):
    @ringbus.batch
    def handler(trades, first):
        seen[0] += trades["price"].sum()

    return handler


HANDLERS = [reads_a_field, reads_all_arguments, sums_a_column]


@pytest.mark.timeout(300)
@EVENTS
@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("threads", [None, 1], ids=["thread each", "one thread"])
def test_the_handler_loop_keeps_nothing_and_collects_nothing(ring, handler, threads, events):
    seen = [0.0]
    events -= events % 8192
    rows = np.zeros(8192, Trade.dtype)
    rows["price"] = 1.0
    group = ring.consumer_group("g", threads=threads)
    group.add("first", handler(seen))
    group.add("second", lambda trade: None).depends_on("first")
    with group, settled(lambda: (ring.publish_batch(rows), group.drain())) as kept:
        for _ in range(events // 8192):
            ring.publish_batch(rows)
        group.drain()
    assert seen[0] == events + ROUNDS * 8192
    assert kept.blocks <= NOISE
    assert kept.collections == 0


@pytest.mark.timeout(300)
@EVENTS
def test_publisher_and_handler_together_keep_nothing_and_collect_nothing(ring, events):
    seen = [0.0]
    group = ring.consumer_group("g")
    group.add("h", reads_a_field(seen))
    with group, settled(lambda: (by_fields(ring, 8192), group.drain())) as kept:
        by_fields(ring, events)
        group.drain()
    assert seen[0] == 63241.5 * (events + ROUNDS * 8192)
    assert kept.blocks <= NOISE
    assert kept.collections == 0


def test_the_handler_loop_of_an_object_ring_keeps_nothing(ring):
    class Order:
        def __init__(self):
            self.price = 0.0

    objects, seen = RingBuffer(factory=Order, capacity=1024), [0.0]
    group = objects.consumer_group("g")
    group.add("h", reads_a_field(seen))

    def publish(events):
        for _ in range(events):
            objects.publish(price=1.0)
        group.drain()

    with group, settled(lambda: publish(2048)) as kept:
        publish(10**5)
    assert seen[0] == ROUNDS * 2048 + 10**5
    assert kept.blocks <= NOISE
    assert kept.collections == 0


def test_idle_consumers_keep_nothing(ring):
    """Each wait that runs into its time-out calls `on_timeout`, and leaves nothing."""
    called, enough = [0], threading.Event()

    class Handler:
        def __call__(self, trade):
            pass

        def on_timeout(self, sequence):
            called[0] += 1
            if called[0] >= 100:
                enough.set()

    group = ring.consumer_group("g")
    group.add("h", Handler(), timeout=0.0005)
    with group, counting() as kept:
        assert enough.wait(20)
    assert kept.blocks <= NOISE
    assert kept.collections == 0


def test_the_count_finds_what_is_kept(ring):
    """The twin of the tests above: a handler that keeps its events, and a collection, are seen."""
    events = []
    group = ring.consumer_group("g")
    group.add("h", events.append)
    with group, counting() as kept:
        by_fields(ring, 20_000)
        group.drain()
        cycles = [[] for _ in range(20_000)]
    assert kept.blocks > 20_000
    assert kept.collections > 0
    assert len(cycles) == len(events) == 20_000
