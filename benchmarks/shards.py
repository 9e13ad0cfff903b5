"""Shard sizes chosen by the cost model, against every fixed size and the article's rule.

Requests of a block trace are served through a byte LRU cache of 10 % of the footprint; a miss
costs latency + shard / bandwidth. The first half of a trace is what the store has seen: sizes are
chosen from it alone. Only the second half counts; the fixed size it is held against is the best of
all in hindsight. The simulator here shares no code with the model.

    python benchmarks/shards.py [--traces FOLDER] [--json FILE]

Without `--traces` only the made traffic runs (see tests/data/traces/README.md).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from _report import Report, pin, print_head, versions

pin()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from _traces import TraceMissing, add_argument, load_requests  # noqa: E402
from deepseek_store.planning.replay import Accesses  # noqa: E402
from deepseek_store.planning.size_model import choose_sizes  # noqa: E402
from deepseek_store.planning.sizing import FIXED_RULE, SIZES, SPAN_NBYTES, Sizes  # noqa: E402
from deepseek_store.planning.tiering import TierTerms  # noqa: E402

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
CACHE_SHARE, SEEN_SHARE = 0.1, 0.5
# Fixed rule: the busiest fifth of the extents is hot, the next three tenths are warm.
HOT_EXTENTS, WARM_EXTENTS = 0.2, 0.5
TIERS = (
    ("object store nearby", TierTerms(name="cold", latency_s=1e-3, bytes_per_s=400e6)),
    ("disk", TierTerms(name="warm", latency_s=8e-3, bytes_per_s=160e6)),
    ("cloud", TierTerms(name="cold", latency_s=30e-3, bytes_per_s=80e6)),
)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Byte ranges in order; `mixed`: scans and a hot set at once."""

    name: str
    reads: Accesses
    mixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Mean milliseconds per request, by rule."""

    traffic: str
    tier: str
    fixed_ms: Mapping[int, float]
    ruled_ms: float
    model_ms: float
    decision_s: float
    sizes: Sizes

    @property
    def best_ms(self) -> float:
        """The best fixed size in hindsight."""
        return min(self.fixed_ms.values())


def scans(
    count: int, rng: np.random.Generator, *, start: int, room: int, read_nbytes: int
) -> Iterator[tuple[int, int]]:
    """Four readers that each go through 4 to 64 MiB from a random place, then elsewhere."""
    places, left = [0] * 4, [0] * 4
    for reader in rng.integers(4, size=count).tolist():
        if left[reader] <= 0:
            places[reader] = start + int(rng.integers(room // MIB)) * MIB
            left[reader] = int(rng.integers(4, 65)) * MIB
        yield places[reader], read_nbytes
        places[reader] += read_nbytes
        left[reader] -= read_nbytes


def hot_set(count: int, rng: np.random.Generator, *, read_nbytes: int) -> Iterator[tuple[int, int]]:
    """Small reads of 4,096 places, 256 KiB apart, some far more often than others (Zipf 1.2)."""
    places = rng.permutation(4096)
    for rank in (rng.zipf(1.2, size=count) % 4096).tolist():
        yield int(places[rank]) * 256 * KIB, read_nbytes


def mixed(name: str, seed: int, *, hot_share: float, hot_nbytes: int, scan_nbytes: int) -> Traffic:
    """Scans over 8 GiB mixed with a hot set, request by request."""
    rng, count = np.random.default_rng(seed), 60_000
    hot = hot_set(count, rng, read_nbytes=hot_nbytes)
    cold = scans(count, rng, start=2 * GIB, room=8 * GIB, read_nbytes=scan_nbytes)
    turns = rng.random(count) < hot_share
    rows = np.array([next(hot if turn else cold) for turn in turns], dtype=np.int64)
    return Traffic(name=name, reads=Accesses(offset=rows[:, 0], nbytes=rows[:, 1]), mixed=True)


def traffics(folder: Path | None) -> Iterator[Traffic]:
    """All that is at hand; says what is missing."""
    for name in ("cloudphysics", "search"):
        try:
            requests = load_requests(name, folder)
        except TraceMissing as error:
            print(f"left out: {error}")
            continue
        reads = Accesses(offset=requests.offset, nbytes=requests.nbytes)
        yield Traffic(name=name, reads=reads)
        if name == "search":
            yield _with_scans(reads)
    yield mixed("mixed 1:1", 1, hot_share=0.5, hot_nbytes=16 * KIB, scan_nbytes=256 * KIB)
    yield mixed("mixed 3:1", 2, hot_share=0.75, hot_nbytes=64 * KIB, scan_nbytes=128 * KIB)


def _with_scans(reads: Accesses) -> Traffic:
    """Another trace, with one request of a scan after each of its own."""
    rng, count = np.random.default_rng(3), len(reads)
    start = int((reads.offset + reads.nbytes).max() // GIB + 1) * GIB
    rows = scans(count, rng, start=start, room=8 * GIB, read_nbytes=256 * KIB)
    scanned = np.array(list(rows), dtype=np.int64)
    offset = np.stack([reads.offset, scanned[:, 0]], axis=1).ravel()
    nbytes = np.stack([reads.nbytes, scanned[:, 1]], axis=1).ravel()
    return Traffic(name="search + scans", reads=Accesses(offset=offset, nbytes=nbytes), mixed=True)


def serve_ms(
    reads: Accesses, sizes: Sizes, tier: TierTerms, cache_nbytes: int, since: int
) -> float:
    """Mean milliseconds of misses per request from number `since` on."""
    cache: OrderedDict[int, int] = OrderedDict()
    used, waited_s = 0, 0.0
    ranges = zip(reads.offset.tolist(), reads.nbytes.tolist(), strict=True)
    for i, (offset, nbytes) in enumerate(ranges):
        place, stop = offset, offset + nbytes
        while place < stop:
            shard_nbytes = sizes.of(place // SPAN_NBYTES)
            shard = place - place % shard_nbytes
            place = shard + shard_nbytes
            if shard in cache:
                cache.move_to_end(shard)
                continue
            if i >= since:
                waited_s += tier.latency_s + shard_nbytes / tier.bytes_per_s
            cache[shard] = shard_nbytes
            used += shard_nbytes
            while used > cache_nbytes:
                used -= cache.popitem(last=False)[1]
    return 1e3 * waited_s / (len(reads) - since)


def footprint_nbytes(reads: Accesses) -> int:
    """Bytes of all 64 KiB blocks that are touched."""
    unit = SIZES[0]
    last = (reads.offset + reads.nbytes - 1) // unit
    width = int((last - reads.offset // unit).max()) + 1
    blocks: NDArray[np.int64] = reads.offset[:, None] // unit + np.arange(width)
    return len(np.unique(blocks[blocks <= last[:, None]])) * unit


def ruled(seen: Accesses) -> Sizes:
    """The fixed rule by how often each extent was read so far; those never read are cold."""
    extents, counts = np.unique(seen.offset // SPAN_NBYTES, return_counts=True)
    order = extents[np.argsort(-counts, kind="stable")].tolist()
    hot, warm = int(len(order) * HOT_EXTENTS), int(len(order) * WARM_EXTENTS)
    table = dict.fromkeys(order[:hot], FIXED_RULE.hot)
    table.update(dict.fromkeys(order[hot:warm], FIXED_RULE.warm))
    return Sizes(base_nbytes=FIXED_RULE.cold, overrides=table, why="the fixed rule")


def measure(traffic: Traffic, name: str, tier: TierTerms) -> Outcome:
    """Serve the traffic by every rule."""
    reads = traffic.reads
    since = int(len(reads) * SEEN_SHARE)
    cache_nbytes = int(CACHE_SHARE * footprint_nbytes(reads))
    start_s = time.perf_counter()
    chosen = choose_sizes(reads.first(since), tier, cache_nbytes)
    decision_s = time.perf_counter() - start_s
    fixed = {
        size: serve_ms(reads, Sizes(base_nbytes=size, why=""), tier, cache_nbytes, since)
        for size in SIZES
    }
    return Outcome(
        traffic=traffic.name,
        tier=name,
        fixed_ms=fixed,
        ruled_ms=serve_ms(reads, ruled(reads.first(since)), tier, cache_nbytes, since),
        model_ms=serve_ms(reads, chosen, tier, cache_nbytes, since),
        decision_s=decision_s,
        sizes=chosen,
    )


def show(outcomes: list[Outcome]) -> None:
    sizes = " ".join(f"{size // KIB:>6}" for size in SIZES)
    print(f"\nmean ms per request\n{'':36} {sizes} {'rule':>7} {'model':>7} {'/best':>6}  choice")
    for one in outcomes:
        row = " ".join(f"{ms:6.2f}" for ms in one.fixed_ms.values())
        differ = f"{len(one.sizes.regions)} regions, {len(one.sizes.overrides)} extents differ"
        choice = f"{one.sizes.base_nbytes // KIB} KiB, {differ}"
        print(
            f"{one.traffic:15} {one.tier:20} {row} {one.ruled_ms:7.2f} {one.model_ms:7.2f} "
            f"{one.model_ms / one.best_ms:6.2f}  {choice} ({one.decision_s:.1f} s)"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_argument(parser)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    used = versions(["deepseek-store", "numpy"])
    print_head("Shard sizes", used)
    report, outcomes, mixes = Report(versions=used), list[Outcome](), set[str]()
    for traffic in traffics(options.traces):
        mixes |= {traffic.name} if traffic.mixed else set()
        outcomes += [measure(traffic, name, tier) for name, tier in TIERS]
    show(outcomes)
    for one in outcomes:
        claim = f"{one.traffic}, {one.tier}: cost model against the best fixed size in hindsight"
        report.at_most(claim, one.model_ms / one.best_ms, 0.9 if one.traffic in mixes else 1.05)
    against_rule = mean(one.model_ms / one.ruled_ms for one in outcomes)
    report.at_most("cost model against the article's rule, mean of all", against_rule, 0.7)
    return report.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
