"""Shared rings by their names: who gets one, who is refused and why, what is left behind, and who else may use them."""

from __future__ import annotations

import concurrent.futures
import errno
import multiprocessing
import os
import pickle
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import ringbus
from support.children import HEAD, assert_clean, run_child, start_child
from support.handed import Tick, publish, publish_one
from support.segments import change_header, rings_folder

__all__ = ["rings_folder"]

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this")


class Other(ringbus.Event):
    """Another event."""

    value: float
    note: str = ringbus.text(8, default="")


def ring_of(capacity: int = 8, **options: Any) -> ringbus.RingBuffer[Tick]:
    return ringbus.RingBuffer(Tick, capacity, name="ticks", **options)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def values(events: Any) -> list[int]:
    return [event.value for event in events]


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "../x", "a b", "a\0", "ä", "x" * 101, "x.lock", "a\n"])
def test_a_name_that_no_file_should_have_is_refused(rings_folder: Path, name: str) -> None:
    for call in (lambda: ringbus.RingBuffer(Tick, 8, name=name), lambda: ringbus.attach(name)):
        with pytest.raises(ringbus.ConfigurationError, match="letters, digits"):
            call()
    assert files(rings_folder) == []


@pytest.mark.parametrize("name", ["a", "7", "Trades-2024_v1.0:eu@home", "x" * 100])
def test_a_name_of_letters_digits_and_a_few_signs_is_taken(rings_folder: Path, name: str) -> None:
    ring = ringbus.RingBuffer(Tick, 8, name=name)
    assert (ring.name, ringbus.sharing.rings()) == (name, [name])
    assert stat.S_IMODE((rings_folder / name).stat().st_mode) == 0o600
    ring.unlink()
    assert files(rings_folder) == []


def test_a_ring_that_is_not_there_is_named(rings_folder: Path) -> None:
    with pytest.raises(ringbus.RingNotFoundError, match=r"there is no ring .*ticks") as caught:
        ringbus.attach("ticks", wait=0.01)
    assert caught.value.path == str(rings_folder / "ticks")
    with pytest.raises(ringbus.RingNotFoundError):
        ringbus.sharing.unlink("ticks")


def test_a_ring_that_is_waited_for_is_attached_to_when_it_comes(rings_folder: Path) -> None:
    with start_child('print(ringbus.attach("ticks", wait=20.0).capacity)') as child:
        ring = ring_of(16)
        out, err = child.communicate(timeout=20)
    assert (out, err, ring.capacity) == ("16\n", "", 16)


# -- a name that exists -----------------------------------------------------------------------------------------------


def test_a_ring_somebody_lives_in_is_not_made_again(rings_folder: Path) -> None:
    ring = ring_of()
    with ring.poller("reader"), pytest.raises(ringbus.RingExistsError, match=rf"reader .*pid {os.getpid()}") as caught:
        ring_of()
    assert caught.value.path == str(rings_folder / "ticks")
    assert len(caught.value.residents) == 1


def test_a_ring_that_was_left_behind_goes_on_from_its_cursor(rings_folder: Path) -> None:
    assert_clean(
        run_child('ring = ringbus.RingBuffer(Tick, 8, name="ticks")\nfor n in range(5): ring.publish(value=n)')
    )
    assert not ringbus.sharing.is_alive("ticks")
    ring = ring_of()
    assert ring.cursor == 4
    with ring.poller("reader") as reader:
        ring.publish(value=5)
        assert values(reader.take(10, 5)) == [5]


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: ringbus.RingBuffer(Other, 8, name="ticks", **options),
        lambda **options: ring_of(16, **options),
        lambda **options: ring_of(producers="single", **options),
        lambda **options: ring_of(stamp=True, **options),
    ],
)
def test_another_ring_that_was_left_behind_is_refused_and_can_be_replaced(rings_folder: Path, make: Any) -> None:
    ring = ring_of()
    ring.publish(value=1)
    del ring
    with pytest.raises(ringbus.LayoutError, match=r"left behind.*replace=True"):
        make()
    assert ring_of().cursor == 0
    assert make(replace=True).cursor == -1


def test_who_is_attached_to_a_ring_that_is_replaced_is_told(rings_folder: Path) -> None:
    old = ring_of()
    reader = old.poller("reader")
    new = ring_of(replace=True)
    for verb in (lambda: old.publish(value=1), lambda: reader.take(1, 5), old.unlink):
        with pytest.raises((ringbus.RingReplacedError, ringbus.RingNotFoundError)):
            verb()
    new.publish(value=2)
    assert ringbus.attach("ticks").cursor == 0


