"""Disks of the log that were away in turn, with writes in between: nothing is lost or back."""

import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.index.rows import Batch
from deepseek_store.log.mirrored import MirroredDisk

POLICY = Policy(prefetch=False, learn=False, cache_nbytes=0, grace_s=0.0)


class Disks:
    """A store whose log lies on several disks, each of which can be taken away."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self.folder, self.home = folder, folder / "home"
        self.paths = [self.home / "log", *(folder / f"disk{n}" for n in range(1, count))]
        self.kept: dict[str, bytes] = {}
        Store.init(self.home, policy=POLICY, mirrors=self.paths[1:]).close()

    def take(self, number: int, *, empty: bool = False) -> None:
        path = self.paths[number]
        path.rename(self.folder / f"away{number}")
        if empty:
            path.mkdir()

    def bring(self, number: int) -> None:
        path = self.paths[number]
        if path.exists():
            shutil.rmtree(path)
        (self.folder / f"away{number}").rename(path)

    def put(self, store: Store, name: str, count: int = 3, nbytes: int = 3000) -> None:
        for at in range(count):
            key, data = f"{name}/{at}", random.Random(f"{name}{at}").randbytes(nbytes)
            store.put(key, data)
            self.kept[key] = data

    def overwrite(self, store: Store, key: str, data: bytes) -> None:
        store.put(key, data)
        self.kept[key] = data

    def delete(self, store: Store, key: str) -> None:
        store.delete(key)
        del self.kept[key]

    def check(self, store: Store) -> None:
        """Exactly what was acknowledged is there."""
        assert {info.key for info in store.list()} == set(self.kept)
        assert {key: bytes(store.get(key)) for key in self.kept} == self.kept

    def check_each_alone(self) -> None:
        """Each disk alone has all of it, and so has an index made from it."""
        with Store(self.home) as store:
            assert degraded(store) == {}
            store.flush()
        assert len({tuple(sorted(segments(path))) for path in self.paths}) == 1
        for number in range(len(self.paths)):
            others = [n for n in range(len(self.paths)) if n != number]
            for other in others:
                self.take(other)
            with Store(self.home, read_only=True) as store:
                self.check(store)
            for other in others:
                self.bring(other)
        assert Store.rebuild(self.home).ok
        with Store(self.home) as store:
            self.check(store)
            report = store.maintenance.repair()
            assert report.ok, report.left
            assert store.maintenance.fsck(deep=True).ok


def degraded(store: Store) -> Mapping[str, str]:
    disk = store.parts.disk
    assert isinstance(disk, MirroredDisk)
    return disk.degraded


def segments(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.seg")}


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Disks]:
    return Disks(tmp_path)


@pytest.mark.parametrize("empty", [False, True], ids=["gone", "empty"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1)])
def test_each_disk_away_in_turn(
    disks: Disks, order: tuple[int, ...], empty: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(disks.home) as store:
        disks.put(store, "all")
    for turn, away in enumerate(order):
        disks.take(away, empty=empty)
        with Store(disks.home) as store:
            assert set(degraded(store)) == {str(disks.paths[away])}
            disks.put(store, f"turn{turn}")
            disks.overwrite(store, "all/0", f"by {turn}".encode())
            if turn == 1:
                disks.delete(store, "all/1")
                disks.delete(store, "turn0/1")
                store.maintenance.gc()
        disks.bring(away)
        if turn == 0:
            # What is on its way back is not looked at: the next one goes first.
            continue
    with Store(disks.home, read_only=True) as store:
        disks.check(store)
    caplog.clear()
    with Store(disks.home) as store:
        assert "missed writes of another" in caplog.text
        assert degraded(store) == {}
        disks.check(store)
        disks.put(store, "after")
    disks.check_each_alone()


def test_what_lies_on_a_disk_that_is_away_is_told_with_where_it_is(disks: Disks) -> None:
    disks.take(0)
    with Store(disks.home) as store:
        disks.put(store, "first")
    disks.bring(0)
    disks.take(1)
    with Store(disks.home) as store:
        disks.put(store, "second")
        with pytest.raises(errors.TierUnavailable) as refused:
            store.get("first/0")
        assert str(disks.paths[1]) in str(refused.value)
        assert refused.value.retryable
        disks.delete(store, "first/1")
        disks.overwrite(store, "first/2", b"new")
        report = store.maintenance.repair()
        assert not report.lost_keys
        store.maintenance.gc()
        store.maintenance.gc()
    disks.bring(1)
    with Store(disks.home) as store:
        assert not [each for each in store.parts.findings.all() if each.what == "segment"]
        disks.check(store)
    disks.check_each_alone()


def test_a_deleted_object_stays_deleted_when_its_segment_comes_back(disks: Disks) -> None:
    """The delete is kept as long as a disk is away that has what it hides."""
    with Store(disks.home) as store:
        disks.put(store, "old", 5)
    disks.take(0)
    with Store(disks.home) as store:
        for key in list(disks.kept):
            disks.delete(store, key)
        for _ in range(3):
            store.maintenance.apply(store.maintenance.plan(flush=True))
            store.maintenance.gc()
    disks.bring(0)
    disks.take(1)
    with Store(disks.home) as store:
        disks.check(store)
        disks.put(store, "new")
    disks.bring(1)
    with Store(disks.home) as store:
        disks.check(store)
    disks.check_each_alone()
    with Store(disks.home) as store:
        for _ in range(3):
            store.maintenance.apply(store.maintenance.plan(flush=True))
            store.maintenance.gc()
        assert not list(store.parts.state.catalog.tombstones())


def test_three_disks_in_turn(tmp_path: Path) -> None:
    disks = Disks(tmp_path, 3)
    for away in ((0,), (1, 2), (0, 2), (2,), (0, 1)):
        for number in away:
            disks.take(number)
        with Store(disks.home) as store:
            disks.put(store, "-".join(map(str, away)))
            disks.overwrite(store, "same", repr(away).encode())
        for number in away:
            disks.bring(number)
    with Store(disks.home) as store:
        disks.check(store)
        store.maintenance.repair()
    disks.check_each_alone()


def test_a_third_disk_that_stays_away_is_united_when_it_is_back(tmp_path: Path) -> None:
    disks = Disks(tmp_path, 3)
    with Store(disks.home) as store:
        disks.put(store, "all")
    for away in ((0, 1), (2, 0), (2, 1)):
        for number in away:
            disks.take(number)
        with Store(disks.home) as store:
            disks.put(store, f"without{away}")
            disks.delete(store, next(iter(disks.kept)))
        for number in away:
            disks.bring(number)
    disks.take(2)
    with Store(disks.home) as store:
        assert set(degraded(store)) == {str(disks.paths[2])}
        with pytest.raises(errors.TierUnavailable, match="disk2"):
            store.get("without(0, 1)/0")
        assert bytes(store.get("without(2, 0)/1")) == disks.kept["without(2, 0)/1"]
    disks.bring(2)
    with Store(disks.home) as store:
        disks.check(store)
        store.maintenance.repair()
    disks.check_each_alone()


def test_an_index_that_was_made_without_a_disk_takes_in_what_it_brings(disks: Disks) -> None:
    disks.take(0)
    with Store(disks.home) as store:
        disks.put(store, "first")
    disks.bring(0)
    disks.take(1)
    Store.rebuild(disks.home)
    with Store(disks.home) as store:
        disks.put(store, "second")
    disks.bring(1)
    with Store(disks.home) as store:
        disks.check(store)
    disks.check_each_alone()


@pytest.mark.parametrize("how", [Store.rebuild, Store.adopt], ids=["rebuild", "adopt"])
def test_an_index_is_made_from_all_disks_that_were_away_in_turn(disks: Disks, how) -> None:  # type: ignore[no-untyped-def]
    for away in (0, 1):
        disks.take(away)
        with Store(disks.home) as store:
            disks.put(store, f"without {away}")
        disks.bring(away)
    assert how(disks.home).ok
    with Store(disks.home) as store:
        assert degraded(store) == {}
        disks.check(store)
    disks.check_each_alone()


def test_a_home_that_was_moved_knows_what_its_own_log_has_missed(disks: Disks) -> None:
    disks.take(0)
    with Store(disks.home) as store:
        disks.put(store, "first")
    disks.bring(0)
    moved = disks.folder / "elsewhere"
    disks.home = disks.home.rename(moved)
    disks.paths[0] = moved / "log"
    with Store(moved) as store:
        assert set(degraded(store)) == {str(moved / "log")}
        disks.check(store)
        store.maintenance.repair()
    disks.check_each_alone()


def test_marks_of_before_are_read_even_after_a_move(disks: Disks) -> None:
    disks.take(0)
    with Store(disks.home) as store:
        disks.put(store, "first")
    disks.bring(0)
    (mark,) = disks.paths[1].glob("stale-*")
    mark.rename(mark.with_name("stale-0123456789abcdef"))  # by a path that the home had once
    with Store(disks.home) as store:
        assert set(degraded(store)) == {str(disks.paths[0])}
        disks.check(store)
        store.maintenance.repair()
        assert degraded(store) == {}
    assert not list(disks.paths[1].glob("stale-*"))
    disks.check_each_alone()


def test_what_an_older_release_has_collected_does_not_come_back(disks: Disks) -> None:
    """It kept no deletes for a disk's return: what its index does not know is put aside."""
    with Store(disks.home) as store:
        disks.put(store, "old")
    unknown = segments(disks.paths[0])
    for away in (0, 1):
        disks.take(away)
        with Store(disks.home) as store:
            disks.put(store, f"without {away}")
            if away == 1:
                for number in range(3):
                    disks.delete(store, f"old/{number}")
                store.maintenance.apply(store.maintenance.plan(flush=True))
                store.maintenance.gc()
                forget = [version.id for version in store.parts.state.catalog.tombstones()]
                store.parts.collector._forget(forget)
                store.maintenance.gc()
        disks.bring(away)
    for path in disks.paths:
        for mark in path.glob("stale-*"):
            mark.rename(path / "stale-0123456789abcdef")
    with Store(disks.home) as store:
        disks.check(store)
    aside = [path.read_bytes() for path in disks.paths[1].glob("aside-*")]
    assert set(unknown.values()) <= set(aside)


