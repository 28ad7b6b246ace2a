"""What the demo says at its end: a table for people, one JSON document for machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ringbus.demo.events import SECOND_NS, Bar, Breach, Results
from ringbus.demo.pipeline import CAPACITY
from ringbus.demo.tape import sample_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ringbus.demo.feed import FeedReport
    from ringbus.demo.pipeline import RingRun
    from ringbus.demo.processes import Delivery
    from ringbus.demo.run import Outcome, Side
    from ringbus.demo.tape import Tape
    from ringbus.statistics import ConsumerStatistics

COMPARED: Final = "bars, breaches, position, cash, profit and a checksum over every event"


def decimal(value: int, places: int) -> str:
    """Write a scaled integer as a decimal, exactly.

    Args:
        value: the number, in steps of 10 ** -places.
        places: decimal places.
    """
    whole, fraction = divmod(abs(value), 10**places)
    digits = f"{whole:,}" + (f".{fraction:0{places}d}" if places else "")
    return f"-{digits}" if value < 0 else digits


def half(value2: int, places: int) -> str:
    """Write half of a scaled integer as a decimal, exactly.

    Args:
        value2: twice the number, in steps of 10 ** -places.
        places: decimal places.
    """
    return decimal(value2 * 5, places + 1)


def duration(ns: float) -> str:
    """Write a time in the unit that suits it.

    Args:
        ns: the time in ns.
    """
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:,.0f} {unit}"
    return f"{ns:.0f} ns"


def clock(ns: int) -> str:
    """Write the UTC time of day of a receive time.

    Args:
        ns: ns since 1970.
    """
    return f"{datetime.fromtimestamp(ns // SECOND_NS, UTC):%H:%M:%S}.{ns % SECOND_NS // 1_000_000:03d}"


def counted(number: int, noun: str) -> str:
    """Write a number of things.

    Args:
        number: how many.
        noun: what one of them is called.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lay out a table: the first column to the left, the others to the right.

    Args:
        rows: the cells, the header first.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        yield "  ".join(cells).rstrip()


def bad_input(feed: FeedReport) -> list[str]:
    """Say what could not be read of a feed.

    Args:
        feed: how reading it went.

    Returns:
        Lines of text, none when all is well.
    """
    lines = []
    if feed.bad:
        lines.append(f"{feed.path}: {feed.bad:,} of {feed.lines:,} lines could not be used and were left out")
        lines += [f"  line {bad.number:,}: {bad.fact}" for bad in feed.first_bad]
        if feed.bad > len(feed.first_bad):
            lines.append(f"  and {feed.bad - len(feed.first_bad):,} more")
    if feed.cut:
        used = feed.trades + feed.quotes
        lines.append(f"{feed.path}: {feed.cut}; the {used:,} events before that are used")
    return lines


def table(outcome: Outcome) -> str:
    """Write the outcome for people.

    Args:
        outcome: what the demo found.
    """
    parts = [_headline(outcome)]
    if outcome.ring is not None:
        consumers = _consumers(outcome.ring, full=outcome.speed is None)
        parts += [_speeds(outcome, outcome.ring), consumers, _found(outcome.tape, outcome.ring.results)]
        if outcome.ring.delivery is not None:
            parts.append(_delivery(outcome.ring.delivery, outcome.ring.published))
    parts.append(_verdict(outcome))
    return "\n\n".join(parts)


def _headline(outcome: Outcome) -> str:
    tape, feed = outcome.tape, outcome.feed
    kinds = f"{counted(feed.trades, 'trade')} and {counted(feed.quotes, 'best quote')}"
    head = f"{tape.symbol}: {kinds} over {tape.duration_ns / SECOND_NS:,.1f} s"
    own = f"{feed.path.name}, which comes with ringbus"
    return "\n".join([head, f"from {own if feed.path == sample_path() else feed.path}", *bad_input(feed)])


def _speeds(outcome: Outcome, ring: RingRun) -> str:
    rows = [("", "events", "seconds", "events/s"), _speed("ring", ring.published, ring.seconds)]
    for name, side in ((outcome.queue_name, outcome.queue), ("plain loop", outcome.loop)):
        if side is not None:
            rows.append(_speed(name, side.results.events, side.seconds))
    lines = [*columns(rows), _threads(outcome)]
    if outcome.queue is not None:
        lines.append(f"The ring is {_ratio(ring, outcome.queue):.1f} x as fast as {outcome.queue_name}.")
    if outcome.queue_note:
        lines.append(f"{outcome.queue_name}: {outcome.queue_note}.")
    return "\n".join(lines)