def test_who_is_attached_to_a_ring_that_is_unlinked_is_told(rings_folder: Path) -> None:
    ring = ring_of()
    other = ringbus.attach("ticks")
    ring.unlink()
    with pytest.raises(ringbus.RingReplacedError):
        other.publish(value=1)
    with pytest.raises(ringbus.RingNotFoundError):
        ring.unlink()
    assert ring_of().cursor == -1


def test_another_event_type_is_refused_and_both_sides_are_named(rings_folder: Path) -> None:
    ring = ring_of()
    with pytest.raises(ringbus.LayoutError, match=r"field 0 .*value: i8.*value: f8"):
        ringbus.attach("ticks", Other)
    with pytest.raises(ringbus.LayoutError, match="other event types"):
        ringbus.attach("ticks", Tick | Other)
    assert ring.cursor == -1


# -- files that are no rings ------------------------------------------------------------------------------------------


MAGIC, VERSION, LINE_BYTES, KIND, CAPACITY, SLOT, START, PRODUCERS, TOTAL, ORDER, CRC = (
    0,
    8,
    12,
    20,
    24,
    32,
    48,
    72,
    80,
    96,
    100,
)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (MAGIC, b"\x7fELF", "is no ring"),
        (VERSION, (2).to_bytes(4, "little"), "another layout.*version 2.*version 3"),
        (ORDER, b"\x01\x02\x03\x04", "another word order"),
        (LINE_BYTES, (64).to_bytes(4, "little"), "sizes that no ring has"),
        (KIND, (3).to_bytes(4, "little"), "sizes that no ring has"),
        (CAPACITY, (7).to_bytes(8, "little"), "sizes that no ring has"),
        (CAPACITY, (1 << 40).to_bytes(8, "little"), "sizes that no ring has"),
        (SLOT, (0).to_bytes(8, "little"), "sizes that no ring has"),
        (SLOT, (1 << 63).to_bytes(8, "little"), "sizes that no ring has"),
        (START, (1 << 62).to_bytes(8, "little"), "sizes that no ring has"),
        (PRODUCERS, (0).to_bytes(4, "little"), "sizes that no ring has"),
        (TOTAL, (4096).to_bytes(8, "little"), "sizes that no ring has"),
    ],
)
def test_a_header_that_is_none_of_ours_is_refused(rings_folder: Path, place: int, value: bytes, says: str) -> None:
    ring = ring_of()
    del ring
    change_header(rings_folder / "ticks", place, value)
    for call in (lambda: ringbus.attach("ticks"), lambda: ringbus.attach("ticks", Tick, read_only=True), ring_of):
        with pytest.raises(ringbus.LayoutError, match=says):
            call()


def test_a_header_whose_checksum_is_wrong_is_refused(rings_folder: Path) -> None:
    ring = ring_of()
    del ring
    change_header(rings_folder / "ticks", CRC, b"\0\0\0\0", mend=False)
    with pytest.raises(ringbus.LayoutError, match="checksum"):
        ringbus.attach("ticks")


@pytest.mark.parametrize(("length", "says"), [(0, "too short"), (100, "too short"), (5000, "cut"), (1 << 20, "grown")])
def test_a_file_that_was_cut_or_has_grown_is_refused(rings_folder: Path, length: int, says: str) -> None:
    ring = ring_of()
    del ring
    os.truncate(rings_folder / "ticks", length)
    with pytest.raises(ringbus.LayoutError, match=says):
        ringbus.attach("ticks")
    with pytest.raises(ringbus.LayoutError, match=says):
        ring_of()
    assert ring_of(replace=True).cursor == -1


