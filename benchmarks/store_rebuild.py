"""Opening a large store, and making its index anew from segments and fragments alone.

    python benchmarks/store_rebuild.py [--json FILE] [--objects N] [--shards N]

A store of 64 KiB objects in the log, then the same with its log's copies dropped, so that all of it
is in stripes on folders that stand for 18 failure domains; and a store of very many small shards.
Each time the index file is deleted and rebuilt; then every object is compared with what there was.
Rates are of all bytes in the segments: without `verify` only footers are read.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from _report import Report, pin, print_head, versions

if TYPE_CHECKING:
    from deepseek_store import Store

ROOT = Path(__file__).resolve().parents[1]
OBJECT_NBYTES = 64 << 10
SHARD_NBYTES = 4 << 10
BAR_BYTES_PER_S = 500e6
ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--objects", type=int, default=16_000, help="of 64 KiB")
    parser.add_argument("--shards", type=int, default=100_000, help="of 64 and of 4 KiB")
    args = parser.parse_args()
    pin(cores=2)
    used = versions(("deepseek-store", "deepseek-storage-local", "xxhash"))
    print_head("Store: opening, and rebuilding the index", used)
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    report = Report(versions=used)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        _large_objects(Path(folder), args.objects, report)
    # Small objects too: a rebuild costs time per record, so their rate in bytes is lower.
    for nbytes in (OBJECT_NBYTES, SHARD_NBYTES):
        with tempfile.TemporaryDirectory(dir=out) as folder:
            _many_shards(Path(folder), args.shards, nbytes, report)
    return report.finish(args.json)


def _large_objects(folder: Path, count: int, report: Report) -> None:
    from deepseek_store import Policy, Store

    tier = folder / "warm"
    tier.mkdir()
    url = f"{tier.as_uri()}?domains=18"
    policy = Policy(grace_s=0, codes={"hot": "auto", "warm": "rs(14,4)", "cold": "auto"})
    home = folder / "home"
    with Store.init(home, warm=[url], policy=policy) as store:
        _fill(store, count, OBJECT_NBYTES)
        before = _known(store)
    _measure(home, before, report, f"{count} objects of 64 KiB in the log", verify=False)
    _measure(home, before, report, f"{count} objects of 64 KiB in the log, verified", verify=True)
    with Store(home) as store:
        store.maintenance.send([info.key for info in store.list()], "warm")
        store.maintenance.gc()
        rows = store.parts.state.segments.values()
        # Tombstones stay in the log, with what lies beside them.
        assert sum(row.nbytes for row in rows if row.local) < 64 << 20
        before = _known(store)
    _measure(home, before, report, f"{count} objects of 64 KiB in stripes", verify=False)


def _many_shards(folder: Path, count: int, nbytes: int, report: Report) -> None:
    from deepseek_store import Store

    home = folder / "home"
    with Store.init(home) as store:
        _fill(store, count, nbytes)
        before = _known(store)
    taken_s = _best(lambda: Store(home).close())
    what = f"opening and closing a store of {count} shards of {nbytes >> 10} KiB"
    report.at_most(what, taken_s, 1.0, "s")
    _measure(home, before, report, f"{count} shards of {nbytes >> 10} KiB", verify=False)


def _fill(store: Store, count: int, nbytes: int) -> None:
    rng = random.Random(1)
    data = rng.randbytes(nbytes + count)
    for number in range(count):
        store.put(f"set/{number:07d}", data[number : number + nbytes], durable=False)
    for number in range(0, count, 50):
        store.delete(f"set/{number:07d}")
    store.parts.journal.seal()
    store.flush()


def _known(store: Store) -> list[tuple[str, int, int, bytes]]:
    """All objects, with the hashes of their pieces."""
    from deepseek_store.log.records import unpack_extents

    found = []
    for info in store.list():
        version = store.parts.state.catalog.get(info.key)
        assert version is not None
        hashes = b"".join(
            each.xxh3.to_bytes(8, "little") for each in unpack_extents(version.extents)
        )
        found.append((info.key, info.nbytes, info.generation, hashes))
    return found


def _measure(
    home: Path,
    before: list[tuple[str, int, int, bytes]],
    report: Report,
    what: str,
    *,
    verify: bool,
) -> None:
    """The best of some rebuilds; every object is compared after the last."""
    from deepseek_store import Store

    best_s, nbytes = float("inf"), 0
    for _ in range(ROUNDS):
        (home / "index.sqlite").unlink()
        found = Store.rebuild(home, verify=verify)
        assert found.ok, found.sentences()
        best_s, nbytes = min(best_s, found.seconds), found.segment_nbytes
    report.at_least(f"rebuilding: {what}", nbytes / best_s / 1e6, BAR_BYTES_PER_S / 1e6, "MB/s")
    with Store(home) as store:
        same = sum(a == b for a, b in zip(before, _known(store), strict=True))
        for info in list(store.list())[::997]:
            assert len(store.get(info.key)) == info.nbytes
    report.at_least(f"objects equal before and after: {what}", same / len(before), 1.0, "")
    print(f"  {what}: {nbytes / 1e6:.0f} MB in {best_s:.2f} s, {same} of {len(before)} equal")


def _best(run: Callable[[], None]) -> float:
    taken = []
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start_s)
    return min(taken)


if __name__ == "__main__":
    raise SystemExit(main())
