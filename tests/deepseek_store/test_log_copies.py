"""Of several copies of a segment the one whose checksums hold counts, wherever it lies."""

import os
import random
from pathlib import Path

import pytest
from log_kit import STORE, journal_on, put

from deepseek_core import errors
from deepseek_store.errors import Corrupt
from deepseek_store.log.copies import Sealed, judge, merge, read_back, right_copy, write_copy
from deepseek_store.log.disk import Disk
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.segment import parse_name


def disks_with(tmp_path: Path, count: int = 2, records: int = 30) -> tuple[list[FileDisk], Sealed]:
    """Disks with one sealed segment each, alike."""
    for name in "abc"[:count]:
        (tmp_path / name).mkdir()
    disks = [FileDisk(tmp_path / name) for name in "abc"[:count]]
    mirror: Disk = MirroredDisk(disks) if count > 1 else disks[0]
    journal = journal_on(mirror)
    for number in range(records):
        journal.append([put(f"k{number}", payload=os.urandom(3000))])
    journal.seal()
    journal.close()
    (name,) = disks[0].list()
    parsed = parse_name(name)
    assert parsed is not None
    return disks, Sealed(id=parsed[0], nbytes=disks[0].size(name), store_id=STORE)


def spoil(disk: FileDisk, segment: Sealed, *offsets: int) -> None:
    path = disk.folder / segment.name
    data = bytearray(path.read_bytes())
    for at in offsets:
        data[at] ^= 0x20
    path.write_bytes(data)
    disk.close()


def untold(_segment: int, _error: errors.StorageError) -> None:
    return None


@pytest.mark.parametrize("bad", [0, 1])
def test_the_copy_that_verifies_is_taken_whichever_disk_is_first(tmp_path: Path, bad: int) -> None:
    disks, segment = disks_with(tmp_path)
    right = disks[0].read_at(segment.name, 0, segment.nbytes or 0)
    spoil(disks[bad], segment, 5000)
    told: list[str] = []
    found = right_copy(disks, segment, lambda _number, error: told.append(error.url))
    assert found.data == right
    assert found.source == disks[1 - bad].url
    assert told == ([disks[0].url] if bad == 0 else [])


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    (disk,), segment = disks_with(tmp_path, 1, records=4)
    right = disk.read_at(segment.name, 0, segment.nbytes or 0)
    rng = random.Random(3)
    for at in {0, len(right) - 1, *(rng.randrange(len(right)) for _ in range(200))}:
        changed = bytearray(right)
        changed[at] ^= 1 << rng.randrange(8)
        assert judge(bytes(changed), segment) is not None, at
    assert judge(right, segment) is None
    assert judge(right[:-1], segment) == ("truncated", f"{len(right) - 1} bytes of {len(right)}")
    assert judge(right + b"\0", segment) is not None


@pytest.mark.parametrize("length", range(1, 10))
def test_every_flipped_byte_of_a_footer_is_seen_its_padding_too(
    tmp_path: Path, length: int
) -> None:
    disk = FileDisk(tmp_path)
    journal = journal_on(disk)
    journal.append([put("k" * length, payload=b"content")])
    journal.seal()
    journal.close()
    (name,) = disk.list()
    data = disk.read_at(name, 0, disk.size(name))
    parsed = parse_name(name)
    assert parsed is not None
    segment = Sealed(id=parsed[0], nbytes=len(data), store_id=STORE)
    assert judge(data, segment) is None
    for at in range(len(data)):
        spoiled = bytearray(data)
        spoiled[at] ^= 0x20
        assert judge(bytes(spoiled), segment) is not None, at


@pytest.mark.parametrize("seed", range(8))
def test_copies_that_are_damaged_in_different_places_make_a_right_one(
    tmp_path: Path, seed: int
) -> None:
    disks, segment = disks_with(tmp_path)
    right = disks[0].read_at(segment.name, 0, segment.nbytes or 0)
    rng = random.Random(seed)
    middle = len(right) // 2
    spoil(disks[0], segment, *(rng.randrange(64, middle - 8000) for _ in range(4)))
    spoil(disks[1], segment, *(rng.randrange(middle + 8000, len(right)) for _ in range(4)))
    assert right_copy(disks, segment, untold).data == right