def test_a_link_under_a_rings_name_is_not_followed(rings_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (rings_folder / "ticks").symlink_to(target)
    for call in (ring_of, lambda: ringbus.attach("ticks")):
        with pytest.raises(OSError, match="ticks") as caught:
            call()
        assert caught.value.errno == errno.ELOOP
    ring_of(replace=True)
    assert target.read_text() == "mine"
    assert not (rings_folder / "ticks").is_symlink()


def test_a_fifo_or_a_folder_under_a_rings_name_is_refused(rings_folder: Path) -> None:
    os.mkfifo(rings_folder / "ticks")
    (rings_folder / "folder").mkdir()
    for name in ("ticks", "folder"):
        for read_only in (False, True):
            with pytest.raises((ringbus.LayoutError, OSError)):
                ringbus.attach(name, read_only=read_only)


@needs_root
def test_a_file_of_another_user_is_refused(rings_folder: Path) -> None:
    ring = ring_of()
    del ring
    os.chown(rings_folder / "ticks", 12345, 12345)
    for call in (lambda: ringbus.attach("ticks"), ring_of):
        with pytest.raises(ringbus.ConfigurationError, match="belongs to user 12345"):
            call()


# -- the folder -------------------------------------------------------------------------------------------------------


def test_the_folder_is_made_private(rings_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGBUS_DIR", str(rings_folder / "own"))
    ring_of()
    assert ringbus.sharing.folder() == rings_folder / "own"
    assert stat.S_IMODE((rings_folder / "own").stat().st_mode) == 0o700


def test_without_a_word_the_folder_is_the_users_own_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGBUS_DIR", raising=False)
    assert ringbus.sharing.folder() == Path(f"/dev/shm/ringbus-{os.geteuid()}")


def test_a_folder_that_others_can_enter_is_refused(rings_folder: Path, tmp_path: Path) -> None:
    rings_folder.chmod(0o750)
    with pytest.raises(ringbus.ConfigurationError, match="its mode is 750"):
        ring_of()


def test_a_folder_that_is_a_link_is_refused(rings_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (rings_folder / "real").mkdir(mode=0o700)
    (rings_folder / "link").symlink_to(rings_folder / "real")
    monkeypatch.setenv("RINGBUS_DIR", str(rings_folder / "link"))
    with pytest.raises(ringbus.ConfigurationError, match="no folder"):
        ring_of()


@needs_root
def test_a_folder_of_another_user_is_refused(rings_folder: Path) -> None:
    os.chown(rings_folder, 12345, 12345)
    with pytest.raises(ringbus.ConfigurationError, match="belongs to user 12345"):
        ring_of()


# -- what the system refuses ------------------------------------------------------------------------------------------

REFUSED = """
import errno, os
before = set(os.listdir(folder := os.environ["RINGBUS_DIR"]))
try:
    ringbus.RingBuffer(Tick, 1 << 18, name="large")
except OSError as error:
    print(errno.errorcode[error.errno], set(os.listdir(folder)) == before)
ring = {after}
ring.publish(value=1)
print(ring.cursor)
"""
SMALL = 'ringbus.RingBuffer(Tick, 8, name="small")'


def test_where_shared_memory_is_full_a_ring_is_refused_and_no_file_is_left(rings_folder: Path) -> None:
    """In a mount namespace of its own, so that nothing is left mounted."""
    mount = f'mount -t tmpfs -o size=1m,mode=700 tmpfs {rings_folder} && exec "$@"'
    program = HEAD + REFUSED.format(after=SMALL)
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    if "unshare" in ended.stderr or "mount:" in ended.stderr:
        pytest.skip(f"no mount namespaces here: {ended.stderr.strip()}")
    assert (ended.stdout.split("\n"), ended.stderr) == (["ENOSPC True", "0", ""], "")


def test_beyond_the_limit_of_file_sizes_a_ring_is_refused_and_no_file_is_left(rings_folder: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
    ended = run_child(limit + REFUSED.format(after=SMALL))
    assert_clean(ended)
    assert ended.lines == ["EFBIG True", "0"]


def test_beyond_the_limit_of_open_files_a_ring_is_refused_and_no_file_is_left(rings_folder: Path) -> None:
    ended = run_child("""
        import errno, os, resource
        folder = os.environ["RINGBUS_DIR"]
        ringbus.sharing.rings()
        count = len(os.listdir("/proc/self/fd"))
        for more in range(3):
            resource.setrlimit(resource.RLIMIT_NOFILE, (count - 1 + more, 4096))
            try:
                ring = ringbus.RingBuffer(Tick, 8, name="ticks")
                print("made")
                break
            except OSError as error:
                print(errno.errorcode[error.errno])
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
            assert os.listdir(folder) == []
        else:
            ring = ringbus.RingBuffer(Tick, 8, name="ticks")
        ring.publish(value=1)
    """)
    assert_clean(ended)
    assert ended.lines[0] == "EMFILE"


# -- handing a ring over ----------------------------------------------------------------------------------------------


def test_a_shared_ring_pickles_as_its_name(rings_folder: Path) -> None:
    ring = ring_of(timeout=0.5)
    copy = pickle.loads(pickle.dumps(ring))
    with ring.poller("reader") as reader:
        copy.publish(value=3)
        assert values(reader.take(1, 5)) == [3]
    assert (copy.name, copy.timeout) == ("ticks", 0.5)
    data = pickle.dumps(ring)
    ring.unlink()
    with pytest.raises(ringbus.RingNotFoundError):
        pickle.loads(data)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_ring_can_be_handed_to_a_process(rings_folder: Path, method: str) -> None:
    ring = ring_of(64)
    with ring.poller("reader") as reader:
        process = multiprocessing.get_context(method).Process(target=publish, args=(ring, 0, 20))
        process.start()
        process.join(20)
        assert process.exitcode == 0
        assert values(reader.take(100, 5)) == list(range(20))


def test_a_ring_can_be_handed_to_a_pool_of_processes(rings_folder: Path) -> None:
    ring = ring_of(64)
    context = multiprocessing.get_context("spawn")
    with ring.poller("reader") as reader, concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        workers = set(pool.map(publish_one, [ring] * 20, range(20)))
        assert os.getpid() not in workers
        assert sorted(values(reader.take(100, 5))) == list(range(20))


def test_a_ring_can_be_handed_to_joblib(rings_folder: Path) -> None:
    joblib = pytest.importorskip("joblib")
    ring = ring_of(64)
    with ring.poller("reader") as reader:
        jobs = (joblib.delayed(publish_one)(ring, value) for value in range(10))
        with joblib.parallel_config(backend="multiprocessing"):
            workers = joblib.Parallel(n_jobs=2)(jobs)
        assert os.getpid() not in workers
        assert sorted(values(reader.take(100, 5))) == list(range(10))


# -- other interpreters, other namespaces -----------------------------------------------------------------------------


def interpreters() -> list[Path]:
    """Environments of other versions of Python that have the package built."""
    return [path for path in ROOT.glob(".venv-*/bin/python") if (path.parent.parent / ".built").exists()]


@pytest.mark.parametrize("python", interpreters() or [None], ids=lambda path: path and path.parent.parent.name)
def test_another_version_of_python_takes_part(rings_folder: Path, python: Path | None) -> None:
    if python is None:
        pytest.skip("no other version of Python is built: make VENV=.venv-3.13 PYTHON=python3.13 build")
    ring = ring_of(64)
    program = HEAD + 'ring = ringbus.attach("ticks", Tick)\nfor value in range(20): ring.publish(value=value)'
    with ring.poller("reader") as reader:
        subprocess.run([str(python), "-c", program], check=True, timeout=25)
        assert values(reader.take(100, 5)) == list(range(20))


def test_processes_in_another_pid_namespace_take_part_and_their_death_is_seen(rings_folder: Path) -> None:
    """There, the process is number 1 or so: what counts is the kernel's lock, not the number."""
    ring = ring_of(8, timeout=15)
    program = HEAD + textwrap.dedent("""
        import os
        ring = ringbus.attach("ticks", Tick)
        reader = ring.poller("inside")
        ring.publish(value=os.getpid())
        sys.stdin.read()
    """)
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", program]
    with ring.poller("outside") as reader:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            seen = values(reader.take(1, 15))
            if not seen and child.poll() is not None:
                assert child.stderr is not None
                pytest.skip(f"no pid namespaces here: {child.stderr.read().decode().strip()}")
            assert seen == [1]
            assert ring.statistics().consumers["inside"].state == "live"
        finally:
            child.kill()
            child.communicate(timeout=15)
        for value in range(20):
            ring.publish(value=value)
            assert values(reader.take(1, 5)) == [value]
    assert "inside" not in ring.statistics().consumers


def test_a_folder_elsewhere_is_a_place_for_rings_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk, or huge pages."""
    folder = tmp_path / "rings"
    monkeypatch.setenv("RINGBUS_DIR", str(folder))
    ring = ring_of()
    ended = run_child('ringbus.attach("ticks", Tick).publish(value=9)')
    assert_clean(ended)
    assert ring.cursor == 0
    shutil.rmtree(folder)