def test_a_disk_that_is_back_while_the_store_is_open_waits_for_the_next_opening(
    disks: Disks,
) -> None:
    disks.take(0)
    with Store(disks.home) as store:
        disks.put(store, "first")
    disks.bring(0)
    disks.take(1)
    with Store(disks.home) as store:
        disks.put(store, "second")
        disks.bring(1)
        store.maintenance.repair()
        assert set(degraded(store)) == {str(disks.paths[1])}
        disks.put(store, "third")
    with Store(disks.home) as store:
        disks.check(store)
    disks.check_each_alone()


def test_who_opens_it_while_another_writes_goes_by_the_disk_that_is_used(disks: Disks) -> None:
    disks.take(0)
    with Store(disks.home, shared=True) as store:
        disks.put(store, "first")
    disks.bring(0)
    disks.take(1)
    with Store(disks.home, shared=True) as store:
        disks.put(store, "second")
        disks.bring(1)
        with Store(disks.home, shared=True) as other:
            assert set(degraded(other)) == {str(disks.paths[1])}
            disks.put(other, "third")
            disks.check(other)
            other.maintenance.repair()
            assert set(degraded(other)) == {str(disks.paths[1])}
        disks.check(store)
    with Store(disks.home, shared=True) as store:
        disks.check(store)
    disks.check_each_alone()


def test_a_disk_is_not_made_level_while_another_process_writes(disks: Disks) -> None:
    """That one would go on without it, and without a mark of what it misses."""
    disks.take(1)
    with Store(disks.home) as store:
        disks.put(store, "first")
    disks.bring(1)
    with Store(disks.home, shared=True) as store:
        with Store(disks.home, shared=True) as other:
            other.maintenance.repair()
            assert set(degraded(other)) == {str(disks.paths[1])}
            disks.put(store, "second")
        store.maintenance.repair()
        assert degraded(store) == {}
        disks.put(store, "third")
    disks.check_each_alone()


def test_a_segment_without_a_file_that_nobody_needs_is_forgotten(disks: Disks) -> None:
    with Store(disks.home) as store:
        disks.put(store, "all")
        store.parts.journal.seal()
        store.flush()
        (row,) = store.parts.state.segments.values()
        empty = attrs.evolve(row, id=row.id + 100, state="active", applied=0)
        needed = attrs.evolve(row, state="active", applied=0)
        store.parts.state.commit(Batch(segments=[empty, needed]))
    with Store(disks.home) as store:
        assert [each.id for each in store.parts.state.segments.values()] == [row.id]
        assert store.maintenance.fsck().ok
        disks.check(store)
