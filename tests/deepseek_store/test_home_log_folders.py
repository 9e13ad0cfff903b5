"""A folder of the log that is away, empty, older or somebody else's is never taken for sound."""

import shutil
from pathlib import Path

import pytest
from home_kit import Operator, refused

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import ReadOnlyStore, StoreLocked
from deepseek_store.log.mirrored import MirroredDisk


@pytest.fixture
def mirror(operator: Operator) -> Path:
    folder = operator.folder / "mirror"
    with operator.init(cold=[], mirrors=[folder]) as store:
        operator.put(store, "a", 20)
    return folder


def _degraded(store: Store) -> set[str]:
    disk = store.parts.disk
    assert isinstance(disk, MirroredDisk)
    return set(disk.degraded)


def _segments(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("segment-*")}


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_missing_mirror_is_gone_on_without_and_said_loudly(
    operator: Operator, mirror: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = mirror.rename(operator.folder / "away")
    if how == "empty":
        mirror.mkdir()  # where the disk is mounted, when it is
    caplog.clear()
    with operator.open() as store:
        assert str(mirror) in caplog.text
        assert _degraded(store) == {str(mirror)}
        operator.put(store, "b", 20)
        store.maintenance.repair()
        assert operator.lost(store) == {}
    if how == "empty":
        assert list(mirror.iterdir()) == []
        shutil.rmtree(mirror)
    away.rename(mirror)
    with operator.open() as store:
        assert _degraded(store) == {str(mirror)}  # it has missed what was put meanwhile
        store.maintenance.repair()
        assert _degraded(store) == set()
    assert _segments(mirror) == _segments(operator.home / "log")
    with operator.open() as store:
        assert _degraded(store) == set()


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_the_mirror_has_all_when_the_log_of_the_home_is_lost(
    operator: Operator, mirror: Path, how: str
) -> None:
    shutil.rmtree(operator.home / "log")
    if how == "empty":
        (operator.home / "log").mkdir()
    with operator.open() as store:
        assert operator.lost(store) == {}
        operator.put(store, "b", 20)
    (operator.home / "log").mkdir(exist_ok=True)
    assert Store.adopt(operator.home).ok  # this is the new disk
    with operator.open() as store:
        store.maintenance.repair()
        assert _degraded(store) == set()
    shutil.rmtree(mirror)
    with operator.open() as store:
        assert operator.lost(store) == {}


def test_an_older_image_of_a_mirror_brings_nothing_back(operator: Operator, mirror: Path) -> None:
    saved = operator.save(mirror, "image")
    with operator.open() as store:
        for key in operator.kept:
            store.delete(key)
        operator.kept.clear()
        operator.put(store, "b", 20)
        store.maintenance.gc()
        store.maintenance.gc()
    operator.restore(saved, mirror)
    with operator.open() as store:
        assert _degraded(store) == {str(mirror)}
        assert operator.lost(store) == {}
        store.maintenance.repair()
        assert _degraded(store) == set()
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert len(store) == len(operator.kept)


def test_a_mirror_that_has_more_than_an_older_home_gives_it_back(
    operator: Operator, mirror: Path
) -> None:
    saved = operator.save(operator.home, "backup")
    with operator.open() as store:
        operator.put(store, "b", 20)
    operator.restore(saved, operator.home)
    with operator.open() as store:
        assert "store adopt" in str(refused(lambda: store.put("x", b"")))
    Store.adopt(operator.home)
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert _degraded(store) == set()


def test_a_mirror_that_was_late_in_an_older_home_still_gives_back_what_it_has(
    operator: Operator, mirror: Path
) -> None:
    away = mirror.rename(operator.folder / "away")
    with operator.open() as store:
        operator.put(store, "b", 5)
    away.rename(mirror)
    saved = operator.save(operator.home, "backup")  # with a note that the mirror lacks something
    with operator.open() as store:
        assert store.maintenance.repair().ok
        assert _degraded(store) == set()
        operator.put(store, "c", 20)
    operator.restore(saved, operator.home)
    with operator.open() as store:
        assert "store adopt" in str(refused(lambda: store.put("x", b"")))
    Store.adopt(operator.home)
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert store.maintenance.repair().ok
        assert _degraded(store) == set()
        assert operator.lost(store) == {}
    shutil.rmtree(operator.home / "log")
    (operator.home / "log").mkdir()
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        assert operator.lost(store) == {}


def test_a_copy_does_not_write_into_the_mirror_of_a_home_that_is_open(
    operator: Operator, mirror: Path
) -> None:
    copy = operator.save(operator.home, "copy")
    with operator.open() as store:
        operator.put(store, "b", 5)
        with operator.open(copy) as second:
            assert "store adopt" in str(refused(lambda: second.put("x", b"")))
        assert isinstance(refused(lambda: Store.adopt(copy)), StoreLocked)
        operator.put(store, "c", 5)
        assert operator.lost(store) == {}
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert _degraded(store) == set()


def test_another_stores_folder_is_no_mirror(operator: Operator, mirror: Path) -> None:
    with Store.init(operator.folder / "other") as other:
        other.put("key", b"theirs")
    theirs = operator.folder / "other" / "log"
    shutil.rmtree(mirror)
    shutil.copytree(theirs, mirror)
    before = _segments(mirror)
    with operator.open() as store:
        operator.put(store, "b", 20)
        store.maintenance.repair()
        assert operator.lost(store) == {}
        assert _degraded(store) == {str(mirror)}
    assert _segments(mirror) == before


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_without_its_log_a_store_can_be_read_and_keeps_no_lock(
    operator: Operator, how: str
) -> None:
    with operator.init() as store:
        operator.put(store, "cold", 10, tier="cold")
        operator.put(store, "hot", 10)
    cold = operator.kept[:10]
    away = (operator.home / "log").rename(operator.folder / "log")
    if how == "empty":
        (operator.home / "log").mkdir()
    for _ in range(2):
        with operator.open() as store:
            assert operator.lost(store, cold) == {}
            with pytest.raises(errors.TierUnavailable):
                store.get("hot/0")
            error = refused(lambda: store.put("x", b"x"))
            assert isinstance(error, ReadOnlyStore)
            assert error.remedy is not None
            assert str(operator.home) in error.remedy
    if how == "empty":
        assert list((operator.home / "log").iterdir()) == []
        (operator.home / "log").rmdir()
    away.rename(operator.home / "log")
    with operator.open() as store:
        operator.put(store, "more", 3)
        assert operator.lost(store) == {}


def test_a_store_is_not_made_in_the_mirror_of_another(operator: Operator, mirror: Path) -> None:
    error = refused(lambda: Store.init(operator.folder / "other", mirrors=[mirror]))
    assert error.remedy
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert _degraded(store) == set()