def _threads(outcome: Outcome) -> str:
    if outcome.processes:
        also = "" if outcome.queue is None else "; a queue for each reader, and nobody killed there"
        return f"The feed and report in one process, book, bars and risk in one each{also}."
    consumers = "one thread for all consumers" if outcome.one_thread else "a thread for each consumer"
    return f"One producer and {consumers}{'' if outcome.queue is None else ', on the ring as with the queues'}."


def _speed(name: str, events: int, seconds: float) -> tuple[str, ...]:
    return name, f"{events:,}", f"{seconds:.3f}", f"{events / max(seconds, 1e-9):,.0f}"


def _ratio(ring: RingRun, queue: Side) -> float:
    return (ring.published / max(ring.seconds, 1e-9)) / (queue.results.events / max(queue.seconds, 1e-9))


def _consumers(ring: RingRun, *, full: bool) -> str:
    header = ("consumer", "events", "batches", "mean batch", "lag", "P50", "P99", "P99.9")
    rows = [header, *(_consumer(name, figures, ring.lag[name]) for name, figures in ring.consumers.items())]
    left = sum(figures.lag for figures in ring.consumers.values())
    lines = [
        *columns(rows),
        f"lag: events behind when the last one had been published; {left} after the drain.",
        "P50 to P99.9: from the publish of an event to its hand-over to the handler.",
    ]
    if ring.delivery is not None:
        lines.append("A process counts its own times for itself: report's are those of the whole way.")
    if full:
        lines.append(f"Most of it is the wait in the {CAPACITY:,} slots of a full ring: try --speed 10x.")
    return "\n".join(lines)


def _consumer(name: str, figures: ConsumerStatistics, lag: int) -> tuple[str, ...]:
    latency = figures.latency
    times = (latency.p50_ns, latency.p99_ns, latency.p999_ns) if latency else ()
    shown = tuple(duration(ns) for ns in times) or ("-", "-", "-")
    return name, f"{figures.events:,}", f"{figures.batches:,}", f"{figures.mean_batch:,.1f}", f"{lag:,}", *shown


def _delivery(delivery: Delivery, published: int) -> str:
    lines = []
    if delivery.death is not None:
        death, gap = delivery.death, delivery.death.gap_seconds
        lines.append(f"killed    {death.consumer}, process {death.pid}, with SIGKILL, after {death.published:,} events")
        lines.append(f"          {death.behind:,} behind then; {_gap(gap)}")
        lines.append("          (the gap is part of the ring's seconds)")
    twice = ", ".join(f"{name} {count:,}" for name, count in delivery.twice.items())
    lines.append(f"twice     {sum(delivery.twice.values()):,} events ({twice}); each counts once in the results")
    lines.append(f"lost      {delivery.lost:,} of {published:,} events")
    return "\n".join(lines)


def _gap(seconds: float | None) -> str:
    if seconds is None:
        return "its successor was not seen at work"
    return f"{duration(seconds * 1e9)} until its successor was done with its first events"


def _found(tape: Tape, results: Results) -> str:
    money = tape.price_places + tape.quantity_places
    lines = [
        f"bars      {len(results.bars):,} of one second",
        f"breaches  {len(results.breaches):,}{_by_rule(results.breaches)}",
        f"position  {decimal(results.position, tape.quantity_places)}, profit {half(results.profit2, money)}",
    ]
    if results.bars:
        lines[1:1] = [f"          {line}" for line in _bar(tape, results.bars[-1])]
    if results.breaches:
        lines[-1:-1] = [f"          {line}" for line in _breach(tape, results.breaches[-1])]
    return "\n".join(lines)


def _by_rule(breaches: Sequence[Breach]) -> str:
    counts = Counter(breach.rule for breach in breaches)
    return " (" + ", ".join(f"{rule} {count:,}" for rule, count in sorted(counts.items())) + ")" if counts else ""


def _bar(tape: Tape, bar: Bar) -> tuple[str, str]:
    names = ("open", "high", "low", "close")
    prices = " ".join(f"{name} {decimal(getattr(bar, name), tape.price_places)}" for name in names)
    average, volume = decimal(bar.vwap, tape.price_places), decimal(bar.volume, tape.quantity_places)
    moment = clock(bar.second * SECOND_NS).partition(".")[0]
    return f"last {moment} {prices}", f"     vwap {average}, volume {volume} in {counted(bar.trades, 'trade')}"


