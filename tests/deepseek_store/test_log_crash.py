"""The log on a disk that loses power at every single operation."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence

import attrs
import pytest
from sim_disk import SimDisk

from deepseek_core import errors
from deepseek_store.log.disk import Disk
from deepseek_store.log.journal import Journal
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.records import Kind, Placed, Record
from deepseek_store.log.recovery import recover
from deepseek_store.log.segment import HEADER_NBYTES, active_name, parse_name, sealed_name

STORE = b"store of 16 byte"
SEGMENT_NBYTES = 12_000
Name = tuple[Kind, str, int]


@attrs.define(eq=False)
class Batch:
    """The records of one append; `acknowledged` from the moment that it may not be lost."""

    records: list[Record]
    acknowledged: bool = False


class Writer:
    """Appends seeded records and remembers what was acknowledged."""

    def __init__(self, disk: Disk, seed: int) -> None:
        self.batches: list[Batch] = []
        self._pieces: list[Batch] = []
        self._rng = random.Random(seed)
        self._generations = itertools.count(1)
        ids = itertools.count(seed * 1000 + 1)
        self.journal = Journal(
            disk,
            store_id=STORE,
            writer=1,
            segment_nbytes=SEGMENT_NBYTES,
            next_segment=lambda: next(ids),
            clock=lambda: 1.5,
            on_group=self._on_group,
        )
        self._of: dict[Name, Batch] = {}

    def step(self) -> None:
        """One append of one to five records, or a seal."""
        dice = self._rng.random()
        if dice < 0.08:
            self.journal.seal()
            return
        batch = Batch([self._record() for _ in range(1 if dice < 0.6 else self._rng.randint(2, 5))])
        self.batches.append(batch)
        self._of.update({name_of(record): batch for record in batch.records})
        durable = dice > 0.25
        self.journal.append(batch.records, durable=durable)
        batch.acknowledged |= durable

    def _on_group(self, placed: list[Placed]) -> None:
        # Pieces count once a later group is on disk: the journal says so here.
        for one in placed:
            if batch := self._of.get(name_of(one.record)):
                batch.acknowledged = True

    def _record(self) -> Record:
        rng = self._rng
        kind = rng.choice((Kind.PUT, Kind.PUT, Kind.SHARD, Kind.DELETE))
        nbytes = 0 if kind is Kind.DELETE else rng.choice((0, 1, 100, 700, 2500, 6000))
        # Zeros, for they read like space that was never written.
        payload = bytes(nbytes) if rng.random() < 0.2 else rng.randbytes(nbytes)
        return Record(
            kind=kind,
            key=f"k{rng.randrange(9)}" * rng.choice((1, 1, 90)),
            generation=next(self._generations),
            writer=1,
            meta=rng.randbytes(rng.choice((0, 0, 30))),
            payload=payload,
        )


def name_of(record: Record) -> Name:
    return record.kind, record.key, record.generation


class Lost(AssertionError):
    """What must never happen."""


def check(disk: Disk, batches: Sequence[Batch]) -> None:
    """Recover, and hold what is there against what was acknowledged."""
    recovered = recover(disk, store_id=STORE, writer_alive=lambda writer: False)
    if recovered.faults:
        raise Lost(f"a crash reads as corruption: {recovered.faults}")
    found: dict[Name, bytes] = {}
    for info in recovered.segments:
        for placed in recovered.placed(info.id):
            found[name_of(placed.record)] = disk.read_extent(placed.extent)
    for batch in batches:
        there = [name_of(record) in found for record in batch.records]
        if batch.acknowledged and not all(there):
            raise Lost(f"acknowledged, and lost: {batch.records[0].key}")
        if any(there) and not all(there):
            raise Lost("half a batch is there")
        for record in batch.records:
            if found.pop(name_of(record), record.payload) != record.payload:
                raise Lost("wrong bytes")
    if found:
        raise Lost(f"never written: {list(found)[:3]}")


def cut_everywhere(
    disk: SimDisk, writer: Writer, steps: int, images: Callable[[], Iterator[Disk]]
) -> int:
    """Run a workload; at every operation of the port look at what a power cut would leave."""
    cuts = 0

    def cut(operation: str) -> None:
        nonlocal cuts
        cuts += 1
        for image in images():
            check(image, writer.batches)
            image.close()

    disk.before = cut
    for _ in range(steps):
        writer.step()
    writer.journal.close()
    disk.before = lambda operation: None
    return cuts


def test_no_power_cut_loses_what_was_acknowledged_or_leaves_half_a_group() -> None:
    cuts = 0
    for seed in range(20):
        disk = SimDisk()
        rng = random.Random(seed)
        cuts += cut_everywhere(
            disk, Writer(disk, seed), 45, lambda d=disk, r=rng: iter([d.crash(r)])
        )
    assert cuts >= 2000


def test_a_power_cut_during_recovery_loses_nothing_either() -> None:
    nested = 0
    for seed in range(4):
        disk, rng = SimDisk(), random.Random(seed)
        writer = Writer(disk, seed)

        def images(disk: SimDisk = disk, rng: random.Random = rng) -> Iterator[Disk]:
            nonlocal nested
            image = disk.crash(rng)
            again: list[SimDisk] = []
            image.before = lambda operation: again.append(image.crash(rng))
            recover(image, store_id=STORE, writer_alive=lambda writer: False)
            image.before = lambda operation: None
            nested += len(again)
            yield from again
            yield image

        cut_everywhere(disk, writer, 20, images)
    assert nested >= 500


def test_a_segment_header_that_was_lost_is_on_disk_before_the_footer() -> None:
    for seed in range(60):
        disk, rng = SimDisk(), random.Random(seed)
        writer = Writer(disk, seed)
        writer.journal.append([Record(kind=Kind.PUT, key="k", generation=1, writer=1)])
        name = active_name(seed * 1000 + 1)
        disk.write_at(name, 0, [bytes(HEADER_NBYTES)])
        disk.sync(name)
        images: list[SimDisk] = []
        disk.before = lambda operation, d=disk, r=rng, i=images: i.append(d.crash(r))
        recover(disk, store_id=STORE, writer_alive=lambda writer: False)
        for image in images:
            found = recover(image, store_id=STORE, writer_alive=lambda writer: False)
            assert found.faults == {}
            assert [len(found.placed(info.id)) for info in found.segments] == [1]


@pytest.mark.parametrize("both_survive", [True, False])
def test_a_mirrored_log_survives_a_power_cut_and_the_loss_of_a_disk(both_survive: bool) -> None:
    cuts = 0
    for seed in range(4):
        disks = [SimDisk("a"), SimDisk("b")]
        rng = random.Random(seed)
        mirrored = MirroredDisk(disks)

        def images(disks: list[SimDisk] = disks, rng: random.Random = rng) -> Iterator[Disk]:
            after = [disk.crash(rng) for disk in disks]
            if both_survive:
                yield MirroredDisk(after)
            yield rng.choice(after)

        writer = Writer(mirrored, seed)
        # Operations of the second disk: the first has done its part by then.
        cuts += cut_everywhere(disks[1], writer, 25, images)
        mirrored.close()
    assert cuts >= 250


def test_a_disk_that_only_says_that_it_synced_is_found_out() -> None:
    found = 0
    for seed in range(5):
        disk, rng = SimDisk(lies=True), random.Random(seed)
        try:
            cut_everywhere(disk, Writer(disk, seed), 20, lambda d=disk, r=rng: iter([d.crash(r)]))
        except Lost:
            found += 1
    assert found == 5


def test_a_log_that_keeps_no_names_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimDisk, "sync_dir", lambda self: None)
    disk, rng = SimDisk(), random.Random(0)
    with pytest.raises(Lost):
        cut_everywhere(disk, Writer(disk, 0), 20, lambda: iter([disk.crash(rng)]))


class PowerCut(BaseException):
    """Ends every thread that touches the disk."""


def test_groups_of_several_threads_are_whole_or_not_there() -> None:
    shared = 0
    for seed in range(60):
        disk, rng = SimDisk(), random.Random(seed)
        operations = itertools.count()

        def maybe_cut(
            operation: str, operations: Iterator[int] = operations, seed: int = seed
        ) -> None:
            if next(operations) >= 10 + seed:
                raise PowerCut

        disk.before = maybe_cut
        shared += _write_until_dark(disk, seed)
        check(disk.crash(rng), _batches)
    assert shared > 0


_batches: list[Batch] = []


def _write_until_dark(disk: SimDisk, seed: int) -> int:
    """Eight threads append until the power fails; how many groups held several appends."""
    _batches.clear()
    groups: list[int] = []
    ids = itertools.count(1)
    generations = itertools.count(1)
    journal = Journal(
        disk,
        store_id=STORE,
        writer=1,
        segment_nbytes=SEGMENT_NBYTES,
        next_segment=lambda: next(ids),
        clock=lambda: 1.5,
        on_group=lambda placed: groups.append(sum(one.batch_start for one in placed)),
        linger_s=0.0005,
    )

    def work(number: int) -> None:
        rng = random.Random(seed * 100 + number)
        try:
            while True:
                records = [
                    Record(
                        kind=Kind.PUT,
                        key=f"{number}",
                        generation=next(generations),
                        writer=1,
                        payload=rng.randbytes(rng.randrange(900)),
                    )
                    for _ in range(rng.randint(1, 3))
                ]
                batch = Batch(records)
                _batches.append(batch)
                journal.append(records)
                batch.acknowledged = True
        except PowerCut:
            return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    return sum(count > 1 for count in groups)


class FailingDisk(SimDisk):
    """Fails some of its operations, and may lose the bytes of a sync that failed."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    def sync(self, name: str) -> None:
        if self._rng.random() < 0.1:
            # As Linux does it: the pages are marked clean, their bytes may be lost for good.
            inode = self._inode(name)
            lost = inode.after_crash(self._rng)
            inode.durable[:] = inode.now[:] = lost.now
            inode.changes.clear()
            raise errors.TierUnavailable("I/O error", url=self.url)
        super().sync(name)

    def write_at(
        self, name: str, offset: int, parts: Sequence[bytes | bytearray | memoryview]
    ) -> None:
        if self._rng.random() < 0.05:
            data = b"".join(parts)
            super().write_at(name, offset, [data[: self._rng.randrange(len(data) + 1)]])
            raise errors.TierFull("no space left", url=self.url)
        super().write_at(name, offset, parts)


