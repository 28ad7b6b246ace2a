"""Plain Python: an empty loop, `dict(...)`, and a loop that calls functions on objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns, thread_time_ns
from typing import Any

import handlers
from events import CAPACITY, QUANTITY, SYMBOL, Plain, Trade, expect, prices
from measure import Sample


def empty(clock: Callable[[], int]) -> Callable[[int], Sample]:
    """The loop that is around everything else here, by the clock of its table."""

    def side(events: int) -> Sample:
        values = prices(events)
        begin = clock()
        for _price in values:
            pass
        return Sample(clock() - begin, events)

    return side


def dicts(events: int) -> Sample:
    """`dict(symbol=, price=, quantity=, notional=)`; each is gone when the next one is made."""
    make, symbol, quantity, values = dict, SYMBOL, QUANTITY, prices(events)
    made: dict[str, object] = {}
    begin = thread_time_ns()
    for price in values:
        made = make(symbol=symbol, price=price, quantity=quantity, notional=price)
    ns = thread_time_ns() - begin
    expect("dict", "the last price", made["price"], values[-1])
    return Sample(ns, events)


def ready(make: type[Plain | Trade]) -> Callable[[int], Sample]:
    """A `for` loop that calls the handler on a list of ready objects, as many as a ring has slots."""

    def side(events: int) -> Sample:
        passes = max(1, events // CAPACITY)
        objects: list[Any] = [
            make(symbol=SYMBOL, price=price, quantity=QUANTITY, notional=price) for price in prices(CAPACITY)
        ]
        check = handlers.Total()
        _each(check.add, objects)
        expect(make.__name__, "the sum", check.price, sum(prices(CAPACITY)))
        ns = sum(_each(handlers.read, objects) for _ in range(passes))
        return Sample(ns, passes * CAPACITY)

    return side


def _each(handler: Callable[[Any], object], objects: Sequence[Any]) -> int:
    begin = thread_time_ns()
    for event in objects:
        handler(event)
    return thread_time_ns() - begin


def diamond(make: type[Plain | Trade]) -> Callable[[int], Sample]:
    """Makes a fresh object for each event and calls the three functions on it."""

    def side(events: int) -> Sample:
        work, values = handlers.Diamond(), prices(events)
        ns = _fresh_plain(work, values) if make is Plain else _fresh_event(work, values)
        expect(f"loop over {make.__name__}", "the total", work.total(), handlers.Diamond.wanted(events))
        return Sample(ns, events)

    return side


def _fresh_plain(work: handlers.Diamond, values: Sequence[float]) -> int:
    value, limit, report, make = work.value, work.limit, work.report, Plain
    symbol, quantity = SYMBOL, QUANTITY
    begin = perf_counter_ns()
    for price in values:
        event = make(symbol, price, quantity, 0.0)
        value(event)
        limit(event)
        report(event)
    return perf_counter_ns() - begin


def _fresh_event(work: handlers.Diamond, values: Sequence[float]) -> int:
    value, limit, report, make = work.value, work.limit, work.report, Trade
    symbol, quantity = SYMBOL, QUANTITY
    begin = perf_counter_ns()
    for price in values:
        event = make(symbol=symbol, price=price, quantity=quantity, notional=0.0)
        value(event)
        limit(event)
        report(event)
    return perf_counter_ns() - begin
