"""The commands that look into shared rings, as a user runs them: what they print, what they refuse, exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ringbus
from ringbus.cli import main
from support.children import start_child
from support.events import Quote, Trade
from support.segments import CONSUMERS, change_header, rings_folder, words_of

__all__ = ["rings_folder"]

COMMAND = [sys.executable, "-m", "ringbus"]


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str) -> Done:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize("start", [COMMAND, [str(Path(sys.executable).parent / "ringbus")]], ids=["module", "script"])
def test_ctrl_c_while_the_program_still_imports_is_one_line(tmp_path: Path, start: list[str]) -> None:
    (tmp_path / "numpy.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*start, "ls"], capture_output=True, text=True, timeout=25, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "ringbus: interrupted\n")


def test_ctrl_c_while_other_programs_import_is_their_own(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = [sys.executable, "-c", "import ringbus"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=25, check=False, env=environment)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.endswith("KeyboardInterrupt\n")


def test_the_commands_run_as_programs_too(rings_folder: Path) -> None:
    with pipeline():
        for arguments in (["ls"], ["inspect", "trades"], ["dump", "trades"], ["top", "--once"]):
            done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=25, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            assert "trades" in done.stdout or '"Trade"' in done.stdout
        done = subprocess.run([*COMMAND, "rm", "trades"], capture_output=True, text=True, timeout=25, check=False)
        assert done.returncode == 1
        assert "somebody lives in trades" in done.stderr


@contextlib.contextmanager
def pipeline() -> Iterator[ringbus.RingBuffer[Any]]:
    """A ring with a graph, forty events in it, all handled."""
    ring = ringbus.RingBuffer(Trade, 64, name="trades", stamp=True, require=("late",))
    group = ring.consumer_group("desk")
    group.add("price", lambda trade: None)
    group.add("book", lambda trade: None)
    group.add("risk", lambda trade: None).depends_on("price", "book")
    group.add("glance", lambda trade: None, gating=False)
    with group:
        for number in range(40):
            ring.publish(symbol=f"s{number}", price=float(number), number=number)
        group.drain()
        yield ring
        ring.forget("late")


# -- ls ---------------------------------------------------------------------------------------------------------------


def test_ls_lists_rings_alive_and_left_behind(rings_folder: Path) -> None:
    assert command("ls").stdout == f"no rings in {rings_folder}\n"
    ringbus.RingBuffer(Quote, 1024, name="quotes")
    with pipeline():
        done = command("ls")
        assert (done.returncode, done.stderr) == (0, "")
        head, quotes, trades = done.stdout.splitlines()
        assert head.split() == ["NAME", "STATE", "EVENTS", "SLOTS", "SIZE", "PUBLISHED", "PRODUCERS", "CONSUMERS"]
        assert quotes.split()[:5] == ["quotes", "left", "behind", "Quote", "1,024"]
        assert trades.split()[:4] == ["trades", "alive", "Trade", "64"]
        assert trades.endswith("40          1  late, price, book, risk, glance")
        found = json.loads(command("ls", "--json").stdout)
        assert [(entry["name"], entry["state"], entry["cursor"]) for entry in found] == [
            ("quotes", "left behind", -1),
            ("trades", "alive", 39),
        ]


def test_ls_names_what_is_broken_and_lists_the_rest(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 8, name="quotes")
    (rings_folder / "letter").write_text("dear user")
    ringbus.RingBuffer(Quote, 8, name="newer")
    change_header(rings_folder / "newer", 8, (9).to_bytes(4, "little"))
    done = command("ls")
    assert done.returncode == 2
    assert "letter: " in done.stdout
    assert "too short for a ring" in done.stdout
    assert "another layout" in done.stdout
    assert "quotes  alive" in done.stdout
    assert ring.cursor == -1


# -- rm ---------------------------------------------------------------------------------------------------------------


def test_rm_removes_a_ring_that_was_left_behind(rings_folder: Path) -> None:
    ringbus.RingBuffer(Quote, 8, name="quotes")
    ringbus.RingBuffer(Quote, 8, name="more")
    done = command("rm", "quotes", "more")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(rings_folder.iterdir()) == []


def test_rm_refuses_while_somebody_lives_in_it_and_says_who(rings_folder: Path) -> None:
    with pipeline() as ring:
        done = command("rm", "trades")
        assert done.returncode == 1
        assert f"consumer price (pid {os.getpid()}, live)" in done.stderr
        assert "late" not in done.stderr
        ring.publish(symbol="x", price=1.0)


def test_rm_by_force_removes_it_and_tells_those_in_it(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 8, name="quotes")
    assert command("rm", "--force", "quotes").returncode == 0
    with pytest.raises(ringbus.RingReplacedError):
        ring.publish(bid=1.0)
    assert list(rings_folder.iterdir()) == []


def test_rm_leaves_what_is_no_ring_alone_unless_forced(rings_folder: Path) -> None:
    (rings_folder / "letter").write_text("dear user")
    done = command("rm", "letter")
    assert done.returncode == 2
    assert "too short for a ring" in done.stderr
    assert (rings_folder / "letter").exists()
    assert command("rm", "--force", "letter").returncode == 0
    assert list(rings_folder.iterdir()) == []
    assert command("rm", "letter").returncode == 2
    assert command("rm", "../letter").returncode == 2


# -- inspect ----------------------------------------------------------------------------------------------------------


def test_inspect_shows_header_schema_graph_and_counters(rings_folder: Path) -> None:
    with pipeline():
        done = command("inspect", "trades")
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert text.startswith("trades: alive, 64 slots, for any number of producers\n")
    assert "cursor          39 (published 39, free slots 24, pads 0)" in text
    assert "event Trade" in text
    assert "symbol" in text
    assert f"pid {os.getpid()}, 0 open claim(s)" in text
    lines = [line.strip() for line in text.splitlines()]
    graph = [line for line in lines if line.startswith(("├", "└", "│"))]
    assert [line.split()[1] for line in graph] == ["late", "price", "└─", "book", "glance"]
    assert graph[2].endswith("after price, book")
    assert graph[0].split()[2:5] == ["held", "-1", "40"]
    assert graph[4].endswith("does not gate")


def test_inspect_as_json_names_everything(rings_folder: Path) -> None:
    with pipeline():
        found = json.loads(command("inspect", "trades", "--json").stdout)
    assert found["header"]["capacity"] == 64
    assert found["header"]["stamped"]
    assert [field["name"] for field in found["schema"][0]["fields"]] == ["symbol", "price", "quantity", "number"]
    consumers = {consumer["name"]: consumer for consumer in found["consumers"]}
    assert consumers["risk"]["depends_on"] == ["price", "book"]
    assert consumers["risk"]["events"] == 40
    assert consumers["late"]["lag"] == 40
    assert (consumers["late"]["state"], consumers["late"]["pid"]) == ("held", 0)
    assert found["producers"] == [{"pid": os.getpid(), "alive": True, "open_claims": 0}]


def test_inspect_marks_the_stopped_the_away_and_the_dead(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 64, name="quotes")
    program = """
    ring = ringbus.attach("quotes")
    group = ring.consumer_group("away")
    group.add("keeps", lambda quote: None, durable=True)
    poller = ring.poller("reads")
    with ring.claim() as quote:
        print("ready", flush=True)
        time.sleep(60)
    """
    with start_child(program) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        os.kill(child.pid, signal.SIGSTOP)
        wait_for_stop(child.pid)
        assert states("quotes") == {"keeps": "stopped", "reads": "stopped"}
        child.kill()
        child.wait()
        assert states("quotes") == {"keeps": "away", "reads": "dead"}
        found = json.loads(command("inspect", "quotes", "--json").stdout)
        assert [(line["alive"], line["open_claims"]) for line in found["producers"]] == [(False, 1)]
        assert "dead" in command("inspect", "quotes").stdout
    assert ring.recover()


def wait_for_stop(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


def states(name: str) -> dict[str, str]:
    found = json.loads(command("inspect", name, "--json").stdout)
    return {consumer["name"]: consumer["state"] for consumer in found["consumers"]}


def test_names_in_a_segment_cannot_steer_a_terminal(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 8, name="quotes")
    poller = ring.poller("reader")
    with words_of(rings_folder / "quotes") as words:
        place = CONSUMERS + 56
        words.memory[place : place + 16] = b"\x1b[2Jevil\nname\0\0\0"
        for arguments in (("ls",), ("inspect", "quotes"), ("top", "--once"), ("rm", "quotes")):
            done = command(*arguments)
            assert "\x1b" not in done.stdout + done.stderr
            assert "?[2Jevil?name" in done.stdout + done.stderr
    poller.close()


# -- dump -------------------------------------------------------------------------------------------------------------


def test_dump_prints_the_last_events_as_json_lines(rings_folder: Path) -> None:
    with pipeline():
        lines = [json.loads(line) for line in command("dump", "trades").stdout.splitlines()]
        assert [line["sequence"] for line in lines] == list(range(30, 40))
        assert lines[-1].pop("published_ns") > 0
        assert lines[-1] == {
            "sequence": 39, "event": "Trade", "symbol": "s39", "price": 39.0, "quantity": 1.0, "number": 39
        }  # fmt: skip
        assert len(command("dump", "trades", "--count", "100").stdout.splitlines()) == 40
        assert command("dump", "trades", "--count", "0").returncode == 2


def test_dump_gives_only_what_is_not_overwritten_and_no_pads(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Trade | Quote, 8, name="mixed")
    for number in range(20):
        ring.publish(Quote, bid=float(number)) if number % 2 else ring.publish(Trade, symbol="x", price=float(number))
    with contextlib.suppress(ZeroDivisionError), ring.claim(Quote) as quote:
        quote.bid = 1 / 0
    lines = [json.loads(line) for line in command("dump", "mixed", "--count", "50").stdout.splitlines()]
    assert [(line["sequence"], line["event"]) for line in lines] == [
        (number, "Quote" if number % 2 else "Trade") for number in range(13, 20)
    ]
    quotes = [
        json.loads(line) for line in command("dump", "mixed", "--type", "Quote", "--count", "2").stdout.splitlines()
    ]
    assert [line["bid"] for line in quotes] == [17.0, 19.0]


def test_dump_writes_a_numpy_file(rings_folder: Path, tmp_path: Path) -> None:
    with pipeline():
        assert command("dump", "trades", "--npy", str(tmp_path / "all.npy")).returncode == 0
        assert command("dump", "trades", "--npy", str(tmp_path / "few.npy"), "--count", "3").returncode == 0
    rows = np.load(tmp_path / "all.npy", allow_pickle=False)
    assert rows.dtype == Trade.dtype
    assert rows["number"].tolist() == list(range(40))
    assert np.load(tmp_path / "few.npy")["number"].tolist() == [37, 38, 39]


def test_dump_of_several_types_to_numpy_needs_one_named(rings_folder: Path, tmp_path: Path) -> None:
    ring = ringbus.RingBuffer(Trade | Quote, 8, name="mixed")
    ring.publish(Quote, bid=1.5)
    done = command("dump", "mixed", "--npy", str(tmp_path / "x.npy"))
    assert done.returncode == 2
    assert "--type" in done.stderr
    assert command("dump", "mixed", "--npy", str(tmp_path / "x.npy"), "--type", "Halted").returncode == 2
    assert command("dump", "mixed", "--npy", str(tmp_path / "x.npy"), "--type", "Quote").returncode == 0
    assert np.load(tmp_path / "x.npy")["bid"].tolist() == [1.5]


# -- top --------------------------------------------------------------------------------------------------------------


def test_top_once_writes_one_frame(rings_folder: Path) -> None:
    ringbus.RingBuffer(Quote, 8, name="quotes")
    with pipeline():
        done = command("top", "--once")
        only = command("top", "trades", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"2 ring(s) in {rings_folder}")
    assert "no consumers: events are overwritten" in done.stdout
    assert "HELD" in done.stdout
    assert "└─ risk" in done.stdout
    assert "40 of 64 slots in use" in done.stdout
    assert "\x1b" not in done.stdout
    assert only.stdout.startswith(f"1 ring(s) in {rings_folder}")
    assert "quotes" not in only.stdout


def test_top_shows_rates_and_waiting_time(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 1024, name="quotes")
    group = ring.consumer_group("desk")
    group.add("busy", lambda quote: None)
    with group:
        child = subprocess.Popen([*COMMAND, "top", "--once"], stdout=subprocess.PIPE, text=True)
        while child.poll() is None:
            ring.publish(bid=1.0)
            time.sleep(0.001)
        assert child.stdout is not None
        text = child.stdout.read()
        child.stdout.close()
    line = next(line for line in text.splitlines() if "busy" in line)
    rate = line.split()[4]
    assert rate.endswith("/s") or line.split()[5].endswith("/s")
    assert rate != "0/s"


def test_top_that_is_no_terminal_writes_frames_as_lines_until_it_is_ended(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 8, name="quotes")
    child = subprocess.Popen([*COMMAND, "top", "--every", "0.05"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    seen = 0
    for line in child.stdout:
        seen += line.startswith("1 ring(s)")
        if seen == 3:
            break
    child.send_signal(signal.SIGINT)
    child.stdout.close()
    assert child.wait(20) in (0, 1)
    assert ring.cursor == -1


def test_top_on_a_terminal_redraws_it_and_ends_on_q(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 8, name="quotes")
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [*COMMAND, "top", "--every", "0.05"])
    text, asked = b"", False
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 1.0)
        if ready:
            try:
                text += os.read(terminal, 65536)
            except OSError:
                break
        if not asked and text.count(b"1 ring(s)") >= 3:
            os.write(terminal, b"q")
            asked = True
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert text.index(b"\x1b[?1049h") < text.index(b"quotes") < text.index(b"\x1b[?1049l")
    assert ring.cursor == -1


def test_top_names_broken_files_and_goes_on_with_the_rest(rings_folder: Path) -> None:
    ring = ringbus.RingBuffer(Quote, 8, name="quotes")
    (rings_folder / "letter").write_text("dear user")
    done = command("top", "--once")
    assert done.returncode == 2
    assert "letter: " in done.stdout
    assert "quotes  alive" in done.stdout
    assert ring.cursor == -1


# -- all --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["inspect", "dump", "top", "rm"])
def test_a_ring_that_is_missing_or_broken_is_named_with_exit_code_2(rings_folder: Path, verb: str) -> None:
    (rings_folder / "letter").write_bytes(b"x" * 5000)
    (rings_folder / "link").symlink_to("/etc/passwd")
    for name, says in (
        ("nothing", "there is no ring"),
        ("letter", "is no ring"),
        ("link", "symbolic"),
        ("../x", "no name"),
    ):
        done = command(verb, name)
        assert (done.returncode, done.stdout) == (2, ""), name
        assert says in done.stderr, name


def test_looking_leaves_no_trace_in_the_ring(rings_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written to the segment, nobody joins, and whoever looks does not count as living in it."""
    ring = ringbus.RingBuffer(Quote, 8, name="quotes", require=("late",))
    ring.publish(bid=1.0)
    before = (rings_folder / "quotes").read_bytes()
    for arguments in (["ls"], ["inspect", "quotes"], ["dump", "quotes"], ["top", "--once"], ["rm", "quotes"]):
        main(arguments)
    capsys.readouterr()
    assert (rings_folder / "quotes").read_bytes() == before
    del ring
    assert main(["rm", "quotes"]) == 0
