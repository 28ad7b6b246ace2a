"""`ringbus demo --processes`: the same results over processes, whoever is killed: nothing lost, nothing double."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from ringbus.cli import main
from ringbus.demo.baseline import Loop
from ringbus.demo.events import Limits, Results
from ringbus.demo.feed import load
from ringbus.demo.pipeline import RingRun
from ringbus.demo.processes import KILLABLE, Delivery, Ledger
from ringbus.demo.progress import Progress
from ringbus.demo.remote import BarsHand, BookHand, RiskHand
from ringbus.demo.report import document, table
from ringbus.demo.run import Outcome, Side
from ringbus.demo.shared import BarsState, BookState, Kept, Quote, RiskState, Trade
from ringbus.demo.tape import sample_path
from support.segments import rings_folder

__all__ = ["rings_folder"]

COMMAND = [sys.executable, "-m", "ringbus", "demo", "--processes"]


@pytest.fixture
def demo(rings_folder):
    def run(*arguments):
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=28, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert list(rings_folder.iterdir()) == []
        return done

    return run


@pytest.mark.parametrize("consumer", KILLABLE)
def test_whoever_is_killed_nothing_is_lost_and_the_results_are_equal(demo, consumer):
    done = demo("--kill", consumer, "--limit", "20000", "--no-queue", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"] is True
    assert found["ring"]["events"] == found["results"]["events"] == 20_000
    delivery = found["ring"]["delivery"]
    assert delivery["lost"] == 0
    assert delivery["death"]["consumer"] == consumer
    assert 10_000 <= delivery["death"]["published"] < 20_000
    assert delivery["death"]["gap_seconds"] > 0
    assert [name for name, count in delivery["twice"].items() if count] in ([], [consumer])


def test_without_a_kill_ring_and_queues_give_the_results_of_the_plain_loop_and_nothing_comes_twice(demo):
    done = demo("--limit", "3000", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["differences"] == {"ring": [], "multiprocessing.Queue": []}
    assert found["ring"]["delivery"] == {"lost": 0, "twice": {"book": 0, "bars": 0, "risk": 0}, "death": None}
    assert found["queue"]["events"] == 3000
    assert all(figures["lag_after_drain"] == 0 for figures in found["ring"]["consumers"].values())


def test_the_table_says_who_was_killed_and_what_came_of_it(demo):
    done = demo("--limit", "1", "--kill", "risk")
    assert done.returncode == 0, done.stderr
    assert "killed    risk, process " in done.stdout
    assert "until its successor was done with its first events" in done.stdout
    assert "lost      0 of 1 events" in done.stdout
    assert "each counts once in the results" in done.stdout
    assert "x as fast as multiprocessing.Queue." in done.stdout
    assert "ring: results equal to those of a plain Python loop" in done.stdout
    assert "multiprocessing.Queue: results equal to those of a plain Python loop" in done.stdout


def test_ctrl_c_leaves_a_partial_summary_and_no_ring(rings_folder):
    process = subprocess.Popen([*COMMAND, "--speed", "1x", "--json"], stdout=-1, stderr=-1, text=True)
    for line in process.stderr:
        if line.startswith("ring:"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=25)
    assert "Traceback" not in err, err
    found = json.loads(out)
    assert (process.returncode, found["interrupted"], found["equal"]) == (1, "ring", True)
    assert 0 < found["ring"]["events"] == found["results"]["events"] < 87_402
    assert found["ring"]["delivery"]["lost"] == 0
    assert list(rings_folder.iterdir()) == []


def test_ctrl_c_on_the_terminal_while_the_processes_start_leaves_no_traceback_of_theirs(rings_folder):
    process = subprocess.Popen(COMMAND, stdout=-1, stderr=-1, text=True, start_new_session=True)
    for line in process.stderr:
        if line.startswith("read ") and " events in " in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=25)
    assert "Traceback" not in err, err
    assert process.returncode == 1
    assert list(rings_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--kill", "book"], "there is no process to kill: add --processes"),
        (["--processes", "--threads", "1"], "the consumers have a process each"),
    ],
)
def test_options_that_do_not_go_together_are_exit_code_2(capsys, arguments, fact):
    assert main(["demo", *arguments]) == 2
    assert fact in capsys.readouterr().err


def test_report_is_in_the_process_of_the_feed_and_cannot_be_killed(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--processes", "--kill", "report"])
    assert "invalid choice: 'report'" in capsys.readouterr().err


# What a successor finds, without processes: the ring's side of it is played by these two.


def as_event(row):
    if row[0]:
        return Trade(**dict(zip(("time", "price", "quantity", "sold"), row[1:], strict=True)))
    return Quote(**dict(zip(("time", "bid", "bid_quantity", "ask", "ask_quantity"), row[1:], strict=True)))


def deliver(events, make, batches):
    """Hand the events out in batches, each with how many of it a process survives; more than all of it: it goes on."""
    hand, done = make(), 0
    for size, survives in batches:
        if not (batch := events[done : done + size]):
            break
        for place, (sequence, event) in enumerate(batch[:survives]):
            hand.take(event, sequence, place == len(batch) - 1)
        if survives > len(batch):
            done += len(batch)
        else:
            hand = make()
    for place, (sequence, event) in enumerate(events[done:], done):
        hand.take(event, sequence, place == len(events) - 1)


LIMITS = Limits(10**7, 0)
HANDS = {
    "book": (BookHand, BookState()),
    "bars": (BarsHand, BarsState()),
    "risk": (RiskHand, RiskState(limit2=LIMITS.exposure2, jump_bp=LIMITS.jump_bp)),
}


def run_graph(rows, name, batches):
    """Run the three in order, each over all events, and give what then stands in the events."""
    events = list(enumerate(map(as_event, rows)))
    for consumer, (hand, state) in HANDS.items():
        wanted = [(at, event) for at, event in events if consumer != "bars" or isinstance(event, Trade)]
        ring = Kept.begin(f"{name}-{consumer}", state)
        deliver(wanted, lambda hand=hand, ring=ring, state=state: hand(Kept(ring.name, type(state))), batches)
        ring.unlink()
    return [event for _, event in events]


def ledger_of(events):
    ledger = Ledger(Progress(None, "", ""))
    for sequence, event in enumerate(events):
        row = np.array([event.record()], type(event).dtype)
        for consumer in KILLABLE if isinstance(event, Trade) else ("book", "risk"):
            row[consumer] += 1
        ledger.take(row, sequence)
    return ledger


def test_a_successor_goes_on_to_the_same_values_wherever_its_predecessor_died(rings_folder, rng):
    rows = load(sample_path())[0].rows()[:400]
    batches = [(size := rng.randint(1, 9), rng.randint(0, size + 3)) for _ in range(300)]
    assert any(survives == size for size, survives in batches)  # dies after it kept its state, before the ring knew
    died, whole = run_graph(rows, "died", batches), run_graph(rows, "whole", [])
    assert [event.record() for event in died] == [event.record() for event in whole]
    expected = Loop(LIMITS).run(rows)
    assert {breach.rule for breach in expected.breaches} == {"exposure", "jump"}
    assert len(expected.bars) > 1
    assert ledger_of(died).results(LIMITS.exposure2) == expected


def test_what_was_not_handled_is_lost_and_what_was_handled_again_came_twice():
    ledger = Ledger(Progress(None, "", ""))
    trades, quotes = np.zeros(3, Trade.dtype), np.zeros(2, Quote.dtype)
    trades["book"], trades["bars"], trades["risk"] = (1, 1, 1), (1, 0, 1), (1, 1, 2)
    quotes["book"], quotes["risk"] = (3, 1), (1, 1)
    ledger.take(trades, 0)
    ledger.take(quotes, 4)
    delivery = ledger.delivery(6, None)
    assert delivery.lost == 2  # number 1, which bars never had, and number 3, which did not arrive
    assert delivery.twice == {"book": 1, "bars": 0, "risk": 1}


def test_a_lost_event_is_exit_code_1_even_if_the_results_are_equal():
    tape, feed = load(sample_path(), limit=1)
    results = Results(1, 0, 0, 0, (), (), 0)
    delivery = Delivery(1, dict.fromkeys(KILLABLE, 0), None)
    ring = RingRun(results, 1, 1.0, {}, {}, interrupted=False, delivery=delivery)
    outcome = Outcome(tape, feed, processes=True, ring=ring, loop=Side(results, 1.0))
    assert outcome.exit_code == document(outcome)["exit_code"] == 1
    assert "lost      1 of 1 events" in table(outcome)


def test_nothing_published_gives_the_results_of_nothing():
    assert Ledger(Progress(None, "", "")).results(1) == Loop(Limits(1, 1)).run([])