def _breach(tape: Tape, breach: Breach) -> tuple[str, str]:
    if breach.rule == "exposure":
        places = tape.price_places + tape.quantity_places
        fact = f"exposure {half(breach.value, places)}, limit {half(breach.bound, places)}"
    else:
        prices = decimal(breach.value, tape.price_places), decimal(breach.bound, tape.price_places)
        fact = f"price {prices[0]}, last bar's average {prices[1]}"
    return f"last {clock(breach.time)}, event {breach.event:,}:", f"     {fact}"


def _verdict(outcome: Outcome) -> str:
    lines = []
    if outcome.interrupted:
        lines.append(_interruption(outcome))
    if not outcome.differences:
        lines.append("The results were not compared with a plain Python loop.")
    for name, differences in outcome.differences.items():
        if differences:
            lines.append(f"DIFFERENT: the results of {name} are not those of the plain loop: {', '.join(differences)}.")
        else:
            lines.append(f"{name}: results equal to those of a plain Python loop over the same events.")
    if outcome.differences:
        lines.append(f"All computed in this run and compared exactly, as integers:\n{COMPARED}.")
    return "\n".join(lines)


def _interruption(outcome: Outcome) -> str:
    total = len(outcome.tape)
    if outcome.ring is None:
        return f"Interrupted: the ring was halted before its {total:,} events were through.\nThere are no results."
    done = f"{outcome.ring.published:,} of {total:,} events went through the ring, each handled by every consumer"
    return f"Interrupted (in the step: {outcome.interrupted}).\n{done}."


def document(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome for machines: only what JSON knows.

    Args:
        outcome: what the demo found.
    """
    return {
        "tape": _tape(outcome.tape, outcome.feed),
        "speed": outcome.speed,
        "threads": 1 if outcome.one_thread else "each",
        "processes": outcome.processes,
        "ring": outcome.ring and _ring(outcome.ring),
        "queue": outcome.queue and _side(outcome.queue),
        "queue_note": outcome.queue_note or None,
        "plain_loop": outcome.loop and _side(outcome.loop),
        "ring_to_queue": _ratio(outcome.ring, outcome.queue) if outcome.ring and outcome.queue else None,
        "results": outcome.ring and _results(outcome.tape, outcome.ring.results),
        "compared": COMPARED if outcome.differences else None,
        "differences": {name: list(names) for name, names in outcome.differences.items()},
        "equal": not any(outcome.differences.values()) if outcome.differences else None,
        "interrupted": outcome.interrupted,
        "exit_code": outcome.exit_code,
    }


def _tape(tape: Tape, feed: FeedReport) -> dict[str, Any]:
    return {
        "path": str(feed.path),
        "symbol": tape.symbol,
        "events": len(tape),
        "trades": feed.trades,
        "quotes": feed.quotes,
        "seconds": tape.duration_ns / SECOND_NS,
        "lines": feed.lines,
        "other_lines": feed.others,
        "bad_lines": feed.bad,
        "first_bad_lines": [{"line": bad.number, "fact": bad.fact} for bad in feed.first_bad],
        "cut": feed.cut,
    }


def _ring(ring: RingRun) -> dict[str, Any]:
    consumers = {name: _figures(figures, ring.lag[name]) for name, figures in ring.consumers.items()}
    found = {**_rate(ring.published, ring.seconds), "capacity": CAPACITY, "consumers": consumers}
    if ring.delivery is not None:
        found |= {"delivery": asdict(ring.delivery)}
    return found


def _side(side: Side) -> dict[str, Any]:
    return _rate(side.results.events, side.seconds)


def _rate(events: int, seconds: float) -> dict[str, Any]:
    return {"events": events, "seconds": seconds, "events_per_second": events / max(seconds, 1e-9)}


def _figures(figures: ConsumerStatistics, lag: int) -> dict[str, Any]:
    latency = figures.latency
    names = ("min", "mean", "p50", "p90", "p99", "p999", "max")
    return {
        "events": figures.events,
        "batches": figures.batches,
        "mean_batch": figures.mean_batch,
        "lag_after_last_publish": lag,
        "lag_after_drain": figures.lag,
        "latency_ns": {name: getattr(latency, f"{name}_ns") for name in names} if latency else None,
    }


def _results(tape: Tape, results: Results) -> dict[str, Any]:
    money = tape.price_places + tape.quantity_places
    return {
        "events": results.events,
        "bars": len(results.bars),
        "breaches": len(results.breaches),
        "breaches_by_rule": dict(Counter(breach.rule for breach in results.breaches)),
        "position": decimal(results.position, tape.quantity_places).replace(",", ""),
        "profit": half(results.profit2, money).replace(",", ""),
        "checksum": results.checksum,
    }
