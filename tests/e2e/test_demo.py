"""`ringbus demo` as a user runs it: results, figures, faults, exit codes."""

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ringbus
from ringbus.cli import main
from ringbus.demo import pipeline
from ringbus.demo.baseline import Loop
from ringbus.demo.events import SECOND_NS, Limits
from ringbus.demo.feed import load
from ringbus.demo.handlers import Bars, Book, Risk
from ringbus.demo.plot import merged, ticks, time_ticks
from ringbus.demo.progress import Progress
from ringbus.demo.queues import QueuePipeline
from ringbus.demo.report import decimal, duration, half
from ringbus.demo.tape import sample_path

RAW = Path(__file__).parents[3] / "shared" / "data" / "trades"
needs_raw = pytest.mark.skipif(not RAW.is_dir(), reason="the raw feeds are not on this machine")
WHOLE = {"bars": 344, "breaches": 19, "position": "73.786", "profit": "513.90050"}
COMMAND = [sys.executable, "-m", "ringbus", "demo"]


def demo(*arguments, **options):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=25, check=False, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def plain(value, places):
    return decimal(value, places).replace(",", "")


def raw_line(row):
    """Write an event of the sample as the raw feed has it."""
    is_trade, time, *values = row
    if is_trade:
        price, quantity, sold = values
        data = {"T": 1, "t": 1, "s": "X", "p": plain(price, 1), "q": plain(quantity, 3), "m": sold}
    else:
        bid, bid_quantity, ask, ask_quantity = values
        prices = {"b": plain(bid, 1), "a": plain(ask, 1)}
        data = {"u": 1, "s": "X", **prices, "B": plain(bid_quantity, 3), "A": plain(ask_quantity, 3)}
    return f"{time} {json.dumps({'stream': 'x@trade' if is_trade else 'x@bookTicker', 'data': data})}"


@pytest.fixture
def feed(tmp_path):
    def write(events, *, bad=(), name="feed.jsonl"):
        lines = [raw_line(row) for row in load(sample_path(), limit=events)[0].rows()]
        for number, line in bad:
            lines.insert(number - 1, line)
        text = "\n".join(lines).encode() + b"\n"
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return tmp_path / name

    return write


