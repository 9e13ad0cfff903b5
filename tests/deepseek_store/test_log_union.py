"""Disks that have each missed something get what any of them has, by what verifies."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from log_kit import STORE, journal_on, keys_of, put, recovered

from deepseek_core import errors
from deepseek_store.log.copies import Sealed
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.journal import Journal
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.missing_disk import MissingDisk
from deepseek_store.log.segment import active_name, parse_name, sealed_name
from deepseek_store.log.union import LogIndex

INDEX = LogIndex(store_id=STORE)


class FlakyDisk(FileDisk):
    """A disk that can be made to fail, at once or after some writes."""

    left = 1_000_000

    def write_at(self, name, offset, parts) -> None:  # type: ignore[no-untyped-def]
        self.left -= 1
        if self.left < 0:
            raise errors.TierUnavailable(f"{self.url}: I/O error", url=self.url)
        super().write_at(name, offset, parts)


class Logs:
    """Two or more disks, and the sessions of writers on some of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        for name in "ab":
            (folder / name).mkdir()

    def disk(self, there: str) -> MirroredDisk:
        disks = [
            FlakyDisk(self.folder / name)
            if name in there
            else MissingDisk(str(self.folder / name), "not mounted", remedy="mount it")
            for name in "ab"
        ]
        return MirroredDisk(disks)

    def session(self, there: str, *, breaks: str = "", seal: bool = True) -> None:
        """Open, write, and die; a disk breaks in the middle."""
        mirror = self.disk(there)
        if mirror.is_crossed:
            mirror.unite(INDEX)
        recovered(mirror)
        journal = journal_on(mirror)
        self.write(journal)
        for name in breaks:
            mirror._disks[str(self.folder / name)].left = 0  # type: ignore[attr-defined]
        self.write(journal)
        if seal:
            journal.seal()
        mirror.close()

    def write(self, journal: Journal, count: int = 5) -> None:
        for _ in range(count):
            payload = random.Random(self.count).randbytes(3000)
            journal.append([put(f"k{self.count:03d}", payload=payload)])
            self.count += 1

    def files(self, name: str) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (self.folder / name).iterdir()}

    def check(self) -> None:
        """United, each disk alone has all."""
        mirror = self.disk("ab")
        assert mirror.is_crossed
        mirror.unite(INDEX)
        assert not mirror.degraded
        found = recovered(mirror)
        assert not found.faults
        assert keys_of(mirror, found) == [f"k{number:03d}" for number in range(self.count)]
        mirror.close()
        assert self.files("a") == self.files("b")
        assert not [name for name in self.files("a") if parse_name(name) is None]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


@pytest.mark.parametrize("seal", [True, False])
@pytest.mark.parametrize("breaks", ["", "b"], ids=["", "breaks"])
def test_each_gets_what_it_has_missed(logs: Logs, breaks: str, seal: bool) -> None:
    logs.session("ab", breaks=breaks, seal=seal)
    logs.session("a", seal=seal)
    logs.session("b", seal=seal)
    logs.check()


def test_a_segment_that_was_cut_off_where_its_disk_left_becomes_whole(logs: Logs) -> None:
    """The disk that missed its end was used alone, and sealed it where it ends there."""
    logs.session("ab", breaks="b")
    logs.session("b")
    sizes = {name: len(data) for name, data in logs.files("b").items() if "segment" in name}
    (long,) = [n for n, d in logs.files("a").items() if n in sizes and len(d) > sizes[n]]
    again: list[int] = []
    mirror = logs.disk("ab")
    index = LogIndex(
        find=lambda n: Sealed(id=n, nbytes=sizes.get(sealed_name(n), 1), store_id=STORE),
        again=again.append,
        store_id=STORE,
    )
    mirror.unite(index)
    assert [sealed_name(number) for number in again] == [long]
    mirror.close()
    assert logs.files("a")[long] == logs.files("b")[long]