def test_a_failing_disk_loses_nothing_acknowledged_at_any_power_cut() -> None:
    failed = cuts = 0
    for seed in range(12):
        rng = random.Random(seed)
        disk = FailingDisk(rng)
        writer = Writer(disk, seed)

        def cut(
            operation: str, disk: SimDisk = disk, writer: Writer = writer, rng: random.Random = rng
        ) -> None:
            nonlocal cuts
            cuts += 1
            check(disk.crash(rng), writer.batches)

        disk.before = cut
        for _ in range(30):
            try:
                writer.step()
            except (errors.TierFull, errors.TierUnavailable):
                failed += 1
    assert failed >= 20
    assert cuts >= 500


def test_what_is_on_disk_after_a_crash_is_sealed_and_can_be_read_without_recovery() -> None:
    disk, rng = SimDisk(), random.Random(3)
    writer = Writer(disk, 3)
    for _ in range(20):
        writer.step()
    image = disk.crash(rng)
    first = recover(image, store_id=STORE, writer_alive=lambda writer: False)
    names = image.list()
    assert names == [sealed_name(info.id) for info in first.segments]
    assert all(parse_name(name) for name in names)
    again = recover(image, store_id=STORE, writer_alive=lambda writer: False)
    assert again.segments == first.segments
    assert not again.truncated
