"""What a store keeps is bounded: rows of its index, open files, space of its disk, its threads."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from mounted_disk import mounted_disk
from store_kit import SMALL, WatchedIndex, data_of, urls

from deepseek_core import errors
from deepseek_storage_local.tier import LocalTier
from deepseek_store import Store, handles
from deepseek_store.errors import IndexUnavailable, ReadOnlyStore, StoreLocked
from deepseek_store.home.locks import FileLock
from deepseek_store.index.rows import Batch
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.report.status import look


def rows_of(home: Path) -> dict[str, int]:
    """How many rows each table of a store's index has."""
    with closing(sqlite3.connect(home / "index.sqlite")) as index:
        names = [
            name for (name,) in index.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {n: index.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in names}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("durable", [False, True])
def test_overwrites_leave_few_rows(tmp_path: Path, shared: bool, durable: bool) -> None:
    home = tmp_path / "s"
    with Store.init(home, policy=SMALL, shared=shared) as store:
        for number in range(600):
            store.put(f"k/{number % 3}", b"%d" % number, durable=durable)
        store.flush()
        for number in range(3):
            assert bytes(store.get(f"k/{number}")) == b"%d" % (597 + number)
        assert len(list(store.parts.state.catalog.all_versions())) == 3
        store.maintenance.gc()
    rows = rows_of(home)
    assert rows["versions"] == 3
    assert rows["removed"] <= 3


def test_overwrites_without_gc_leave_as_many_notes_as_objects_at_most(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with Store.init(home, policy=SMALL, shared=True) as one, Store(home, shared=True) as two:
        for number in range(5000):
            one.put("k", b"%d" % number, durable=False)
            if number % 100 == 99:
                one.flush()
        for number in range(5000):
            one.parts.state.commit(
                Batch(pins={"k": "hot"}) if number % 2 else Batch(pins={"k": None})
            )
        assert bytes(two.get("k")) == b"4999"
        one.maintenance.gc()
        assert bytes(two.get("k")) == b"4999"
    assert rows_of(home)["removed"] <= 1000


def test_a_snapshot_keeps_its_versions_while_their_keys_are_overwritten(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with Store.init(home, policy=SMALL) as store:
        for number in range(50):
            store.put("k", b"%d" % number, durable=False)
        store.snapshot("then")
        for number in range(50, 2000):
            store.put("k", b"%d" % number, durable=number % 100 == 0)
        store.maintenance.gc()
        assert bytes(store.get("k", snapshot="then")) == b"49"
        assert bytes(store.get("k")) == b"1999"
    with Store(home) as store:
        assert bytes(store.get("k", snapshot="then")) == b"49"
        assert bytes(store.get("k")) == b"1999"
    assert rows_of(home)["versions"] == 2


def test_gc_gives_the_room_of_an_index_back(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with Store.init(home, policy=SMALL) as store:
        for number in range(8000):
            store.put(f"some/long/name/of/an/object/{number}", b"x", durable=False)
        store.flush()
        store.parts.state.index.shrink()
        full = (home / "index.sqlite").stat().st_size
        for _ in range(8000):
            store.put("k", b"x", durable=False)
        store.flush()
        # What gc would forget, without the log's part of it.
        gone = [v.id for v in store.parts.state.catalog.all_versions() if v.key != "k"]
        store.parts.state.commit(Batch(forget=gone))
        store.maintenance.gc()
        assert (home / "index.sqlite").stat().st_size < full / 4
        assert (home / "index.sqlite-wal").stat().st_size == 0


def test_pins_and_heat_of_keys_that_are_gone_go_too(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with Store.init(home, policy=SMALL) as store:
        store.put("kept", b"1")
        store.put("gone", b"1")
        store.maintenance.pin("", "hot")
        store.get("gone")
        store.flush()
        version = store.parts.state.catalog.get("gone")
        assert version is not None
        store.parts.state.commit(Batch(forget=[version.id]))
        store.maintenance.gc()
    rows = rows_of(home)
    assert rows["pins"] == 1
    assert rows["heat"] <= 1


class Sick(Exception):
    """Nothing that the index thread expects."""


@pytest.mark.parametrize(
    "sickness", [MemoryError, Sick, KeyboardInterrupt, sqlite3.ProgrammingError]
)
def test_the_index_thread_survives_what_it_did_not_expect(
    tmp_path: Path, sickness: type[BaseException]
) -> None:
    Store.init(tmp_path / "s", policy=SMALL).close()
    index, met = WatchedIndex(tmp_path / "s"), threading.Event()

    def fail(_batch: Batch) -> None:
        if threading.current_thread().name == "ds-index":
            met.set()
            raise sickness("it is sick")

    with Store(tmp_path / "s", index=index) as store:
        index.before = fail
        store.put("a", b"1")
        assert met.wait(20)
        store.put("b", b"2")
        index.let_pass()
        store.flush()
        assert store.parts.committer.behind == 0
        assert bytes(store.get("a")) + bytes(store.get("b")) == b"12"
        assert store.parts.committer._thread is not None
        assert store.parts.committer._thread.is_alive()


def test_writers_are_refused_when_the_index_does_not_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.init(tmp_path / "s", policy=SMALL).close()
    index = WatchedIndex(tmp_path / "s")

    def fail(_batch: Batch) -> None:
        raise Sick("it is sick")

    monkeypatch.setattr("deepseek_store.write.index_committer._MOST_BEHIND", 10)
    with Store(tmp_path / "s", index=index) as store:
        index.before = fail
        acknowledged = []
        with pytest.raises(IndexUnavailable) as caught:
            for number in range(100):
                store.put(f"k/{number}", b"x")
                acknowledged.append(f"k/{number}")
        assert caught.value.remedy
        assert len(acknowledged) == 10
        index.let_pass()
        store.flush()
        store.put("after", b"x")
    with Store(tmp_path / "s") as store:
        assert {info.key for info in store.list()} == {*acknowledged, "after"}


class SickDisk(FileDisk):
    """Does not sync while it is `sick`."""

    sick = False

    def sync(self, name: str) -> None:
        if self.sick:
            raise errors.TierUnavailable("it failed", url=self.url, remedy="look")
        super().sync(name)


def test_what_was_not_waited_for_and_is_lost_is_told_by_flush(tmp_path: Path) -> None:
    Store.init(tmp_path / "s", policy=SMALL).close()
    disk = SickDisk(tmp_path / "s" / "log")
    with Store(tmp_path / "s", disk=disk) as store:
        store.put("k", b"on disk")
        store.put("k", b"not waited for", durable=False)
        disk.sick = True
        with pytest.raises(errors.TierUnavailable):
            store.put("other", b"x")
        disk.sick = False
        assert bytes(store.get("k")) == b"on disk"
        with pytest.raises(errors.TierUnavailable, match="lost"):
            store.flush()
        store.flush()
        assert bytes(store.get("k")) == b"on disk"


@pytest.fixture(params=[0, 600], ids=["", "beside 600 others"])
def few_files(request: pytest.FixtureRequest) -> Iterator[None]:
    """This process may open 48 files more, whatever numbers those have that it has open."""
    gc.collect()  # stores that earlier tests left to it, whose threads open files, too
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(request.param)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, 47, None)) + 1, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for descriptor in others:
        os.close(descriptor)


def test_many_segments_and_stores_are_read_with_few_files(tmp_path: Path, few_files: None) -> None:
    objects = {f"k/{number}": data_of(number, 40_000) for number in range(150)}
    tiers = urls(tmp_path, domains=12)
    with (
        Store.init(tmp_path / "a", policy=SMALL, **tiers) as one,
        Store.init(tmp_path / "b", policy=SMALL) as two,
    ):
        for key, data in objects.items():
            one.put(key, data, durable=False)
            two.put(key, data, durable=False)
        one.flush()
        two.flush()
        one.maintenance.send(list(objects)[:60], "cold")
        for _ in range(2):
            for key, data in objects.items():
                assert bytes(one.get(key)) == data
                assert bytes(two.get(key)) == data


def test_what_a_tier_says_of_itself_is_asked_again_where_no_file_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.init(tmp_path / "a", policy=SMALL, **urls(tmp_path, domains=12)) as store:
        store.put("k", data_of(1, 40_000))
        profile, asked = LocalTier.profile, []

        def seldom(tier: LocalTier) -> object:
            asked.append(tier)
            if len(asked) % 3:
                error = OSError(errno.EMFILE, "none left")
                raise errors.TierUnavailable("none", url="file:x") from error
            return profile(tier)

        monkeypatch.setattr(LocalTier, "profile", seldom)
        store.maintenance.send(["k"], "cold")
        assert len(asked) >= 3
        assert not any(tier.unreachable for tier in look(store).tiers)
        assert bytes(store.get("k")) == data_of(1, 40_000)


def test_threads_on_many_stores_write_right_with_few_files(tmp_path: Path, few_files: None) -> None:
    failed: list[BaseException] = []
    with ExitStack() as stack:
        stores = [
            stack.enter_context(Store.init(tmp_path / name, policy=SMALL))
            for name in ("a", "b", "c")
        ]

        def work(store: Store, thread: int) -> None:
            try:
                for turn in range(60):
                    key = f"{thread}/{turn}"
                    store.put(key, data_of(turn, 20_000), durable=turn % 3 == 0)
                    assert bytes(store.get(key)) == data_of(turn, 20_000)
            except BaseException as error:  # noqa: BLE001 - told by the test
                failed.append(error)

        threads = [
            threading.Thread(target=work, args=(store, number))
            for store in stores
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert failed == []
        for store in stores:
            assert store.maintenance.scrub().faults == ()


def test_files_of_the_user_that_take_all_descriptors_are_waited_for(tmp_path: Path) -> None:
    with Store.init(tmp_path / "s", policy=SMALL) as store:
        objects = {f"k/{number}": data_of(number, 40_000) for number in range(20)}
        for key, data in objects.items():
            store.put(key, data)
        handles.make_room()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
        mine: list[int] = []
        try:
            with suppress(OSError):
                while True:
                    mine.append(os.dup(0))
            timer = threading.Timer(0.3, lambda: os.close(mine.pop()))
            timer.start()
            for key, data in objects.items():
                assert bytes(store.get(key)) == data
            timer.join()
        finally:
            for each in mine:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 6 MiB, where this process may mount one."""
    with mounted_disk(tmp_path / "small", 6) as folder:
        yield folder


def fill(folder: Path) -> None:
    """Take all space that is left."""
    with (folder / "filler").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))


@pytest.mark.parametrize("shared", [False, True])
def test_a_store_that_has_filled_its_disk_deletes_collects_opens_and_rebuilds(
    small_disk: Path, shared: bool
) -> None:
    home = small_disk / "s"
    objects: dict[str, bytes] = {}
    store = Store.init(home, policy=SMALL, shared=shared)
    with pytest.raises(errors.TierFull) as caught:
        for number in range(2000):
            store.put(f"k/{number}", data_of(number, 5000))
            objects[f"k/{number}"] = data_of(number, 5000)
    assert caught.value.remedy
    assert "gc" in caught.value.remedy
    fill(small_disk)  # and somebody else takes the rest
    before = sum(path.stat().st_size for path in (home / "log").iterdir())
    gone = list(objects)[: len(objects) // 2]
    for key in gone:
        try:
            assert store.delete(key)
        except errors.TierFull as error:  # so many that the rest is kept for gc, which is asked for
            assert "store gc" in str(error.remedy)
            store.maintenance.gc()
            assert store.delete(key)
        del objects[key]
    store.close()
    with Store(home, shared=shared) as store:
        assert {info.key for info in store.list()} == set(objects)
        store.maintenance.gc()
        assert sum(path.stat().st_size for path in (home / "log").iterdir()) < before
        store.put("after", b"there is space again")
        objects["after"] = b"there is space again"
    fill(small_disk)
    Store.rebuild(home)
    with Store(home, shared=shared) as store:
        assert {info.key: bytes(store.get(info.key)) for info in store.list()} == objects


def test_on_a_full_disk_gc_makes_room_of_objects_that_died_among_others(small_disk: Path) -> None:
    home = small_disk / "s"
    objects = {f"k/{number}": data_of(number, 20_000) for number in range(100)}
    with Store.init(home, policy=attrs.evolve(SMALL, warm_fragment_nbytes=128 << 10)) as store:
        for key, data in objects.items():
            store.put(key, data)
        for key in list(objects)[::2]:  # no segment is without life
            store.delete(key)
            del objects[key]
        for _ in range(4):  # half of it is lent, and somebody else takes that
            store.parts.state.reserve.release()
        fill(small_disk)
        assert store.maintenance.gc().segments
        reserve = store.parts.state.reserve
        assert reserve.kept_nbytes >= reserve.nbytes
        assert {info.key: bytes(store.get(info.key)) for info in store.list()} == objects


def test_what_is_kept_back_follows_the_index_within_limits(tmp_path: Path) -> None:
    home = tmp_path / "s"
    index, reserve = home / "index.sqlite", home / "reserve"
    with Store.init(home, policy=SMALL) as store:
        store.put("k", b"x")
        assert reserve.stat().st_size == 512 << 10
    reserve.write_bytes(bytes(16 << 20))  # kept by an earlier version, whatever the index
    with Store(home) as store:
        assert reserve.stat().st_size == 512 << 10
        for number in range(600):
            store.put(f"{number} {'of a long key ' * 70}", b"x", durable=False)
        store.maintenance.gc()
        assert 2 < reserve.stat().st_size / index.stat().st_size < 3


@pytest.mark.parametrize("shared", [False, True])
def test_a_store_without_any_room_opens_to_read(small_disk: Path, shared: bool) -> None:
    home = small_disk / "s"
    with Store.init(home, policy=SMALL, shared=shared) as store:
        store.put("k", data_of(1, 5000))
    (home / "reserve").unlink()
    fill(small_disk)
    with Store(home, shared=shared) as store:
        assert bytes(store.get("k")) == data_of(1, 5000)
        assert "has no space left" in store.read_only
        with pytest.raises(ReadOnlyStore) as caught:
            store.put("other", data_of(2, 5000))
        assert "free some space" in str(caught.value.remedy)
        assert [info.key for info in store.list()] == ["k"]
    (small_disk / "filler").unlink()
    with Store(home, shared=shared) as store:
        store.put("other", data_of(2, 5000))
    assert (home / "reserve").exists()


def test_a_full_disk_leaves_no_lock_taken(small_disk: Path) -> None:
    lock = small_disk / "care.lock"
    fill(small_disk)
    with closing(FileLock(lock)):
        child = subprocess.run(
            [sys.executable, "-c", _TRY, str(lock)], capture_output=True, text=True, check=False
        )
        assert child.stdout.strip() == "locked"
    with closing(FileLock(lock)):
        pass


_TRY = """
import sys
from pathlib import Path
from deepseek_store.errors import StoreLocked
from deepseek_store.home.locks import FileLock
try:
    FileLock(Path(sys.argv[1]))
except StoreLocked:
    print("locked")
"""


def test_a_lock_that_nobody_lets_go_of_is_not_waited_for_without_end(tmp_path: Path) -> None:
    from deepseek_store.home.locks import wait_for_lock

    with closing(FileLock(tmp_path / "x")), pytest.raises(StoreLocked) as caught:
        wait_for_lock(tmp_path / "x", longest_s=0.05)
    assert caught.value.remedy


def test_a_limit_of_file_sizes_is_told_as_that(tmp_path: Path) -> None:
    with Store.init(tmp_path / "s", policy=SMALL) as store:
        store.put("before", b"x")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with pytest.raises(errors.TierFull) as caught:
                for number in range(20):
                    store.put(f"k/{number}", data_of(number, 30_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "ulimit -f" in str(caught.value.remedy)
        store.put("after", b"x")
        assert bytes(store.get("before")) == b"x"


def test_a_round_of_care_that_fails_does_not_end_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = threading.Semaphore(0)

    def fail(*_args: Any, **_options: Any) -> None:
        rounds.release()
        raise Sick("it is sick")

    monkeypatch.setattr("deepseek_store.check.background.tick", fail)
    with Store.init(tmp_path / "s", policy=SMALL, background=True, tick_s=0.01):
        assert rounds.acquire(timeout=20)
        assert rounds.acquire(timeout=20)


def test_one_gc_leaves_no_row_of_what_is_deleted(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with Store.init(home, policy=SMALL) as store:
        for number in range(500):
            store.put(f"k/{number}", b"x", durable=False)
        store.maintenance.gc()
        for number in range(500):
            store.delete(f"k/{number}")
        store.maintenance.gc()
    assert rows_of(home)["versions"] == 0
