"""Group commit into segments, and what happens when a disk or a writer fails."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from log_kit import STORE, journal_on, keys, keys_of, put, recovered

from deepseek_core import errors
from deepseek_store.errors import StoreClosed
from deepseek_store.log.disk import read_segment
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.journal import Journal
from deepseek_store.log.records import Kind, Placed, pack_extents
from deepseek_store.log.recovery import recover
from deepseek_store.log.scan import scan
from deepseek_store.log.segment import SegmentInfo, active_name, sealed_name


class WatchedDisk(FileDisk):
    """A folder that counts its syncs and calls `on_sync` in front of each."""

    syncs = 0
    on_sync: Callable[[], None] = staticmethod(lambda: None)

    def sync(self, name: str) -> None:
        self.syncs += 1
        self.on_sync()
        super().sync(name)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[WatchedDisk]:
    with_folder = WatchedDisk(tmp_path)
    yield with_folder
    with_folder.close()


def test_what_is_appended_can_be_read_at_once_and_after_the_seal(disk: WatchedDisk) -> None:
    journal = journal_on(disk)
    payloads = [b"", b"x", os.urandom(70_000), bytes(5000)]
    placed = journal.append([put(payload=payload) for payload in payloads])
    assert [disk.read_extent(one.extent) for one in placed] == payloads
    assert journal.active == placed[0].segment
    info = journal.seal()
    assert info is not None
    assert (info.id, info.sealed, info.writer, info.created_s) == (placed[0].segment, True, 1, 1.5)
    assert info.min_generation == placed[0].record.generation
    assert disk.size(sealed_name(info.id)) == info.nbytes
    assert [disk.read_extent(one.extent) for one in placed] == payloads
    assert journal.active is None
    assert journal.seal() is None
    found = scan(disk.view(sealed_name(info.id)), segment=info.id, store_id=STORE)
    assert [one.extent for one in found.placed] == [one.extent for one in placed]


def test_a_full_segment_is_sealed_and_another_begun(disk: WatchedDisk) -> None:
    sealed: list[SegmentInfo] = []
    journal = journal_on(disk, segment_nbytes=50_000, on_seal=sealed.append)
    placed = [journal.append([put(payload=os.urandom(9000))])[0] for _ in range(20)]
    journal.close()
    assert len(sealed) == len({one.segment for one in placed}) >= 4
    assert all(info.nbytes <= 50_000 for info in sealed)
    assert disk.list() == sorted(sealed_name(info.id) for info in sealed)


def test_a_record_larger_than_a_segment_gets_one_of_its_own(disk: WatchedDisk) -> None:
    journal = journal_on(disk, segment_nbytes=10_000)
    payload = os.urandom(300_000)
    small, large, after = (journal.append([put(payload=p)])[0] for p in (b"s", payload, b"t"))
    assert len({small.segment, large.segment, after.segment}) == 3
    assert disk.read_extent(large.extent) == payload


def test_the_longest_key_and_the_smallest_segment_work(disk: WatchedDisk) -> None:
    journal = journal_on(disk, segment_nbytes=64)
    for key in ("k" * 4096, "ü" * 2048):
        journal.append([put(key)])
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["k" * 4096, "ü" * 2048]


def hold(begun: threading.Event, go: threading.Event) -> Callable[[], None]:
    """A flush that says when it begins and ends when it may."""

    def on_sync() -> None:
        begun.set()
        assert go.wait(20)

    return on_sync


def test_appends_that_wait_for_a_flush_share_the_next_one(disk: WatchedDisk) -> None:
    groups: list[list[str]] = []
    journal = journal_on(disk, on_group=lambda placed: groups.append(keys(placed)))
    flushing, go = threading.Event(), threading.Event()
    disk.on_sync = hold(flushing, go)
    threads = [threading.Thread(target=journal.append, args=([put("first")],))]
    threads[0].start()
    assert flushing.wait(20)
    for number in range(8):
        threads.append(threading.Thread(target=journal.append, args=([put(str(number))],)))
        threads[-1].start()
    while len(journal._queue) < 9:
        threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join(20)
    assert groups[0] == ["first"]
    assert sorted(groups[1]) == [str(number) for number in range(8)]
    assert disk.syncs == 2


def test_many_threads_get_their_own_places_and_groups_come_in_the_order_of_the_log(
    disk: WatchedDisk,
) -> None:
    seen: list[Placed] = []
    journal = journal_on(disk, segment_nbytes=100_000, on_group=seen.extend, max_group=7)
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(25):
            payload = f"{number}/{turn}".encode() * (turn * 3)
            key = f"{number}/{turn}"
            placed = journal.append([put(key, payload), put(key, b"second")])
            if placed[0].record.key != key or disk.read_extent(placed[0].extent) != payload:
                wrong.append(key)
            if placed[0] not in seen[-200:] and placed[0] not in seen:
                wrong.append(f"{key} returned before its group was told")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    journal.close()
    assert not wrong
    assert len(seen) == 12 * 25 * 2
    places = [(one.segment, one.offset) for one in seen]
    assert places == sorted(places)
    found = recovered(disk)
    assert [one.extent for i in found.segments for one in found.placed(i.id)] == [
        one.extent for one in seen
    ]


def test_pieces_are_written_without_a_flush_and_count_with_the_next_group(
    disk: WatchedDisk,
) -> None:
    groups: list[list[str]] = []
    journal = journal_on(disk, on_group=lambda placed: groups.append(keys(placed)))
    piece = journal.append([put("piece", b"p" * 100, kind=Kind.SHARD)], durable=False)[0]
    assert (disk.syncs, groups) == (0, [])
    data = disk.read_at(active_name(piece.segment), 0, 1 << 20)
    assert scan(data, segment=piece.segment, store_id=STORE).placed == []
    journal.append([put("manifest", pack_extents([piece.extent]), manifest=True)])
    assert (disk.syncs, groups) == (1, [["piece", "manifest"]])
    journal.append([put("late", kind=Kind.SHARD)], durable=False)
    journal.flush()
    assert (disk.syncs, groups[1:]) == (2, [["late"]])
    journal.flush()
    assert disk.syncs == 2
    journal.append([put("last", kind=Kind.SHARD)], durable=False)
    journal.seal()
    assert groups[2:] == [["last"]]
    assert keys_of(disk, recovered(disk)) == ["last", "late", "manifest", "piece"]


def test_an_empty_append_beside_a_real_one_writes_the_real_one(disk: WatchedDisk) -> None:
    journal = journal_on(disk)
    flushing, go = threading.Event(), threading.Event()
    disk.on_sync = hold(flushing, go)
    threads = [threading.Thread(target=journal.append, args=([put("a")],))]
    threads[0].start()
    assert flushing.wait(20)
    for records in ((), [put("b", bytes(3 << 20))], ()):
        threads.append(threading.Thread(target=journal.append, args=(records,)))
        threads[-1].start()
        while len(journal._queue) < len(threads):
            threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join(20)
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["a", "b"]


def test_a_closed_journal_takes_no_more(disk: WatchedDisk) -> None:
    journal = journal_on(disk)
    journal.append([put()])
    journal.close()
    journal.close()
    with pytest.raises(StoreClosed):
        journal.append([put()])
    assert len(disk.list()) == 1


def fail_once(disk: WatchedDisk, error: BaseException) -> None:
    def on_sync() -> None:
        disk.on_sync = lambda: None
        raise error

    disk.on_sync = on_sync


def test_a_failed_flush_gives_up_the_segment_at_its_last_good_mark(disk: WatchedDisk) -> None:
    sealed: list[SegmentInfo] = []
    journal = journal_on(disk, on_seal=sealed.append)
    good = journal.append([put("good", b"g" * 50)])[0]
    end = good.end + 88
    fail_once(disk, errors.TierUnavailable("I/O error", url=disk.url))
    with pytest.raises(errors.TierUnavailable, match="I/O error"):
        journal.append([put("bad", b"b" * 50)])
    assert journal._abandoned == {good.segment: end}
    assert [info.id for info in sealed] == [good.segment]
    after = journal.append([put("after")])[0]
    assert after.segment != good.segment
    assert disk.read_extent(good.extent) == b"g" * 50
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["after", "good"]


def test_all_appends_of_a_failed_group_are_told_each_by_its_own_error(disk: WatchedDisk) -> None:
    journal = journal_on(disk)
    flushing, go = threading.Event(), threading.Event()

    def on_sync() -> None:
        flushing.set()
        go.wait(20)
        fail_once(disk, errors.TierFull("full", url=disk.url))

    disk.on_sync = on_sync
    told: list[BaseException] = []

    def work() -> None:
        try:
            journal.append([put("lost")])
        except errors.TierFull as error:
            told.append(error)

    threads = [threading.Thread(target=journal.append, args=([put("kept")],))]
    threads[0].start()
    assert flushing.wait(20)
    for _ in range(4):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    while len(journal._queue) < 5:
        threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join(20)
    assert len({id(error) for error in told}) == 4
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["kept"]


def test_a_manifest_whose_pieces_went_with_a_failed_segment_is_refused(disk: WatchedDisk) -> None:
    journal = journal_on(disk)
    kept = journal.append([put("kept", b"kept", kind=Kind.SHARD)])[0]
    piece = journal.append([put("piece", b"piece", kind=Kind.SHARD)], durable=False)[0]
    fail_once(disk, errors.TierUnavailable("I/O error", url=disk.url))
    with pytest.raises(errors.TierUnavailable):
        journal.append([put("other")])
    with pytest.raises(errors.TierUnavailable, match="pieces of 'big' were lost"):
        journal.append([put("big", pack_extents([kept.extent, piece.extent]), manifest=True)])
    journal.append([put("small", pack_extents([kept.extent]), manifest=True)])
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["kept", "small"]


@contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    """A real limit of the kernel's, in place of a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_before_anything_is_written_and_the_log_goes_on(
    disk: WatchedDisk,
) -> None:
    journal = journal_on(disk)
    with files_of_at_most(100_000):
        journal.append([put("tombstone", kind=Kind.DELETE)])  # a small segment still fits
        with pytest.raises(errors.TierFull) as caught:
            journal.append([put("large", bytes(200_000))])
        assert caught.value.remedy
        assert not any(name.startswith(("new-", "active-")) for name in disk.list())
    journal.append([put("later", bytes(200_000))])
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["later", "tombstone"]


