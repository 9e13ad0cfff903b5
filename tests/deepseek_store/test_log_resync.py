"""A disk that comes back is made level by what verifies, in both directions."""

import random
from pathlib import Path

import pytest
from log_kit import STORE, journal_on, keys_of, put, recovered

from deepseek_core import errors
from deepseek_store.log.copies import Sealed, judge
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.journal import Journal
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.recovery import recover
from deepseek_store.log.segment import parse_name, sealed_name


class FlakyDisk(FileDisk):
    """A disk whose writes can be made to fail."""

    broken = False

    def write_at(self, name, offset, parts) -> None:  # type: ignore[no-untyped-def]
        if self.broken:
            raise errors.TierUnavailable(f"{self.url}: I/O error", url=self.url)
        super().write_at(name, offset, parts)


class Log:
    """A mirrored log on two disks."""

    def __init__(self, folder: Path) -> None:
        for name in "ab":
            (folder / name).mkdir()
        self.disks = [FlakyDisk(folder / name) for name in "ab"]
        self.mirror = MirroredDisk(self.disks)
        self.journal: Journal = journal_on(self.mirror)
        self.count = 0

    def write(self, count: int = 10, nbytes: int = 3000) -> None:
        for _ in range(count):
            payload = random.Random(self.count).randbytes(nbytes)
            self.journal.append([put(f"k{self.count:03d}", payload=payload)])
            self.count += 1

    def numbers(self) -> list[int]:
        names = {name for disk in self.disks for name in disk.list()}
        return sorted(found[0] for name in names if (found := parse_name(name)) and found[1])

    def known(self, number: int) -> Sealed | None:
        return Sealed(id=number, store_id=STORE)

    def spoil(self, disk: int, name: str, *offsets: int) -> None:
        path = self.disks[disk].folder / name
        data = bytearray(path.read_bytes())
        for at in offsets:
            data[at] ^= 0x20
        path.write_bytes(data)
        self.disks[disk].close()

    def check(self) -> None:
        """Both disks are alike, and right to the last byte."""
        self.journal.seal()
        self.journal.close()
        names = self.disks[0].list()
        assert self.disks[1].list() == names
        for number in self.numbers():
            for disk in self.disks:
                data = bytes(disk.view(sealed_name(number)))
                assert judge(data, Sealed(id=number, store_id=STORE)) is None
        found = keys_of(self.mirror, recovered(self.mirror))
        assert found == [f"k{number:03d}" for number in range(self.count)]
        self.mirror.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_rot_that_came_while_a_mirror_was_away_is_mended_from_it(log: Log) -> None:
    log.write()
    log.journal.seal()
    (first,) = log.numbers()
    log.disks[1].broken = True
    log.write()
    log.spoil(0, sealed_name(first), 5000, 12_000)
    log.disks[1].broken = False
    assert log.mirror.resync(log.disks[1].url, log.known) >= 1
    log.check()


def test_rot_before_a_mirror_went_away_in_the_middle_of_a_segment(log: Log) -> None:
    log.write()
    log.disks[1].broken = True
    log.write()
    log.journal.seal()
    (first,) = log.numbers()
    # The mirror has the first half, in a file that missed its sealing.
    log.spoil(0, sealed_name(first), 5000)
    log.disks[1].broken = False
    log.mirror.resync(log.disks[1].url, log.known)
    log.check()


def test_rot_in_a_segment_that_is_still_written_to(log: Log) -> None:
    log.write()
    log.disks[1].broken = True
    log.write()
    (name,) = [name for name in log.disks[0].list() if name.startswith("active")]
    log.spoil(0, name, 5000)
    log.disks[1].broken = False
    log.mirror.resync(log.disks[1].url, log.known)
    log.write()
    log.check()


def test_a_segment_that_only_the_mirror_has_left_comes_back(log: Log) -> None:
    log.write()
    log.journal.seal()
    (first,) = log.numbers()
    log.disks[1].broken = True
    log.write()
    log.disks[0].remove(sealed_name(first))
    log.disks[1].broken = False
    log.mirror.resync(log.disks[1].url, log.known)
    log.check()


def test_what_was_collected_meanwhile_does_not_come_back(log: Log) -> None:
    log.write()
    log.journal.seal()
    (first,) = log.numbers()
    log.disks[1].broken = True
    log.write()
    log.mirror.remove(sealed_name(first))
    log.disks[1].broken = False
    log.mirror.resync(log.disks[1].url, lambda number: None)
    assert first not in log.numbers()


def test_both_damaged_in_different_places_become_right(log: Log) -> None:
    log.write(20)
    log.journal.seal()
    (first,) = log.numbers()
    log.disks[1].broken = True
    log.write()
    log.spoil(0, sealed_name(first), 5000)
    log.spoil(1, sealed_name(first), 40_000)
    log.disks[1].broken = False
    log.mirror.resync(log.disks[1].url, log.known)
    log.check()


def test_a_mirror_with_other_bytes_never_wins_over_right_ones(log: Log) -> None:
    log.write()
    log.journal.seal()
    (first,) = log.numbers()
    log.disks[1].broken = True
    log.write()
    stale = log.disks[1].folder / sealed_name(first)
    stale.write_bytes(bytes(stale.stat().st_size))
    log.disks[1].close()
    log.disks[1].broken = False
    log.mirror.resync(log.disks[1].url, log.known)
    log.check()


def test_a_dead_writers_segment_is_put_together_from_both_disks(log: Log) -> None:
    log.write(20)
    (name,) = [name for name in log.disks[0].list() if name.startswith("active")]
    log.spoil(0, name, 5000)
    log.spoil(1, name, 40_000)
    found = recover(log.mirror, store_id=STORE, writer_alive=lambda writer: False)
    assert not found.faults
    assert keys_of(log.mirror, found) == [f"k{number:03d}" for number in range(20)]
    (number,) = log.numbers()
    for disk in log.disks:
        data = bytes(disk.view(sealed_name(number)))
        assert judge(data, Sealed(id=number, store_id=STORE)) is None