@pytest.mark.parametrize("open_one", ["a", "b"])
def test_what_is_open_and_has_more_wins_over_what_was_sealed(logs: Logs, open_one: str) -> None:
    other = "b" if open_one == "a" else "a"
    logs.session("ab", breaks=other, seal=False)
    logs.session(other)
    logs.check()


def test_damage_is_mended_from_the_other_state_of_a_segment(logs: Logs) -> None:
    logs.session("ab", breaks="b", seal=False)
    logs.session("b")
    (number,) = [parse_name(n)[0] for n in logs.files("a") if "active" in n]  # type: ignore[index]
    path = logs.folder / "a" / active_name(number)
    data = bytearray(path.read_bytes())
    data[2000] ^= 1
    path.write_bytes(data)
    logs.check()


def test_another_segment_of_one_number_is_kept_aside(logs: Logs) -> None:
    logs.session("ab")
    logs.session("a")
    logs.session("b")
    names = [n for n in logs.files("a") if "segment" in n and n not in logs.files("b")]
    (number,) = [parse_name(n)[0] for n in names]  # type: ignore[index]
    alien = logs.folder / "alien"
    alien.mkdir()
    disk = FileDisk(alien)
    journal = Journal(
        disk, store_id=STORE, writer=7, segment_nbytes=1 << 16, next_segment=lambda: number,
        clock=lambda: 2.5,
    )  # fmt: skip
    journal.append([put("alien", payload=b"x")])
    journal.seal()
    theirs = (alien / names[0]).read_bytes()
    (logs.folder / "b" / names[0]).write_bytes(theirs)
    mirror = logs.disk("ab")
    mirror.unite(INDEX)
    mirror.close()
    assert logs.files("b")[names[0]] == logs.files("a")[names[0]]
    assert theirs in [data for name, data in logs.files("b").items() if "aside" in name]


def test_a_disk_that_can_not_take_what_it_missed_is_left_out(logs: Logs) -> None:
    logs.session("ab")
    logs.session("a")
    logs.session("b")
    mirror = logs.disk("ab")
    broken = str(logs.folder / "a")
    mirror._disks[broken].left = 0  # type: ignore[attr-defined]
    mirror.unite(INDEX)
    assert set(mirror.degraded) == {broken}
    assert keys_of(mirror, recovered(mirror)) == [f"k{n:03d}" for n in range(logs.count)]
    mirror.close()
    later = logs.disk("ab")
    assert not later.is_crossed
    assert set(later.degraded) == {broken}
    later.resync(broken)
    assert not later.degraded
    later.close()
    assert logs.disk("ab").lacks_nothing()


def test_where_no_disk_takes_it_nothing_is_changed(logs: Logs) -> None:
    logs.session("ab")
    logs.session("a")
    logs.session("b")
    before = logs.files("a"), logs.files("b")
    mirror = logs.disk("ab")
    for disk in mirror._disks.values():
        disk.left = 0  # type: ignore[attr-defined]
    with pytest.raises(errors.TierUnavailable):
        mirror.unite(INDEX)
    with pytest.raises(errors.TierUnavailable, match="not united"):
        mirror.create("active-00000000000000ff.seg", 10)
    mirror.close()
    assert (logs.files("a"), logs.files("b")) == before
    logs.check()


@pytest.mark.parametrize("writes", range(8))
def test_an_interrupted_union_goes_on(logs: Logs, writes: int) -> None:
    logs.session("ab", breaks="b")
    logs.session("b")
    logs.session("a")
    mirror = logs.disk("ab")
    for disk in mirror._disks.values():
        kind = type(disk)

        def cut(name, offset, parts, disk=disk, kind=kind) -> None:  # type: ignore[no-untyped-def]
            nonlocal writes
            writes -= 1
            if writes < 0:
                raise KeyboardInterrupt
            kind.write_at(disk, name, offset, parts)

        disk.write_at = cut  # type: ignore[method-assign]
    try:
        mirror.unite(INDEX)
        united = True
    except KeyboardInterrupt:
        united = False
    mirror.close()
    if united:
        assert logs.disk("ab").lacks_nothing()
        return
    logs.check()
