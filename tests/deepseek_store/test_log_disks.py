"""Folders and mirrors as disks of the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_kit import STORE, journal_on, keys_of, put, recovered

from deepseek_core import errors
from deepseek_store.errors import Corrupt, ForeignStore
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.records import Extent, Placed
from deepseek_store.log.recovery import recover
from deepseek_store.log.segment import active_name, sealed_name


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FileDisk]:
    folder = FileDisk(tmp_path, most_open=4)
    yield folder
    folder.close()


def test_a_file_keeps_what_was_written_in_any_number_of_parts(disk: FileDisk) -> None:
    disk.create("a", 100)
    assert (disk.size("a"), disk.read_at("a", 0, 1000)) == (100, bytes(100))
    parts = [os.urandom(1 + i % 7) for i in range(2500)]
    disk.write_at("a", 50, [*parts, bytearray(b"xy"), memoryview(b"zz")])
    disk.sync("a")
    disk.sync_dir()
    wanted = bytes(50) + b"".join(parts) + b"xyzz"
    assert disk.read_at("a", 0, 1 << 20) == bytes(disk.view("a")) == wanted
    disk.truncate("a", 60)
    disk.rename("a", "b")
    assert disk.list() == ["b"]
    assert disk.read_at("b", 40, 100) == wanted[40:60]
    disk.remove("b")
    disk.remove("b")
    assert disk.list() == []
    with pytest.raises(errors.ObjectMissing):
        disk.read_at("b", 0, 1)


def test_only_so_many_files_stay_open(disk: FileDisk) -> None:
    for i in range(20):
        disk.create(f"{i}", 8)
        disk.write_at(f"{i}", 0, [f"{i:08}".encode()])
    folder = str(disk.folder)
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        links = [str(link.readlink()) for link in descriptors.iterdir() if link.is_symlink()]
        assert sum(link.startswith(folder) for link in links) <= 4
    assert all(disk.read_at(f"{i}", 0, 8) == f"{i:08}".encode() for i in range(20))
    disk.close()
    assert disk.read_at("3", 0, 8) == b"00000003"


def test_no_reader_gets_bytes_of_another_file_while_files_are_closed_and_opened(
    disk: FileDisk,
) -> None:
    for i in range(12):
        disk.create(f"{i}", 0)
        disk.write_at(f"{i}", 0, [bytes([i]) * 4096])
    wrong: list[int] = []

    def read(first: int) -> None:
        for turn in range(1500):
            i = (first + turn * 5) % 12
            if disk.read_at(f"{i}", 0, 4096) != bytes([i]) * 4096:
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_no_writer_writes_into_another_file_while_files_are_closed_and_opened(
    disk: FileDisk,
) -> None:
    for i in range(12):
        disk.create(f"{i}", 0)
    failed: list[BaseException] = []
    done = threading.Event()

    def write(first: int) -> None:
        parts = [bytes([first]) * 4] * 3000  # more than one system call takes
        try:
            for turn in range(100):
                disk.write_at(f"{first + turn * 4 % 12}", 0, parts)
                assert disk.size(f"{first}") in (0, 12_000)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    def let_go() -> None:
        while not done.is_set():
            disk.close()

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    closing = threading.Thread(target=let_go)
    for thread in (closing, *threads):
        thread.start()
    for thread in threads:
        thread.join(60)
    done.set()
    closing.join(60)
    assert failed == []
    for i in range(12):
        assert disk.read_at(f"{i}", 0, 1 << 20) == bytes([i % 4]) * 12_000


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.TierUnavailable, match="no such folder"):
        FileDisk(tmp_path / "missing")


def test_a_taken_name_is_not_created_again(disk: FileDisk) -> None:
    disk.create("a", 10)
    with pytest.raises(errors.TierUnavailable, match="exists"):
        disk.create("a", 10)


def test_an_extent_is_verified(disk: FileDisk) -> None:
    placed = journal_on(disk).append([put(payload=b"right")])[0]
    assert disk.read_extent(placed.extent) == b"right"
    disk.write_at(active_name(placed.segment), placed.payload_offset, [b"wrong"])
    with pytest.raises(Corrupt, match="not what was written"):
        disk.read_extent(placed.extent)
    with pytest.raises(errors.ObjectMissing):
        disk.read_extent(Extent(99, 0, 1, 0))


def test_segments_of_another_store_stop_the_recovery(disk: FileDisk) -> None:
    for sealed in (False, True):
        journal = journal_on(disk)
        placed = journal.append([put()])[0]
        if sealed:
            journal.close()
        with pytest.raises(ForeignStore, match="belongs to store"):
            recover(disk, store_id=b"x" * 16, writer_alive=lambda writer: False)
        recovered(disk)
        disk.remove(sealed_name(placed.segment))


def test_a_sealed_segment_with_a_bad_footer_or_header_is_read_and_reported(disk: FileDisk) -> None:
    journal = journal_on(disk)
    placed = journal.append([put("a", b"1"), put("b", b"2")])
    info = journal.seal()
    assert info is not None
    name = sealed_name(info.id)
    for offset in (0, info.nbytes - 1):
        right = disk.read_at(name, offset, 1)
        disk.write_at(name, offset, [bytes([right[0] ^ 1])])
        found = recovered(disk)
        assert info.id in found.faults
        assert [one.extent for one in found.placed(info.id)] == [one.extent for one in placed]
        disk.write_at(name, offset, [right])
    found = recovered(disk)
    assert (found.segments, dict(found.faults)) == ((info,), {})
    assert recovered(disk, known={info.id}).segments == ()


class FlakyDisk(FileDisk):
    """A folder whose writes and reads can be made to fail."""

    broken = False

    def sync(self, name: str) -> None:
        self._try()
        super().sync(name)

    def read_at(self, name: str, offset: int, nbytes: int) -> bytes:
        self._try()
        return super().read_at(name, offset, nbytes)

    def create(self, name: str, nbytes: int) -> None:
        self._try()
        super().create(name, nbytes)

    def _try(self) -> None:
        if self.broken:
            raise errors.TierUnavailable(f"{self.url}: I/O error", url=self.url)


@pytest.fixture
def disks(tmp_path: Path) -> list[FlakyDisk]:
    for name in "abc":
        (tmp_path / name).mkdir()
    return [FlakyDisk(tmp_path / name) for name in "abc"]


def mirror_of(disks: list[FlakyDisk]) -> MirroredDisk:
    return MirroredDisk(disks)


def test_a_mirrored_log_is_on_all_disks_alike(disks: list[FlakyDisk]) -> None:
    mirror = mirror_of(disks)
    journal = journal_on(mirror, segment_nbytes=20_000)
    for _ in range(12):
        journal.append([put(payload=os.urandom(3000))])
    journal.close()
    names = mirror.list()
    for disk in disks:
        assert disk.list() == names
        assert [bytes(disk.view(n)) for n in names] == [bytes(disks[0].view(n)) for n in names]
    assert mirror.degraded == {}
    mirror.close()


def test_a_disk_that_fails_is_left_out_and_comes_back_by_resync(disks: list[FlakyDisk]) -> None:
    mirror = mirror_of(disks)
    journal = journal_on(mirror)
    journal.append([put("a")])
    disks[1].broken = True
    journal.append([put("b")])
    assert list(mirror.degraded) == [disks[1].url]
    assert "I/O error" in mirror.degraded[disks[1].url]
    with pytest.raises(errors.TierUnavailable):
        mirror.resync(disks[1].url)
    assert mirror.degraded
    disks[1].broken = False
    journal.append([put("c")])
    journal.seal()
    journal.append([put("d")])
    assert mirror.resync(disks[1].url) >= 1
    assert mirror.resync(disks[1].url) == 0
    assert mirror.degraded == {}
    journal.append([put("e")])
    journal.close()
    mirror.close()
    assert keys_of(disks[1], recovered(disks[1])) == ["a", "b", "c", "d", "e"]
    assert {tuple(disk.list()) for disk in disks} == {tuple(disks[0].list())}


def test_a_disk_that_missed_writes_is_not_trusted_after_a_restart(disks: list[FlakyDisk]) -> None:
    mirror = mirror_of(disks[:2])
    journal = journal_on(mirror)
    journal.append([put("a")])
    journal.seal()
    removed = mirror.list()[0]
    disks[0].broken = True
    journal.append([put("b")])
    mirror.remove(removed)
    mirror.close()
    disks[0].broken = False
    again = mirror_of(disks[:2])
    assert "missed writes" in again.degraded[disks[0].url]
    assert again.replicas() == [disks[1]]
    assert keys_of(again, recovered(again)) == ["b"]
    again.resync(disks[0].url)
    assert removed not in disks[0].list()
    again.close()
    third = mirror_of(disks[:2])
    assert third.degraded == {}
    third.close()


def test_reads_go_to_the_next_replica_until_none_is_right(disks: list[FlakyDisk]) -> None:
    mirror = mirror_of(disks)
    journal = journal_on(mirror)
    placed = journal.append([put(payload=b"right")])[0]
    journal.close()

    def spoil(disk: FlakyDisk, placed: Placed = placed) -> None:
        disk.write_at(sealed_name(placed.segment), placed.payload_offset, [b"wrong"])

    spoil(disks[0])
    assert mirror.read_extent(placed.extent) == b"right"
    disks[1].broken = True
    assert mirror.read_extent(placed.extent) == b"right"
    assert mirror.read_at(sealed_name(placed.segment), placed.payload_offset, 5) == b"wrong"
    spoil(disks[2])
    # The disk that does not answer may have it right: so it is not lost yet.
    with pytest.raises(errors.TierUnavailable):
        mirror.read_extent(placed.extent)
    disks[1].broken = False
    assert mirror.read_extent(placed.extent) == b"right"
    spoil(disks[1])
    with pytest.raises(Corrupt):
        mirror.read_extent(placed.extent)
    mirror.close()


def test_when_all_disks_fail_the_append_fails(disks: list[FlakyDisk]) -> None:
    mirror = mirror_of(disks)
    journal = journal_on(mirror)
    journal.append([put("a")])
    for disk in disks:
        disk.broken = True
    with pytest.raises(errors.TierUnavailable):
        journal.append([put("b")])
    for disk in disks:
        disk.broken = False
    journal.append([put("c")])
    journal.close()
    assert keys_of(mirror, recovered(mirror)) == ["a", "c"]
    mirror.close()


def test_replicas_that_lack_a_segment_get_it_at_recovery(disks: list[FlakyDisk]) -> None:
    mirror = mirror_of(disks)
    journal = journal_on(mirror)
    first = journal.append([put("a")])[0]
    journal.seal()
    journal.append([put("b")])
    disks[0].remove(sealed_name(first.segment))
    disks[2].truncate(sealed_name(first.segment), 100)
    found = recover(mirror, store_id=STORE, writer_alive=lambda writer: False)
    assert keys_of(mirror, found) == ["a", "b"]
    names = mirror.list()
    for disk in disks:
        assert disk.list() == names
        assert [disk.size(name) for name in names] == [disks[1].size(name) for name in names]
    mirror.close()


def test_a_mirror_needs_two_disks(disks: list[FlakyDisk]) -> None:
    for some in (disks[:1], [disks[0], disks[0]]):
        with pytest.raises(errors.InputError, match="differ"):
            MirroredDisk(some)
    mirror = mirror_of(disks)
    with pytest.raises(errors.InputError, match="is none of"):
        mirror.resync("elsewhere")
    mirror.close()
