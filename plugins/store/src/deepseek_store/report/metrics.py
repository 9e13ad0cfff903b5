"""A store at one moment as families of Prometheus' metrics.

The counts are the store's own, read when a scraper asks: prometheus_client writes them, and keeps
none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from deepseek_store.report.status import StoreStatus, TierStatus

_PREFIX: Final = "deepseek_store_"
Labels = Mapping[str, str]


def render(status: StoreStatus, accept: str = "") -> tuple[bytes, str]:
    """What a scraper reads, in the format that its Accept header asks for, and its name."""
    encode, kind = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Moment(status))
    return encode(registry), kind


class _Moment:
    """A collector of one status."""

    def __init__(self, status: StoreStatus) -> None:
        self._status = status  # is never changed

    def collect(self) -> Iterable[Metric]:
        """Give all families."""
        return metrics(self._status)


def metrics(status: StoreStatus) -> Iterator[Metric]:
    """All measures of a store at one moment."""
    yield _gauge("objects", "Objects that can be read, by the tier a read goes to", {
        tier.name: tier.objects for tier in status.tiers
    })  # fmt: skip
    yield _gauge("object_bytes", "Bytes of those objects", {
        tier.name: tier.objects_nbytes for tier in status.tiers
    })  # fmt: skip
    yield from _of_tiers(status.tiers)
    yield from _of_store(status)
    yield from _counters(status)


def _of_tiers(tiers: tuple[TierStatus, ...]) -> Iterator[Metric]:
    parts: list[tuple[Labels, float]] = []
    for tier in tiers:
        for what in ("live", "redundancy", "garbage"):
            nbytes = float(getattr(tier, f"{what}_nbytes"))
            parts.append(({"tier": tier.name, "part": what}, nbytes))
    yield _family(
        "gauge",
        "stored_bytes",
        "Bytes on disks and tiers: what is needed, parities and copies, and what gc will free",
        tuple(parts),
    )
    yield _gauge("capacity_bytes", "Bytes that a tier can hold", {
        tier.name: tier.capacity_nbytes for tier in tiers
    })  # fmt: skip
    yield _gauge("free_bytes", "Bytes that a tier has left", {
        tier.name: tier.free_nbytes for tier in tiers
    })  # fmt: skip
    yield _gauge("tier_up", "Whether the tier, or some disk of the log, answers", {
        tier.name: not tier.unreachable for tier in tiers
    })  # fmt: skip
    yield _gauge("durability_nines", "Least nines of annual durability of the code in use", {
        tier.name: min(tier.choice.nines.values()) if tier.choice else None
        for tier in tiers
    })  # fmt: skip
    yield from _health(tiers)
    yield _family(
        "gauge",
        "stripes",
        "Stripes by their code",
        tuple(
            ({"tier": tier.name, "code": code}, float(number))
            for tier in tiers
            for code, number in tier.codes.items()
        ),
    )


def _health(tiers: tuple[TierStatus, ...]) -> Iterator[Metric]:
    """What of each tier is there now, and what its stripes bear."""
    yield _gauge("durability_nines_now", "Least nines of any stripe, by what is there now", {
        tier.name: tier.nines_now for tier in tiers
    })  # fmt: skip
    yield _gauge("domain_losses_bearable", "Domains that may go yet, of any stripe", {
        tier.name: tier.domain_losses_now for tier in tiers
    })  # fmt: skip
    for name, text in (
        ("domains", "Failure domains, or disks of the log, that are there"),
        ("domains_configured", "Those that should be"),
        ("stripes_hurt", "Stripes that lack fragments now"),
        ("stripes_unreadable", "Stripes that can't be read now"),
        ("segments_unreadable", "Segments of the log that are nowhere now"),
    ):
        yield _gauge(name, text, {t.name: float(getattr(t, name)) for t in tiers})


def _of_store(status: StoreStatus) -> Iterator[Metric]:
    log_nbytes = next(tier.stored_nbytes for tier in status.tiers if tier.name == "hot")
    for name, text, value in (
        ("log_bytes", "Bytes of the log's files", log_nbytes),
        ("index_bytes", "Bytes of the index's files in the home", status.index_nbytes),
        ("index_lag_versions", "Versions in the log and not yet in the index", status.index_behind),
        ("snapshots", "Snapshots", status.snapshots),
        ("pins", "Pinned objects", status.pins),
        ("damaged_units", "Segments and stripes that scrubs left damaged", status.damaged),
    ):
        yield _family("gauge", name, text, (({}, float(value)),))
    found = Counter((each.what, each.kind) for each in status.findings)
    yield _family(
        "gauge",
        "findings",
        "Things that were found wrong by any process and are not healed",
        tuple(
            ({"what": what, "kind": kind}, float(number))
            for (what, kind), number in sorted(found.items())
        )
        or (({}, 0.0),),
    )
    yield _family(
        "gauge",
        "healthy",
        "Whether nothing is known to be wrong",
        (({}, float(status.healthy)),),
    )


def _counters(status: StoreStatus) -> Iterator[Metric]:
    counts = status.counts
    for name, text, value in (
        ("cache_hits_total", "Shards of warm and cold objects found in memory", counts.cache_hits),
        ("cache_misses_total", "Those that were not", counts.cache_misses),
        ("cache_admitted_total", "Shards taken into memory", counts.cache_admitted),
        ("cache_evicted_total", "Those that had to go for others", counts.cache_evicted),
        ("prefetched_total", "Shards fetched ahead of their readers", counts.prefetched),
        ("prefetched_used_total", "Those of them that were read", counts.prefetched_used),
        (
            "prefetched_unused_total",
            "Those that left memory before anybody read them",
            counts.prefetched_unused,
        ),
        ("fetched_total", "Shards read from warm and cold tiers", counts.fetched),
        ("degraded_reads_total", "Those that took other fragments than their own", counts.degraded),
        ("faults_total", "Segments of which a read met wrong bytes, or none", counts.faults),
        ("moves_total", "Steps of plans carried out", counts.moves),
    ):
        yield _family("counter", name, text, (({}, float(value)),))


def _gauge(name: str, text: str, values: Mapping[str, float | None]) -> Metric:
    """A value per tier; one that is not known is left out."""
    known = [({"tier": tier}, float(value)) for tier, value in values.items() if value is not None]
    return _family("gauge", name, text, known)


def _family(
    kind: Literal["counter", "gauge"],
    name: str,
    text: str,
    samples: Iterable[tuple[Labels, float]],
) -> Metric:
    """One measure with its samples; names of counters end in `_total`, and have their unit."""
    made = Metric(_PREFIX + name.removesuffix("_total"), text, kind)
    for labels, value in samples:
        made.add_sample(_PREFIX + name, dict(labels), value)
    return made
