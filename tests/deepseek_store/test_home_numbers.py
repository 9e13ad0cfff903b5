"""Numbers never return, whatever was restored, lost or rebuilt."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from home_kit import Operator, refused

from deepseek_store import Store
from deepseek_store.errors import IndexOutdated
from deepseek_store.home.numbers import FILE, Marks, Numbers


def test_what_was_noted_is_read_again_and_never_goes_down(tmp_path: Path) -> None:
    assert Numbers(tmp_path).read() is None
    numbers = Numbers(tmp_path)
    numbers.raise_to(Marks(segment=5, seq=70))
    numbers.raise_to(Marks(segment=3, stripe=9))
    assert Numbers(tmp_path).read() == Marks(segment=5, stripe=9, seq=70)
    Numbers(tmp_path).begin_anew(Marks(segment=1, seq=2))
    assert Numbers(tmp_path).read() == Marks(segment=5, stripe=9, seq=2)


@pytest.mark.parametrize("at", range(0, 1024, 37))
def test_a_torn_write_leaves_what_was_noted_before(tmp_path: Path, at: int) -> None:
    numbers = Numbers(tmp_path)
    noted = [Marks(segment=number) for number in (1, 2, 3)]
    for marks in noted:
        numbers.raise_to(marks)
    data = bytearray((tmp_path / FILE).read_bytes())
    data[at : at + 64] = os.urandom(64)
    (tmp_path / FILE).write_bytes(data)
    assert Numbers(tmp_path).read() in noted[1:]
    Numbers(tmp_path).raise_to(Marks(stripe=4))
    found = Numbers(tmp_path).read()
    assert found is not None
    assert found.stripe == 4


def test_a_file_that_is_no_file_of_numbers_is_as_if_there_were_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"what is this?" * 100)
    assert Numbers(tmp_path).read() is None
    Numbers(tmp_path).raise_to(Marks(stripe=4))
    assert Numbers(tmp_path).read() == Marks(stripe=4)


def _raise(home: Path, first: int) -> None:
    numbers = Numbers(home)
    for number in range(first, first + 60, 2):
        numbers.raise_to(Marks(segment=number, stripe=1000 - number))


def test_several_processes_note_side_by_side(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    work = [context.Process(target=_raise, args=(tmp_path, first)) for first in (1, 2, 3)]
    for process in work:
        process.start()
    for process in work:
        process.join()
        assert process.exitcode == 0
    assert Numbers(tmp_path).read() == Marks(segment=61, stripe=999)


def test_an_older_index_is_caught_up_from_the_log(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 5)
    saved = operator.save(operator.home / "index.sqlite", "backup")
    with operator.open() as store:
        operator.put(store, "b", 60)
        store.delete("a/0")
        store.maintenance.pin("a/1", "hot")
    operator.kept.remove("a/0")
    operator.restore(saved, operator.home / "index.sqlite")
    with operator.open() as store:
        assert not store.exists("a/0")
        assert store.parts.state.pins == {"a/1": "hot"}
        operator.put(store, "c", 60)
        assert operator.lost(store) == {}
        assert store.maintenance.fsck(deep=True).findings == ()
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert not store.exists("a/0")


@pytest.mark.parametrize("what", ["moved", "collected", "snapshot"])
def test_an_index_that_missed_more_than_the_log_tells_is_refused(
    operator: Operator, what: str
) -> None:
    with operator.init() as store:
        operator.put(store, "a", 40)
    saved = operator.save(operator.home / "index.sqlite", "backup")
    with operator.open() as store:
        if what == "moved":
            operator.put(store, "b", 10, tier="cold")
        elif what == "collected":
            for key in operator.kept:
                store.delete(key)
            operator.kept.clear()
            store.maintenance.gc()
            store.maintenance.gc()
        else:
            store.snapshot("then")
    operator.restore(saved, operator.home / "index.sqlite")
    error = refused(operator.open)
    assert isinstance(error, IndexOutdated)
    assert error.remedy == f"ds-sdk store rebuild {operator.home}"
    # Whoever only looks may do so, and is told.
    with operator.open(read_only=True) as store:
        assert store.read_only
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert len(store) == len(operator.kept)
        assert {row.name for row in store.snapshots()} == (
            {"then"} if what == "snapshot" else set()
        )


def test_a_refused_opening_lets_go_of_every_lock(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 3)
    saved = operator.save(operator.home / "index.sqlite", "backup")
    with operator.open() as store:
        store.maintenance.send(operator.kept, "cold")
    operator.restore(saved, operator.home / "index.sqlite")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        assert isinstance(refused(operator.open), IndexOutdated)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    Store.rebuild(operator.home)  # it takes the lock alone


def test_a_home_that_was_copied_over_from_a_backup_is_noticed(operator: Operator) -> None:
    with operator.init(cold=[]) as store:
        operator.put(store, "a", 40)
        store.parts.journal.seal()
    saved = operator.save(operator.home, "backup")
    with operator.open() as store:
        for key in operator.kept:
            store.delete(key)
        operator.kept.clear()
        operator.put(store, "b", 40)
        store.parts.journal.seal()
        store.maintenance.gc()
        store.maintenance.gc()
    for path in (path for path in saved.rglob("*") if path.is_file() and path.parent == saved):
        shutil.copyfile(path, operator.home / path.name)  # the log stays as it is
    for side in ("-wal", "-shm"):
        (operator.home / f"index.sqlite{side}").unlink(missing_ok=True)
    assert isinstance(refused(operator.open), IndexOutdated)
    Store.rebuild(operator.home)
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert len(store) == len(operator.kept)


@pytest.mark.parametrize("lost", [(), ("numbers",), ("numbers", "index.sqlite", "owner.json")])
def test_what_a_tier_that_was_away_holds_is_there_when_it_returns(
    operator: Operator, lost: tuple[str, ...]
) -> None:
    with operator.init() as store:
        operator.put(store, "old", 30, tier="cold")
        store.maintenance.gc()
        store.maintenance.gc()
    for name in lost:
        (operator.home / name).unlink()
    away = operator.cold.rename(operator.folder / "away")
    assert not Store.rebuild(operator.home, force=True).ok
    with operator.open() as store:
        operator.put(store, "new", 60)
        store.maintenance.gc()
    shutil.rmtree(operator.cold, ignore_errors=True)
    away.rename(operator.cold)
    assert Store.rebuild(operator.home).ok
    if "owner.json" in lost:
        Store.adopt(operator.home)
    with operator.open() as store:
        assert operator.lost(store) == {}
        store.maintenance.send(operator.kept, "cold")
        store.maintenance.gc()
        assert operator.lost(store) == {}


WRITER = """
import os, signal, sys
from deepseek_store import Store
from store_kit import data_of
store = Store(sys.argv[1])
for number in range(40):
    store.put(f"w/{number}", data_of(f"w/{number}"))