def test_a_truncated_and_a_damaged_copy_make_a_right_one(tmp_path: Path) -> None:
    disks, segment = disks_with(tmp_path)
    right = disks[0].read_at(segment.name, 0, segment.nbytes or 0)
    disks[0].truncate(segment.name, len(right) // 2)
    spoil(disks[1], segment, 900)
    assert right_copy(disks, segment, untold).data == right


def test_where_no_copy_is_right_nothing_is_given(tmp_path: Path) -> None:
    disks, segment = disks_with(tmp_path)
    for disk in disks:
        spoil(disk, segment, 5000)
    with pytest.raises(Corrupt, match="no copy of segment") as caught:
        right_copy(disks, segment, untold)
    assert all(disk.url in caught.value.message for disk in disks)


def test_a_disk_that_does_not_answer_may_have_it(tmp_path: Path) -> None:
    disks, segment = disks_with(tmp_path)
    spoil(disks[0], segment, 5000)
    disks[1].folder.rename(tmp_path / "elsewhere")
    disks[1].close()
    with pytest.raises(errors.TierUnavailable, match="no copy"):
        right_copy(disks, segment, untold)
    (tmp_path / "elsewhere").rename(disks[1].folder)
    assert right_copy(disks, segment, untold).source == disks[1].url


def test_a_segment_of_another_number_or_store_is_none_of_the_copies(tmp_path: Path) -> None:
    disks, segment = disks_with(tmp_path)
    other = Sealed(id=segment.id, nbytes=segment.nbytes, store_id=b"another store 16")
    data = disks[0].read_at(segment.name, 0, segment.nbytes or 0)
    assert (judge(data, other) or ("", ""))[0] == "swapped"
    with pytest.raises(Corrupt):
        right_copy(disks, other, untold)


def test_what_can_be_saved_is_saved_where_both_have_lost_the_same_record(tmp_path: Path) -> None:
    disks, segment = disks_with(tmp_path)
    for disk, other in zip(disks, (20_000, 40_000), strict=True):
        spoil(disk, segment, 5000, other)
    copies = [disk.read_at(segment.name, 0, segment.nbytes or 0) for disk in disks]
    merged = merge(copies, segment)
    wrong = judge(merged, segment)
    assert wrong is not None
    assert "more" not in wrong[1]  # one record, where each copy has two


class LyingDisk(FileDisk):
    """Writes something else than it was given."""

    def write_at(self, name, offset, parts) -> None:  # type: ignore[no-untyped-def]
        super().write_at(name, offset, [bytes(sum(map(len, parts)))])


def test_a_copy_is_read_back_before_it_replaces_anything(tmp_path: Path) -> None:
    disks, segment = disks_with(tmp_path)
    right = disks[0].read_at(segment.name, 0, segment.nbytes or 0)
    spoil(disks[1], segment, 5000)
    before = (disks[1].folder / segment.name).read_bytes()
    with pytest.raises(Corrupt, match="not what was written"):
        write_copy(LyingDisk(disks[1].folder), segment, right)
    assert (disks[1].folder / segment.name).read_bytes() == before
    assert disks[1].list() == [segment.name]
    write_copy(disks[1], segment, right)
    assert (disks[1].folder / segment.name).read_bytes() == right


def test_what_was_written_is_verified_on_every_disk(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    disks = [FileDisk(tmp_path / name) for name in "ab"]
    mirror = MirroredDisk(disks)
    journal = journal_on(mirror)
    placed = journal.append([put(payload=b"right" * 100)])
    read_back(mirror, placed)
    (name,) = disks[1].list()
    disks[1].write_at(name, placed[0].payload_offset, [b"wrong"])
    with pytest.raises(Corrupt):
        read_back(mirror, placed)
    journal.close()
    mirror.close()