def test_a_folder_that_vanishes_is_told_and_used_again_when_it_is_back(
    disk: WatchedDisk, tmp_path: Path
) -> None:
    journal = journal_on(disk)
    journal.append([put("before")])
    shutil.rmtree(tmp_path)
    for _ in range(2):
        with pytest.raises(errors.TierUnavailable):
            journal.append([put("never")])
    tmp_path.mkdir()
    journal.append([put("after")])
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["after"]


def test_an_interrupted_leader_leaves_the_others_their_appends(disk: WatchedDisk) -> None:
    journal = journal_on(disk)
    journal.append([put("first")])
    flushing, go = threading.Event(), threading.Event()

    def on_sync() -> None:
        flushing.set()
        go.wait(20)
        disk.on_sync = lambda: None
        raise KeyboardInterrupt

    disk.on_sync = on_sync
    outcome: list[str] = []

    def lead() -> None:
        try:
            journal.append([put("interrupted")])
        except KeyboardInterrupt:
            outcome.append("interrupted")

    threads = [threading.Thread(target=lead)]
    threads[0].start()
    assert flushing.wait(20)
    for number in range(5):
        threads.append(threading.Thread(target=journal.append, args=([put(f"{number}")],)))
        threads[-1].start()
    while len(journal._queue) < 6:
        threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert outcome == ["interrupted"]
    journal.close()
    assert keys_of(disk, recovered(disk)) == ["0", "1", "2", "3", "4", "first"]