store.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lost_wal_costs_nothing(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 5)
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(operator.home)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    for side in ("-wal", "-shm"):
        (operator.home / f"index.sqlite{side}").unlink()
    operator.kept += [f"w/{number}" for number in range(40)]
    with operator.open() as store:
        operator.put(store, "c", 40)
        assert operator.lost(store) == {}
        assert store.maintenance.fsck(deep=True).findings == ()


def test_a_store_of_before_there_were_marks_gets_them_silently(
    operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = operator.folder / "mirror"
    with operator.init(mirrors=[mirror]) as store:
        operator.put(store, "a", 10, tier="cold")
        operator.put(store, "b", 10)
    for path in (operator.home / "numbers", operator.home / "owner.json"):
        path.unlink()
    for folder in (operator.home / "log", mirror):
        for path in folder.glob("mark-*"):
            path.unlink()
    for path in operator.cold.rglob("stores/*.owners"):
        shutil.rmtree(path)
    caplog.clear()
    with operator.open() as store:
        assert not store.read_only
        assert operator.lost(store) == {}
        operator.put(store, "c", 10, tier="cold")
        assert store.maintenance.gc().unknown == []
        assert operator.lost(store) == {}
    assert not caplog.records
    assert (operator.home / "numbers").exists()
    assert list(mirror.glob("mark-*"))