def test_the_whole_sample_goes_through_and_all_results_are_equal():
    done = demo("--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert found["equal"] is True
    assert found["differences"] == {"ring": [], "queue.Queue": []}
    assert found["ring"]["events"] == found["queue"]["events"] == found["plain_loop"]["events"] == 87_402
    assert WHOLE.items() <= found["results"].items()
    assert list(found["ring"]["consumers"]) == ["book", "bars", "risk", "report"]
    assert all(figures["lag_after_drain"] == 0 for figures in found["ring"]["consumers"].values())
    assert found["exit_code"] == 0


def test_every_consumer_has_latencies_in_order():
    found = json.loads(demo("--json", "--no-queue", "--limit", "20000").stdout)
    for figures in found["ring"]["consumers"].values():
        latency = figures["latency_ns"]
        quantiles = [latency[name] for name in ("min", "p50", "p90", "p99", "p999", "max")]
        assert quantiles == sorted(quantiles)
        assert quantiles[0] > 0


def test_the_table_says_what_was_asked_for():
    done = demo("--limit", "30000")
    assert done.returncode == 0, done.stderr
    for text in ("events/s", "P50", "P99", "P99.9", "lag", "bars", "breaches", "ring", "queue.Queue", "plain loop"):
        assert text in done.stdout
    assert "ring: results equal to those of a plain Python loop over the same events." in done.stdout
    assert "queue.Queue: results equal to those of a plain Python loop" in done.stdout
    assert "\r" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@needs_raw
def test_the_raw_feed_gives_what_the_sample_gives():
    done = demo("--json", "--no-queue", "--strict", "--feed", str(RAW / "binance_usdm_btcusdt_20240808.jsonl.gz"))
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert WHOLE.items() <= found["results"].items()
    assert found["results"]["checksum"] == json.loads(demo("--json", "--no-queue").stdout)["results"]["checksum"]
    assert found["tape"]["other_lines"] == {"depth": 6_551, "snapshot": 1}


@needs_raw
@pytest.mark.parametrize("name", ["spot_btcusdt_20240808", "spot_btcusdt_20240809", "spot_ethusdt_20240808"])
def test_the_spot_feeds_go_through_too(name):
    done = demo("--json", "--no-queue", "--strict", "--feed", str(RAW / f"binance_{name}.jsonl.gz"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["equal"] is True


def test_bad_lines_are_counted_and_shown_and_the_run_goes_on(feed):
    path = feed(500, bad=[(3, "garbage"), (100, '7 {"stream":"x@trade","data":{}}')])
    done = demo("--feed", str(path), "--no-queue")
    assert done.returncode == 0, done.stderr
    assert "2 of 502 lines could not be used" in done.stdout
    assert "line 3: does not begin with a receive time in ns" in done.stdout
    assert "line 100: q is None" in done.stdout
    found = json.loads(demo("--feed", str(path), "--no-queue", "--json").stdout)
    assert (found["tape"]["events"], found["tape"]["bad_lines"]) == (500, 2)
    assert [bad["line"] for bad in found["tape"]["first_bad_lines"]] == [3, 100]


def test_a_bad_line_ends_a_strict_run_before_it_begins(feed):
    done = demo("--feed", str(feed(500, bad=[(3, "garbage")])), "--strict")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "feed.jsonl:3: does not begin with a receive time in ns" in done.stderr


def test_a_feed_cut_in_the_middle_of_gzip_is_used_as_far_as_it_goes(feed):
    path = feed(20_000, name="feed.jsonl.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = demo("--feed", str(path), "--no-queue")
    assert done.returncode == 0, done.stderr
    assert "gzip data ends early" in done.stdout
    assert "events before that are used" in done.stdout
    strict = demo("--feed", str(path), "--no-queue", "--strict")
    assert strict.returncode == 2
    assert "gzip data ends early" in strict.stderr


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["--feed", "missing.jsonl.gz"], "missing.jsonl.gz: cannot be read: No such file"),
        (["--feed", "."], "Is a directory"),
        (["--feed", os.devnull], "holds no trade and no best quote"),
        (["--speed", "0x"], "'0x' is not a speed"),
        (["--speed", "fast"], "'fast' is not a speed"),
        (["--limit", "0"], "'0' is not a number of events"),
        (["--limit", "-5"], "--limit"),
        (["--plot", "no/such/folder/a.svg"], "there is no folder no/such/folder"),
        (["--plot", "."], "--plot .: is a folder"),
        (["--threads", "2"], "--threads"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_or_input_is_exit_code_2(tmp_path, arguments, fact):
    done = demo(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert fact in done.stderr
    assert done.stdout == ""


def test_speed_replays_by_the_tapes_own_clock(feed):
    tape = load(sample_path(), limit=3000)[0]
    found = json.loads(demo("--limit", "3000", "--speed", "50x", "--json").stdout)
    assert found["ring"]["seconds"] >= tape.duration_ns / SECOND_NS / 50
    assert found["equal"] is True
    assert found["queue"] is None
    assert "--speed" in found["queue_note"]


def test_a_plot_has_three_labelled_panels(tmp_path):
    path = tmp_path / "run.svg"
    done = demo("--limit", "40000", "--no-queue", "--plot", str(path))
    assert done.returncode == 0, done.stderr
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    for text in ("Price", "Latency by consumer, publish to hand-over", "time (UTC)", "price", "latency", "P99.9"):
        assert text in texts
    assert any(text.startswith("One-second bars") for text in texts)
    assert "nan" not in path.read_text(encoding="utf-8").lower().split("<text")[0]


@pytest.mark.parametrize("events", [1, 2, 3])
def test_a_plot_of_next_to_nothing_is_still_one(tmp_path, events):
    path = tmp_path / "run.svg"
    assert demo("--limit", str(events), "--no-queue", "--plot", str(path)).returncode == 0
    ElementTree.fromstring(path.read_text(encoding="utf-8"))


def interrupt_when_running(*arguments, times=1):
    """Start a replay that takes minutes, wait until report has seen the first event, send Ctrl-C, return the rest."""
    process = subprocess.Popen([*COMMAND, "--speed", "1x", *arguments], stdout=-1, stderr=-1, text=True)
    for line in process.stderr:
        if line.startswith("ring:"):
            break
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in err, err
    return process.returncode, out


def test_ctrl_c_leaves_a_partial_and_honest_summary():
    code, out = interrupt_when_running("--json")
    found = json.loads(out)
    assert code == found["exit_code"] == 1
    assert found["interrupted"] == "ring"
    published = found["ring"]["events"]
    assert 0 < published < found["tape"]["events"] == 87_402
    assert found["results"]["events"] == found["plain_loop"]["events"] == published
    assert found["equal"] is True
    assert (found["queue"], found["queue_note"]) == (None, "left out (interrupted)")


def test_ctrl_c_is_said_in_the_table():
    code, out = interrupt_when_running()
    assert code == 1
    assert "of 87,402 events went through the ring, each handled by every consumer" in out


def test_ctrl_c_in_the_queues_keeps_what_the_ring_gave():
    process = subprocess.Popen([*COMMAND, "--json"], stdout=-1, stderr=-1, text=True)
    for line in process.stderr:
        if line.startswith("plain loop:"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert "Traceback" not in err, err
    found = json.loads(out)
    assert (process.returncode, found["queue"]) == (1, None)
    assert found["interrupted"] in ("loop", "queue")  # it may come in between the line and the next step
    assert found["ring"]["events"] == 87_402
    assert found["differences"] == {"ring": []}


def test_ctrl_c_inside_a_put_that_holds_its_lock_does_not_hang():
    queues = QueuePipeline(Limits(10**9, 5), Progress(None, "", ""))

    def rows():
        yield True, 1, 100, 1, False
        queues._stages[-1].inbox.mutex.acquire()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queues.run(rows())


def test_two_ctrl_c_in_a_row_leave_no_traceback():
    code, out = interrupt_when_running(times=2)
    assert code == 1
    assert "queue.Queue: results" not in out


def test_whoever_reads_the_output_may_leave():
    process = subprocess.Popen([*COMMAND, "--limit", "100", "--json"], stdout=-1, stderr=-1, text=True)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=20) == 1
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said_in_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "--limit", "100"], stdout=full, stderr=-1, text=True, timeout=25, check=False)
    assert done.returncode == 1
    assert "ringbus: [Errno 28] No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_progress_moves_on_a_terminal_and_only_there():
    leader, follower = pty.openpty()
    done = subprocess.run([*COMMAND, "--no-queue"], stdout=subprocess.PIPE, stderr=follower, timeout=25, check=False)
    os.close(follower)
    assert done.returncode == 0
    shown = os.read(leader, 1 << 20).decode()
    os.close(leader)
    assert "\rring:" in shown
    assert "of 87,402 events" in shown
    assert b"\r" not in done.stdout


def test_a_wrong_result_is_found_and_is_exit_code_1(monkeypatch, capsys):
    class WrongOnce(Book):
        def trade(self, trade):
            super().trade(trade)
            trade.profit2 += trade.quantity == 1

    monkeypatch.setattr(pipeline, "Book", WrongOnce)
    assert main(["demo", "--limit", "5000", "--no-queue"]) == 1
    assert "DIFFERENT: the results of ring are not those of the plain loop: checksum." in capsys.readouterr().out


def test_one_thread_for_all_consumers_gives_the_same_results():
    found = json.loads(demo("--json", "--threads", "1").stdout)
    assert found["threads"] == 1
    assert found["differences"] == {"ring": [], "queue.Queue": []}
    assert WHOLE.items() <= found["results"].items()


def test_two_consumers_that_fail_are_both_named(monkeypatch, capsys):
    both = threading.Barrier(2)

    def fail(self, event):
        both.wait(10)
        raise ArithmeticError(f"no {type(self).__name__} here")

    monkeypatch.setattr(Book, "take", fail)
    monkeypatch.setattr(Bars, "take", ringbus.batch(fail))
    assert main(["demo", "--limit", "5000", "--no-queue"]) == 1
    shown = capsys.readouterr().err
    assert "no Book here" in shown
    assert "no Bars here" in shown


def test_a_consumer_that_fails_is_exit_code_1(monkeypatch, capsys):
    def fail(self, quote):
        raise ArithmeticError("no such price")

    monkeypatch.setattr(Risk, "quote", fail)
    assert main(["demo", "--limit", "5000"]) == 1
    shown = capsys.readouterr()
    assert "risk" in shown.err
    assert "caused by ArithmeticError: no such price" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_tape_of_any_length_gives_equal_results(size):
    tape = load(sample_path())[0]
    rows = tape.rows()[20_000 : 20_000 + size]
    run = pipeline.Pipeline(Limits.of(tape), Progress(None, "", "")).run(rows)
    assert run.results == Loop(Limits.of(tape)).run(rows)
    assert run.published == size


def test_the_version_is_shown():
    done = subprocess.run([sys.executable, "-m", "ringbus", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ringbus 0.")


def test_without_a_command_the_usage_is_shown():
    done = subprocess.run([sys.executable, "-m", "ringbus"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: ringbus" in done.stderr


@pytest.mark.parametrize(
    ("value", "places", "text"), [(0, 0, "0"), (-5, 1, "-0.5"), (1234567, 3, "1,234.567"), (10, 1, "1.0")]
)
def test_a_scaled_integer_is_written_exactly(value, places, text):
    assert decimal(value, places) == text


def test_half_a_step_is_written_exactly():
    assert [half(value, 1) for value in (1, 2, -3)] == ["0.05", "0.10", "-0.15"]


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0 ns"), (999, "999 ns"), (1500, "1.5 us"), (2e6, "2 ms"), (3.25e9, "3.25 s")]
)
def test_a_time_is_written_in_its_unit(ns, text):
    assert duration(ns) == text


def test_ticks_are_round_and_inside():
    assert ticks(61_577, 61_852) == [61_600, 61_650, 61_700, 61_750, 61_800, 61_850]
    assert ticks(0.0, 1.0, 4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert time_ticks(0.5, 130.0) == [30.0, 60.0, 90.0, 120.0]


def test_bars_are_put_together_without_losing_a_trade():
    tape = load(sample_path(), limit=40_000)[0]
    bars = pipeline.Pipeline(Limits.of(tape), Progress(None, "", "")).run(tape.rows()).results.bars
    width, shown = merged(bars, 20)
    assert width > 1
    assert len(shown) <= 21
    assert sum(bar.volume for bar in shown) == int(tape.trades["quantity"].sum())
    assert sum(bar.trades for bar in shown) == len(tape.trades["time"])