class Alarm(BaseException):
    """Comes at any moment, like an interrupt from the keyboard."""


# An interrupt that falls into a finalizer (a file that is closed) is swallowed by the interpreter.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("no_logs")
def test_interrupts_at_random_moments_hang_nobody_and_lose_nothing(disk: WatchedDisk) -> None:
    journal = journal_on(disk, segment_nbytes=40_000)
    acknowledged: list[str] = []
    stop = threading.Event()

    def work(number: int) -> None:
        turn = 0
        while not stop.is_set():
            key = f"{number}/{turn}"
            journal.append([put(key, b"x" * 900)])
            acknowledged.append(key)
            turn += 1

    def ring(_signal: int, _frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    interrupted = 0
    try:
        for thread in threads:
            thread.start()
        for turn in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + turn % 10 * 0.0004)
                end_s = time.monotonic() + 0.5
                while time.monotonic() < end_s:
                    journal.append([put(f"main/{turn}", b"y" * 900)])
            except Alarm:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert interrupted >= 140
    journal.close()
    there = set(keys_of(disk, recovered(disk)))
    assert set(acknowledged) <= there
    assert len(acknowledged) > 3


def test_an_error_of_the_callback_reaches_the_appender_and_the_log_goes_on(
    disk: WatchedDisk,
) -> None:
    broken = [True]

    def on_group(placed: list[Placed]) -> None:
        if broken.pop():
            raise errors.InputError("no index")

    journal = journal_on(disk, on_group=on_group)
    with pytest.raises(errors.InputError, match="no index"):
        journal.append([put("on disk")])
    broken.append(False)
    journal.append([put("too")])
    assert journal._abandoned == {}


def test_live_writers_keep_their_segments_and_the_dead_lose_theirs(disk: WatchedDisk) -> None:
    journals: dict[int, Journal] = {writer: journal_on(disk, writer=writer) for writer in (1, 2)}
    placed = {writer: journal.append([put(f"{writer}")])[0] for writer, journal in journals.items()}
    disk.create("new-00000000000000aa-0000000000000001.seg", 100)
    disk.create("new-00000000000000ab-0000000000000002.seg", 100)
    found = recover(disk, store_id=STORE, writer_alive=lambda writer: writer == 1)
    assert {info.id: info.sealed for info in found.segments} == {
        placed[1].segment: False,
        placed[2].segment: True,
    }
    names = disk.list()
    assert active_name(placed[1].segment) in names
    assert "new-00000000000000aa-0000000000000001.seg" in names
    assert "new-00000000000000ab-0000000000000002.seg" not in names
    assert keys(found.placed(placed[1].segment)) == ["1"]
    assert keys(found.placed(placed[2].segment)) == ["2"]
    journals[1].append([put("goes on")])


def test_a_segment_can_be_read_while_it_is_sealed(disk: WatchedDisk) -> None:
    journal = journal_on(disk, segment_nbytes=3000)
    stop = threading.Event()
    placed: list[Placed] = [journal.append([put(payload=b"0" * 500)])[0]]
    failed: list[BaseException] = []

    def read() -> None:
        while not stop.is_set():
            for turn, one in enumerate(placed[-3:]):
                try:
                    assert len(read_segment(disk, one.extent, active=bool(turn % 2))) == 500
                except errors.StorageError as error:
                    failed.append(error)
                    return

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        placed.append(journal.append([put(payload=b"1" * 500)])[0])
    stop.set()
    reader.join(20)
    assert failed == []
