"""The benchmark suite's own parts, from the histogram to the page."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from suite import bars, check, checksums, command, plots, record, runner, scenarios, tables
from suite import page as pages
from suite.contestants import Contestant
from suite.histogram import Histogram, lowest, width
from suite.measure import Measure
from suite.record import FORMAT, Record, RecordError

ROOT = Path(__file__).parents[2]
COUNTED = ("collections", "kept_blocks", "mallocs", "minor_faults", "major_faults")


def row(contestant: str, ns: list[float], language: str = "python", **facts: Any) -> dict[str, Any]:
    """A row of a record."""
    found = {"language": language, "contestant": contestant, "wait": "spin", "status": "ok", "word": ""}
    return found | {"runtime": "x", "events": 1000, "ns": ns, "mean_batch": 2.5} | facts


def latencies(*values: int) -> dict[str, Any]:
    """A row's latency: one process each value, all events of which took that long."""
    parts = [Histogram.of(np.full(1000, value)) for value in values]
    merged = Histogram()
    for part in parts:
        merged.add(part.buckets())
    return {"merged": merged.summary(), "parts": [part.summary() for part in parts], "curve": merged.curve()}


def sample() -> Record:
    """A small record."""
    harness = row("harness", [5.0, 5.1, 5.2], "cpp")
    one = [
        row("raw-spsc", [8.0, 8.0, 8.0], "cpp"),
        row("disruptor-4.0.0", [20.0, 22.0, 21.0], "java"),
        row("ringbus compiled", [9.0, 9.5, 10.0]),
        {"language": "rust", "contestant": "rtrb", "wait": "", "status": "skipped", "word": "it does not wait so"},
    ]
    trips = [
        row("ringbus python, publish(...)", [3000.0], latency=latencies(3000, 3100)),
        row("cloudtoid", [2000.0], latency=latencies(2000, 2100)),
    ]
    machine = {
        "cores": 2,
        "processor": "p",
        "caches": {"L1": "48K"},
        "memory": "8 GiB",
        "system": "Linux",
        "python": "CPython",
    }
    data = {
        "format": FORMAT,
        "day": "2026-01-02",
        "quick": False,
        "runs": 3,
        "minutes": 1.0,
        "missing": ["go: skipped, it is not built"],
        "machine": machine | {"numpy": "2", "ringbus": "0", "load_before": "0 0 0", "load_after": "0 0 0"},
        "scenarios": [
            {"id": "harness", "title": "The harness", "note": "n", "unit": "throughput", "rows": [harness]},
            {"id": "1p1c", "title": "One to one", "note": "n", "unit": "throughput", "rows": one},
            {"id": "pingpong-spin", "title": "Ping-pong", "note": "n", "unit": "latency", "rows": trips},
            {"id": "ring-1024", "title": "r", "note": "n", "unit": "throughput", "rows": copy.deepcopy(one[:3])},
            {"id": "ring-4096", "title": "r", "note": "n", "unit": "throughput", "rows": copy.deepcopy(one[:3])},
        ],
        "garbage": {"publish(...)": {"events": 100, **dict.fromkeys(COUNTED, 0)}},
    }
    return Record(data)


def test_a_bucket_is_exact_up_to_255_and_then_one_of_128_in_each_power_of_two() -> None:
    assert [width(value) for value in (0, 1, 255, 256, 511, 512, 1 << 20)] == [1, 1, 1, 2, 2, 4, 1 << 13]
    assert [lowest(value) for value in (255, 257, 1001, (1 << 20) + 5)] == [255, 256, 1000, 1 << 20]


def test_a_histogram_of_many_values_at_once_counts_as_one_by_one() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    values = np.random.default_rng(seed).lognormal(8, 4, 4999).astype(np.int64)
    one_by_one = Histogram().add([(int(value), 1) for value in values])
    assert Histogram.of(values).counts == one_by_one.counts
    for percent in (50.0, 99.0, 99.9):
        exact = float(np.percentile(values, percent, method="inverted_cdf"))
        assert exact <= Histogram.of(values).percentile(percent) <= exact * (1 + 2 / 128) + 1


def test_merged_histograms_are_the_histogram_of_all() -> None:
    first, second = np.arange(0, 5000, 7), np.arange(100_000, 900_000, 1001)
    merged = Histogram.of(first).add(Histogram.of(second).buckets())
    assert merged.counts == Histogram.of(np.concatenate([first, second])).counts
    assert merged.summary()["p100"] >= 899_000


def test_an_empty_histogram_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="empty"):
        Histogram().percentile(50)


