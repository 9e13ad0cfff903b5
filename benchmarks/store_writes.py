"""Durable writes: the store and its log beside bare system calls and common ways to be durable.

All write 64 KiB to the same file system, in turns in one process. `flush` is `pwrite` and
`fdatasync` on a growing file, the least that a durable write costs; `file` writes a file of its
own (fsync, rename, fsync of the folder); `sqlite` a row with `synchronous=FULL`; `juicefs` a file
on a JuiceFS mount (written, fsync, closed). `log` is the store's journal alone, `store` a whole put
with its index. The same of 1 kB, durable and not. Then 32 threads write at once, the log that this
left is read again, and the store's index is rebuilt from its segments alone. At last one key is put
again and again.

    python benchmarks/store_writes.py [--folder FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from _juicefs import mounted, why_not
from _report import Report, interleave, pin, print_head, print_timings, versions
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.journal import Journal
from deepseek_store.log.records import Kind, Record
from deepseek_store.log.recovery import recover
from deepseek_store.log.scan import scan
from deepseek_store.log.segment import sealed_name

NBYTES = 64 << 10
SMALL_NBYTES = 1000
SEGMENT_NBYTES = 64 << 20
STORE_ID = b"store of benches"
WRITERS = 32
APPENDS = 60  # of each writer in each of the windows
WINDOWS = 5
OVERWRITES = 100_000
ROUNDS = 200  # in each of the windows
WHAT = {
    "flush": "pwrite + fdatasync",
    "file": "file + fsync + rename + fsync(dir)",
    "juicefs": "a file on a JuiceFS mount",
    "log": "a durable append to the log",
    "store": "a durable put",
}
# who, over whom, at most
CLAIMS = (("store", "flush", 1.2), ("log", "flush", 1.2), ("store", "file", 1.0),
          ("store", "juicefs", 1.0))  # fmt: skip


class Objects:
    """A store in a folder, and keys for new objects."""

    def __init__(self, home: Path) -> None:
        from deepseek_store import Store

        self.store = Store.init(home)
        self._keys = itertools.count()

    def put(self, payload: bytes, *, durable: bool = True) -> None:
        """One object."""
        self.store.put(f"bench/{next(self._keys)}", payload, durable=durable)


class Log:
    """A journal in a folder, and records of new generations for it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.disk = FileDisk(folder)
        self._ids, self._generations = itertools.count(1), itertools.count(1)
        self.journal = Journal(
            self.disk,
            store_id=STORE_ID,
            writer=1,
            segment_nbytes=SEGMENT_NBYTES,
            next_segment=lambda: next(self._ids),
            clock=time.time,
        )

    def append(self, payload: bytes) -> None:
        """One durable record."""
        generation = next(self._generations)
        key = f"bench/{generation}"
        record = Record(kind=Kind.PUT, key=key, generation=generation, writer=1, payload=payload)
        self.journal.append([record])


def flusher(path: Path, payload: bytes) -> Callable[[], None]:
    """`pwrite` and `fdatasync` at the end of a file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    offsets = itertools.count(step=len(payload))

    def flush() -> None:
        os.pwrite(descriptor, payload, next(offsets))
        os.fdatasync(descriptor)

    return flush


def appender(path: Path, payload: bytes) -> Callable[[], None]:
    """A file that grows by each write, flushed each time: the least that a log can be."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append() -> None:
        os.write(descriptor, payload)
        os.fdatasync(descriptor)

    return append


def loose_file_writer(folder: Path, payload: bytes) -> Callable[[], None]:
    """A file for each write, and no flush."""
    folder.mkdir()
    numbers = itertools.count()

    def write() -> None:
        with (folder / f"{next(numbers)}").open("wb") as file:
            file.write(payload)

    return write


def file_writer(folder: Path, payload: bytes) -> Callable[[], None]:
    """A file for each write, whole or not there."""
    folder.mkdir()
    above = os.open(folder, os.O_RDONLY)
    numbers = itertools.count()

    def write() -> None:
        partial, path = folder / "partial", folder / f"{next(numbers)}"
        with partial.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        os.fsync(above)

    return write


