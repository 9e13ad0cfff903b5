"""What died among objects that live gives its space back, on a disk that is short of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
from mounted_disk import mounted_disk
from store_kit import SMALL, data_of

from deepseek_core import errors
from deepseek_store import Store

Objects = dict[str, int]
"""Key to length; the content of each follows from its key."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", 6) as folder:
        yield folder


def put_until_refused(home: Path, objects: Objects, prefix: str, nbytes: int) -> int:
    """How many bytes went in."""
    done = 0
    with Store(home) as store, suppress(errors.TierFull):
        while True:
            key = f"{prefix}/{done // nbytes:06d}"
            store.put(key, data_of(key, nbytes), durable=False)
            objects[key] = nbytes
            done += nbytes
    return done


def delete_half(home: Path, objects: Objects) -> int:
    """How many bytes went; every second object, so that no segment is without life."""
    gone = list(objects)[::2]
    with Store(home) as store:
        for key in gone:
            try:
                store.delete(key)
            except errors.TierFull:
                store.maintenance.gc()
                store.delete(key)
    return sum(objects.pop(key) for key in gone)


def check(home: Path, objects: Objects) -> None:
    """All objects are there and right, and no others."""
    with Store(home) as store:
        assert {info.key for info in store.list()} == set(objects)
        for key, nbytes in objects.items():
            assert bytes(store.get(key)) == data_of(key, nbytes)


def leave(disk: Path, nbytes: int) -> None:
    """Let somebody else fill the disk but for so much."""
    found = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(found.f_bavail * found.f_frsize - nbytes))


@pytest.mark.parametrize("nbytes", [200, 2000, 60_000, 1_000_000])
def test_gc_gives_back_what_was_deleted_on_a_full_disk_time_and_again(
    disk: Path, nbytes: int
) -> None:
    home = disk / "s"
    Store.init(home).close()
    objects: Objects = {}
    first = put_until_refused(home, objects, "0", nbytes)
    for turn in ("1", "2", "3"):
        deleted = delete_half(home, objects)
        with Store(home) as store:
            store.maintenance.gc()
        # Its reserve and what may stay dead are a larger part of a small disk than of others.
        assert put_until_refused(home, objects, turn, nbytes) > 0.7 * deleted
        assert sum(objects.values()) > 0.75 * first
    check(home, objects)


_COLLECT = """
import sys
from deepseek_store import Store
with Store(sys.argv[1], shared=True) as store:
    print("collects", flush=True)
    store.maintenance.gc()
"""


def test_a_gc_that_is_killed_on_a_full_disk_loses_nothing_and_the_next_one_ends_it(
    disk: Path,
) -> None:
    home = disk / "s"
    Store.init(home).close()
    objects: Objects = {}
    put_until_refused(home, objects, "0", 2000)
    deleted = delete_half(home, objects)
    with Store(home, shared=True) as reader:  # which goes on reading while segments go
        for pause_s in (0.0, 0.05, 0.1, 0.2, 0.4):
            command = [sys.executable, "-c", _COLLECT, str(home)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as collector:
                assert collector.stdout is not None
                assert collector.stdout.readline()
                end_s = time.monotonic() + pause_s
                while True:
                    for key in list(objects)[::50]:
                        assert bytes(reader.get(key)) == data_of(key, 2000)
                    if time.monotonic() >= end_s:
                        break
                os.kill(collector.pid, signal.SIGKILL)
        for key in objects:
            assert bytes(reader.get(key)) == data_of(key, 2000)
    check(home, objects)
    with Store(home) as store:
        store.maintenance.gc()
    assert put_until_refused(home, objects, "1", 2000) > 0.7 * deleted
    check(home, objects)


def test_what_gc_would_write_anew_is_told_before_and_what_stays_after(disk: Path) -> None:
    home = disk / "s"
    Store.init(home).close()
    objects: Objects = {}
    put_until_refused(home, objects, "0", 20_000)
    delete_half(home, objects)
    with Store(home) as store:
        would = store.maintenance.gc(dry_run=True)
        report = store.maintenance.gc()
        assert 0.9 < would.rewritten / report.rewritten < 1.1
        assert 0.9 < would.freed_nbytes / report.freed_nbytes < 1.1
        assert report.needed_nbytes == 0
        assert store.maintenance.gc().rewritten == 0


def test_gc_without_room_for_one_copy_changes_nothing_and_says_how_much_it_needs(
    disk: Path,
) -> None:
    home = disk / "s"
    Store.init(home).close()
    objects: Objects = {}
    put_until_refused(home, objects, "0", 2000)
    delete_half(home, objects)
    with Store(home) as store:
        (home / "reserve").unlink()
        leave(disk, 64 << 10)
        report = store.maintenance.gc()
        assert report.needed_nbytes > 0
        assert report.left_nbytes > 0
        (disk / "filler").unlink()
    check(home, objects)


def test_what_could_not_go_while_an_upload_is_under_way_is_not_written_anew(disk: Path) -> None:
    home = disk / "s"
    Store.init(home).close()
    objects: Objects = {}
    with Store(home, shared=True) as store:
        with store.parts.writer.begin("upload", b"") as upload:
            for number in range(180):
                store.put(f"k/{number}", data_of(f"k/{number}", 20_000))
                if number % 2:
                    objects[f"k/{number}"] = 20_000
            for number in range(0, 180, 2):
                store.delete(f"k/{number}")
            leave(disk, 300_000)
            assert store.maintenance.gc().rewritten == 0
            upload.write(b"the last")
            upload.commit()
        assert store.maintenance.gc().rewritten > 0
        assert store.delete("upload")
        (disk / "filler").unlink()
    check(home, objects)


def test_what_objects_share_is_written_anew_once(disk: Path) -> None:
    home = disk / "s"
    with Store.init(home, policy=SMALL) as store:
        objects: Objects = {}
        for number in range(90):
            objects[f"k/{number}"] = 30_000
            store.put(f"k/{number}", data_of(f"k/{number}", 30_000))
        for number in range(1, 90, 2):
            store.copy(f"k/{number}", f"copy/{number}")
            store.delete(f"k/{number - 1}")
            del objects[f"k/{number - 1}"]
        leave(disk, 300_000)
        report = store.maintenance.gc()
        assert report.rewritten
        files = sum(path.stat().st_size for path in (home / "log").glob("*.seg"))
        assert files < 1.5 * sum(objects.values())
        for number in range(1, 90, 2):
            for key in (f"k/{number}", f"copy/{number}"):
                assert bytes(store.get(key)) == data_of(f"k/{number}", 30_000)


def test_of_a_long_object_only_what_lies_in_half_dead_segments_is_written_anew(
    tmp_path: Path,
) -> None:
    with (
        mounted_disk(tmp_path / "disk", 40) as disk,
        Store.init(disk / "s", policy=attrs.evolve(SMALL, warm_fragment_nbytes=1 << 20)) as store,
    ):
        log = disk / "s" / "log"
        store.put("dead", data_of("dead", 60_000))
        store.put("also dead", data_of("also dead", 60_000))
        store.put("long", data_of("long", 3_000_000))
        store.delete("dead")
        store.delete("also dead")
        before = set(log.glob("segment-*"))
        leave(disk, 500_000)
        report = store.maintenance.gc()
        assert report.rewritten == 1
        assert len(before - set(log.glob("segment-*"))) <= 2  # the one, and that of the deletes
        assert bytes(store.get("long")) == data_of("long", 3_000_000)
        assert store.maintenance.fsck(deep=True).ok