@pytest.mark.parametrize("sent", [[10], [3, 3, 3], [5, 2]])
def test_a_checksum_is_the_sum_of_what_each_producer_sent(sent: list[int]) -> None:
    one = replace(scenarios.every()[1], size=32, copies=2)
    numbers = [i * len(sent) + p for p, count in enumerate(sent) for i in range(count)]
    words = [[number + i for i in range(4)] for number in numbers]
    by_hand = {
        "words": sum(map(sum, words)),
        "timed": sum(sum(event) - event[1] for event in words),
        "number": sum(numbers),
        "fields": 2 * sum(numbers),
    }
    assert {kind: checksums.expected(kind, one, sent) for kind in by_hand} == {
        k: str(2 * v) for k, v in by_hand.items()
    }
    assert checksums.shares(11, 3) == [4, 4, 3]


def test_the_checksum_of_messages_counts_their_first_byte_and_their_length() -> None:
    one = replace(scenarios.every()[1], size=64)
    assert checksums.expected("bytes", one, [600]) == str(sum((n & 255) + 64 for n in range(600)))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A contestant that answers as its name says."""
    path = tmp_path / "program"
    path.write_text(
        textwrap.dedent(f"""\
        #!{sys.executable}
        import json, sys, time
        found = dict(zip(sys.argv[1::2], sys.argv[2::2]))
        name, events = found["--contestant"], int(found["--events"])
        words = int(found["--size"]) // 8
        total = words * (events * (events - 1) // 2) + events * (words * (words - 1) // 2)
        if name == "late":
            time.sleep(60)
        if name == "absent":
            print("no such wait", file=sys.stderr)
            sys.exit(3)
        if name == "broken":
            raise SystemError("it broke")
        total += name == "liar"
        answer = {{"events": events, "seconds": 0.001, "checksum": str(total), "mean_batch": 4, "runtime": "r"}}
        print(json.dumps(answer))
        """),
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def contestant(program: Path, name: str) -> Contestant:
    """A side that waits by spinning."""
    return Contestant("test", name, (str(program),), ("spin",), "words", batches=False)


def test_the_runner_shows_who_is_wrong_absent_or_broken_and_measures_the_others(program: Path) -> None:
    one = replace(scenarios.every()[1], pilot=1000, most=5000)
    sides = [contestant(program, name) for name in ("honest", "liar", "absent", "broken")]
    said: list[str] = []
    found = runner.measure(one, sides, runner.Effort(runs=2, target=0.001), said.append)
    status = {row["contestant"]: row["status"] for row in found["rows"]}
    assert status == {"honest": "ok", "liar": "WRONG", "absent": "skipped", "broken": "failed"}
    words = {row["contestant"]: row["word"] for row in found["rows"]}
    assert "should be" in words["liar"]
    assert words["absent"] == "no such wait"
    assert "it broke" in words["broken"]
    honest = found["rows"][0]
    assert (len(honest["ns"]), honest["events"], honest["mean_batch"]) == (2, 1000, 4)


def test_a_program_that_does_not_answer_in_time_is_ended(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suite.measure.TIMEOUT", 0.2)
    outcome = Measure(scenarios.every()[1], contestant(program, "late"), "spin", 10).run()
    assert outcome.status == "timed out"


def test_a_side_without_a_fitting_wait_is_skipped_with_a_word(program: Path) -> None:
    blocking = replace(scenarios.every()[1], waits=("block",))
    found = runner.measure(blocking, [contestant(program, "honest")], runner.Effort(runs=1), print)
    assert [(row["status"], row["word"]) for row in found["rows"]] == [("skipped", "it does not wait by block")]


def test_bars_are_computed_from_the_ratios_of_the_rounds() -> None:
    verdicts = {verdict.text: verdict for verdict in bars.verdicts(sample())}
    assert verdicts["1P1C compiled, single claims, against raw C++"].met is True
    assert "0.84 x as fast" in verdicts["1P1C compiled, single claims, against raw C++"].measured
    assert verdicts["1P1C compiled, single claims, against Java"].met is True
    assert verdicts["ping-pong, spinning: Python against the best peer"].met is False
    assert verdicts["1P2C compiled against Java"].met is None
    assert verdicts["no garbage: publish(...)"].met is True


@pytest.mark.parametrize("name", COUNTED)
def test_a_path_is_clean_where_each_count_is_0_and_open_where_one_was_not_made(name: str) -> None:
    def judge(count: int | None) -> tuple[bool | None, str]:
        facts = {"events": 100, **dict.fromkeys(COUNTED, 0), name: count}
        found = bars.verdicts(Record(sample().data | {"garbage": {"path": facts}}))[-1]
        return found.met, found.measured

    assert judge(0)[0] is True
    assert judge(3)[0] is False
    assert ", 3 " in f", {judge(3)[1]}"
    met, said = judge(None)
    assert met is None
    assert said.count("not counted") == 1


DIRTY = """
import gc, json, mmap, garbage

class Dirty:
    kept = []
    def start(self): pass
    def stop(self): pass
    def move(self, pieces):
        for _ in range(pieces):
            fresh = mmap.mmap(-1, mmap.PAGESIZE)
            fresh[0] = 1
            self.kept.append(fresh)
            gc.collect()

garbage.WARM = 1
print(json.dumps(garbage.count(Dirty, 8 * garbage.CAPACITY)))
"""


def test_a_path_that_leaves_garbage_is_seen_to() -> None:
    folder = ROOT / "benches" / "contestants" / "python"
    done = subprocess.run(
        [sys.executable, "-c", DIRTY], cwd=folder, capture_output=True, text=True, timeout=25, check=True
    )
    found = json.loads(done.stdout)
    assert (found["events"], found["collections"], found["mallocs"]) == (8 * 8192, 7, None)
    assert found["minor_faults"] >= 7
    assert found["kept_blocks"] >= 7


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    sample().save(path)
    assert Record.load(path).data == json.loads(json.dumps(sample().data))
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) < 3000


@pytest.mark.parametrize(
    ("text", "word"),
    [(None, "cannot be read"), ("{", "is no record"), ("[]", "format None"), ('{"format": 0}', "format 0")],
)
def test_a_file_that_is_no_record_of_this_format_is_refused(tmp_path: Path, text: str | None, word: str) -> None:
    path = tmp_path / "record.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=rf"record\.json.* {word}"):
        Record.load(path)


def slower(factor: float) -> Record:
    """The sample with our compiled side slower by a factor."""
    data = copy.deepcopy(sample().data)
    ours = data["scenarios"][1]["rows"][2]
    ours["ns"] = [ns * factor for ns in ours["ns"]]
    return Record(data)


def test_the_comparison_finds_what_got_worse_and_leaves_noise_alone() -> None:
    assert [change for change in check.compare(sample(), slower(1.05)) if change.is_worse] == []
    worse = [str(change) for change in check.compare(sample(), slower(1.5)) if change.is_worse]
    assert len(worse) == 2
    assert "ringbus compiled against raw-spsc (C++)" in worse[0]
    better = [change for change in check.compare(slower(1.5), sample()) if change.is_better]
    assert len(better) == 2


def test_the_comparison_finds_garbage_that_was_not_left_before() -> None:
    data = copy.deepcopy(sample().data)
    data["garbage"]["publish(...)"]["mallocs"] = 4
    dirty = Record(data)
    assert check.dirtier(sample(), dirty) == ["no garbage: publish(...): 4 malloc calls, and none before"]
    assert check.dirtier(dirty, dirty) == check.dirtier(dirty, sample()) == []


def test_the_comparison_finds_our_sides_that_are_gone() -> None:
    data = copy.deepcopy(sample().data)
    data["scenarios"][1]["rows"][2] |= {"status": "failed", "word": "it broke"}
    assert check.vanished(sample(), Record(data)) == ["1p1c: ringbus compiled"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of records, beside a page of its own."""
    monkeypatch.setattr(record, "FOLDER", tmp_path / "record")
    monkeypatch.setattr(record, "NEW", tmp_path / "record" / "new.json")
    monkeypatch.setattr(pages, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(pages, "PICTURES", tmp_path / "benchmarks")
    return tmp_path / "record"


def test_a_kept_record_has_its_day_and_a_page_and_is_what_the_next_is_compared_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample().save(folder / "new.json")
    assert command.main(["keep"]) == 0
    kept = folder / "2026-01-02-ringbus-0.json"
    assert record.newest() == kept
    assert kept.name in (folder.parent / "benchmarks.md").read_text(encoding="utf-8")
    assert command.main(["check"]) == 0
    slower(1.5).save(folder / "new.json")
    capsys.readouterr()
    assert command.main(["check"]) == 1
    said = capsys.readouterr().out
    assert f"against {kept} (2026-01-02, ringbus 0, whole)" in said
    assert "WORSE  1p1c: ringbus compiled against raw-spsc (C++)" in said
    assert "2 worse" in said


@pytest.mark.parametrize("words", [["keep"], ["check"], ["page"]])
def test_without_a_record_a_command_says_what_to_run(folder: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit, match="make bench"):
        command.main(words)
    assert not folder.exists()


def test_a_record_of_some_scenarios_only_is_compared_but_not_kept(folder: Path) -> None:
    sample().save(folder / "2026-01-01.json")
    part = Record(sample().data | {"picked": ["1p1c"]})
    part.save(folder / "new.json")
    assert command.main(["check"]) == 0
    with pytest.raises(SystemExit, match="holds only 1p1c"):
        command.main(["keep"])
    assert [path.name for path in folder.parent.iterdir()] == ["record"]


def test_records_with_nothing_in_common_are_not_called_alike(folder: Path) -> None:
    sample().save(folder / "2026-01-01.json")
    Record(sample().data | {"scenarios": []}).save(folder / "new.json")
    with pytest.raises(SystemExit, match="nothing was compared"):
        command.main(["check"])


def test_a_table_begins_with_the_harness_and_the_limit_and_ends_with_who_is_absent() -> None:
    lines = tables.markdown(sample(), "1p1c").splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
    assert names[2:6] == ["harness (C++)", "raw-spsc (C++)", "ringbus compiled", "disruptor-4.0.0 (Java)"]
    assert names[6] == "*another system, measured on another machine*"
    assert lines[-1] == "- rtrb (Rust): skipped: it does not wait so"
    assert "9.5" in tables.text(sample(), "1p1c")
    assert "3.01 us" in tables.text(sample(), "pingpong-spin")


def test_the_page_says_where_ringbus_loses_and_shows_each_table_and_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(pages, "PICTURES", tmp_path / "benchmarks")
    written = pages.write_page(sample(), Path("sample.json"))
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    names = {path.name for path in written}
    assert names == {"benchmarks.md", "1p1c.svg", "pingpong-spin.svg", "ring.svg"}
    assert "- Ping-pong: cloudtoid (Python) 0.68 of the P99 of latency of ringbus python" in text
    assert "**missed** | ping-pong, spinning: Python against the best peer" in text
    for path in written[1:]:
        assert f"benchmarks/{path.name}" in text


def test_pictures_are_well_formed_and_name_their_sides() -> None:
    pictures = plots.pictures(sample())
    for picture in pictures.values():
        ElementTree.fromstring(picture)
    assert "disruptor-4.0.0 (Java)" in pictures["1p1c"]
    assert "cloudtoid (Python)" in pictures["pingpong-spin"]


def test_scenarios_have_names_of_their_own_and_whole_claims() -> None:
    every = scenarios.every()
    assert len({scenario.id for scenario in every}) == len(every)
    assert all(scenario.size % 8 == 0 and scenario.capacity.bit_count() == 1 for scenario in every)


def test_each_peer_from_pypi_is_pinned_and_carries_what_there_are_scenarios_for() -> None:
    program = """if True:
        import sys, json; sys.path.append('../..')
        import optional
        print(json.dumps([*optional.PEERS.items()], default=str))
    """
    folder = ROOT / "benches" / "contestants" / "python"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, timeout=25, check=True)
    pinned = (ROOT / "requirements" / "bench.txt").read_text(encoding="utf-8")
    known = {scenario.id for scenario in scenarios.every()}
    for (distribution, _module), (_make, waits, carried) in json.loads(done.stdout):
        assert f"\n{distribution}==" in pinned
        assert {f"processes-{kind}" for kind in carried} <= known
        assert set(waits) <= {"spin", "yield", "block"}


def test_curves_have_one_disruptor_that_of_java(program: Path) -> None:
    names = {"java": "disruptor-4.0.0", "rust": "disruptor-4.4.0", "cpp": "raw-spsc", "python": "ringbus compiled"}
    sides = [replace(contestant(program, name), language=language) for language, name in names.items()]
    for scenario in scenarios.curves():
        found = [side.language for side in sides if side.begins_with(scenario.sides)]
        assert found == ["java", "cpp", "python"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="the raw rings are C++")
def test_the_raw_rings_are_built_into_a_folder_that_is_given_relative(tmp_path: Path) -> None:
    subprocess.run([ROOT / "benches" / "limits" / "build", "some/folder"], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "some" / "folder" / "contestants").exists()


@pytest.mark.parametrize(
    ("scenario", "name"),
    [("threads-fields", "queue.SimpleQueue"), ("processes-fields", "ringbus python, publish(...)")],
)
def test_a_python_contestant_answers_as_the_contract_says(scenario: str, name: str) -> None:
    command = [sys.executable, str(ROOT / "benches" / "contestants" / "python" / "program.py")]
    words = f"--scenario {scenario} --events 500 --size 64 --capacity 256 --batch 1 --wait block"
    done = subprocess.run(
        [*command, *words.split(), "--contestant", name],
        capture_output=True,
        text=True,
        timeout=25,
        check=True,
        env=os.environ,
    )
    answer = json.loads(done.stdout)
    assert (answer["events"], answer["checksum"]) == (500, str(sum(range(500)) * 2))