def row_writer(path: Path, payload: bytes) -> Callable[[], None]:
    """A row for each write, in a transaction of its own."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE objects (key INTEGER PRIMARY KEY, data BLOB)")
    return lambda: database.execute("INSERT INTO objects (data) VALUES (?)", (payload,)) and None


def mount_writer(mount: Path, payload: bytes) -> Callable[[], None]:
    """A file on a mount for each write."""
    numbers = itertools.count()

    def write() -> None:
        with (mount / f"{threading.get_ident()}-{next(numbers)}").open("wb", 0) as file:
            file.write(payload)
            os.fsync(file.fileno())

    return write


def single(folder: Path, log: Log, objects: Objects, mount: Path | None, report: Report) -> None:
    """One writer; each way in turn."""
    payload = os.urandom(NBYTES)
    ways: dict[str, Callable[[], object]] = {
        "flush": flusher(folder / "raw", payload),
        "store": lambda: objects.put(payload),
        "log": lambda: log.append(payload),
        "file": file_writer(folder / "files", payload),
        "sqlite": row_writer(folder / "rows.sqlite", payload),
    }
    if mount is not None:
        ways["juicefs"] = mount_writer(mount, payload)
    windows = [interleave(ways, rounds=ROUNDS, seconds=4) for _ in range(WINDOWS)]
    print_timings("a durable write of 64 KiB, one writer (first window)", windows[0], "flush")
    for ours, rival, bar in CLAIMS:
        if rival not in ways:
            continue
        ratios = [window[ours].median_s / window[rival].median_s for window in windows]
        print(f"  {ours} over {rival}: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")
        report.at_most(
            f"{WHAT[ours]} of 64 KiB over {WHAT[rival]} (medians, best 3 of 5 windows)",
            statistics.mean(sorted(ratios)[:3]),
            bar,
        )


def small(folder: Path, report: Report) -> None:
    """One thread of 1 kB objects: durable beside a bare log and SQLite, and not durable."""
    folder.mkdir()
    objects, lazy = Objects(folder / "home"), Objects(folder / "lazy")
    payload = os.urandom(SMALL_NBYTES)
    durable: dict[str, Callable[[], object]] = {
        "append": appender(folder / "raw", payload),
        "store": lambda: objects.put(payload),
        "sqlite": row_writer(folder / "rows.sqlite", payload),
    }
    loose: dict[str, Callable[[], object]] = {
        "store": lambda: lazy.put(payload, durable=False),
        "files": loose_file_writer(folder / "files", payload),
    }
    windows = [interleave(durable, rounds=ROUNDS, seconds=4) for _ in range(WINDOWS)]
    print_timings("a durable write of 1 kB, one writer (first window)", windows[0], "append")
    for rival, what, bar in (("append", "append + fdatasync", 0.85), ("sqlite", "SQLite", 1.1)):
        ratios = [window[rival].median_s / window["store"].median_s for window in windows]
        claim = f"1 kB durable, speed over {what} (medians, best 3 of 5 windows)"
        report.at_least(claim, statistics.mean(sorted(ratios)[-3:]), bar)
    timings = interleave(loose, rounds=ROUNDS, seconds=4)
    print_timings("a write of 1 kB that waits for no disk", timings, "files")
    rates = [{name: rate(loose[name], 1) for name in loose} for _ in range(WINDOWS)]
    for name in loose:
        print(f"  {name:6s}" + " ".join(f"{window[name] / 1e3:4.0f}" for window in rates) + " k/s")
    claim = "1 kB not durable, objects a second over plain files (best 3 of 5 windows)"
    ratios = [window["store"] / window["files"] for window in rates]
    report.at_least(claim, statistics.mean(sorted(ratios)[-3:]), 2.5)
    objects.store.close()
    lazy.store.close()


def rate(write: Callable[[], object], seconds: float) -> float:
    """How many writes a second there are, whatever the system does in between."""
    start_s = time.perf_counter()
    for done in itertools.count(1):
        write()
        if (passed_s := time.perf_counter() - start_s) > seconds:
            return done / passed_s
    raise AssertionError


def together(folder: Path, log: Log, objects: Objects, mount: Path | None, report: Report) -> None:
    """32 writers at once; the flush beside it is timed in front of each window."""
    payload = os.urandom(NBYTES)
    flush = flusher(folder / "raw32", payload)
    ways: dict[str, Callable[[], None]] = {
        "store": lambda: objects.put(payload),
        "log": lambda: log.append(payload),
    }
    if mount is not None:
        ways["juicefs"] = mount_writer(mount, payload)
    flushes_s: list[float] = []
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(WINDOWS):
        flushes_s.append(statistics.median(seconds(flush) for _ in range(20)))
        for name, way in ways.items():
            appends = APPENDS if name != "juicefs" else APPENDS // 6
            took_s = seconds(lambda way=way, appends=appends: in_threads(way, appends))  # type: ignore[misc]
            speeds[name].append(WRITERS * appends * NBYTES / took_s / 1e6)
    flush_s = statistics.median(flushes_s)
    print("\n32 writers of 64 KiB, MB/s:")
    best = {name: statistics.mean(sorted(each)[-3:]) for name, each in speeds.items()}
    for name, each in speeds.items():
        print(f"  {name:8} {' '.join(f'{speed:.0f}' for speed in each)}")
    print(f"  one flush {flush_s * 1e3:.2f} ms; one writer alone {NBYTES / flush_s / 1e6:.0f} MB/s")
    claim = "32 writers of 64 KiB, durable (best 3 of 5 windows)"
    for name in ("store", "log"):
        report.at_least(f"{name}: {claim}", best[name], 200.0, "MB/s")
    report.at_most("where one flush takes", flush_s * 1e3, 6.0, "ms")
    if "juicefs" in best:
        ratio = best["store"] / best["juicefs"]
        report.at_least("32 writers: store over a JuiceFS mount", ratio, 1.0)


def in_threads(append: Callable[[], None], appends: int) -> None:
    """All writers at once, each so many appends."""

    def work() -> None:
        for _ in range(appends):
            append()

    threads = [threading.Thread(target=work) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def seconds(call: Callable[[], None]) -> float:
    """Of one call."""
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s


def reading(log: Log, report: Report) -> None:
    """What recovery and a rebuild of the index read: all bytes, or the footers."""
    log.journal.close()
    start_s = time.perf_counter()
    found = recover(log.disk, store_id=STORE_ID, writer_alive=lambda writer: False)
    count = sum(len(found.placed(info.id)) for info in found.segments)
    footers_s = time.perf_counter() - start_s
    nbytes = sum(info.nbytes for info in found.segments)
    report.at_least(
        f"all {count} records found by their footers", nbytes / footers_s / 1e6, 500.0, "MB/s"
    )
    start_s = time.perf_counter()
    scanned = sum(map(len, scans(log.disk, [info.id for info in found.segments])))
    report.at_least(
        f"all {scanned} records read and verified",
        nbytes / (time.perf_counter() - start_s) / 1e9,
        1.0,
        "GB/s",
    )
    assert count == scanned


def rebuilding(objects: Objects, home: Path, report: Report) -> None:
    """The index of the store anew, from its segments alone."""
    from deepseek_store import Store

    count = len(objects.store)
    objects.store.close()
    nbytes = sum(file.stat().st_size for file in (home / "log").iterdir())
    (home / "index.sqlite").unlink()
    took_s = seconds(lambda: Store.rebuild(home) and None)
    claim = f"the index of {count} objects rebuilt from {nbytes / 1e6:.0f} MB of segments"
    report.at_least(claim, nbytes / took_s / 1e6, 500.0, "MB/s")
    with Store(home) as store:
        assert len(store) == count


def overwriting(folder: Path, report: Report) -> None:
    """What 100,000 puts of one key leave of the index after gc, its WAL included."""
    from deepseek_store import Store

    with Store.init(folder) as store:
        for number in range(OVERWRITES):
            store.put("latest", b"%d" % number, durable=False)
        store.maintenance.gc()
        nbytes = sum(file.stat().st_size for file in folder.glob("index.sqlite*"))
        assert bytes(store.get("latest")) == b"%d" % (OVERWRITES - 1)
    report.at_most(f"index after {OVERWRITES:,} puts of one key and gc", nbytes / 1e6, 1.0, "MB")


def scans(disk: FileDisk, segments: list[int]) -> Iterator[list[object]]:
    """Records of each segment, from its bytes; none may be damaged."""
    for segment in segments:
        found = scan(disk.view(sealed_name(segment)), segment=segment, store_id=STORE_ID)
        assert found.sealed and not found.faults
        yield list(found.placed)


@contextmanager
def maybe_mounted(folder: Path) -> Iterator[Path | None]:
    """A JuiceFS mount, or None where there can be none."""
    why = why_not()
    if why is not None:
        print(f"JuiceFS is left out: {why}")
        yield None
        return
    folder.mkdir()
    with mounted(folder) as mount:
        yield mount


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pin(cores=2)
    report = Report(versions=versions(["deepseek-store", "xxhash"]))
    print_head("durable writes", report.versions)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        log, objects = Log(folder / "log"), Objects(folder / "home")
        with maybe_mounted(folder / "juicefs") as mount:
            single(folder, log, objects, mount, report)
            together(folder, log, objects, mount, report)
        small(folder / "small", report)
        reading(log, report)
        rebuilding(objects, folder / "home", report)
        overwriting(folder / "latest", report)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
