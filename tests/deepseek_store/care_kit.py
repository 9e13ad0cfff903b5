"""Stores with small segments on tiers in memory, and faults to put into them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stripes_kit import Killed, flipped

from deepseek_core import ObjectStat, Tier, TierProfile, errors
from deepseek_store import Policy, Store
from deepseek_store.check.rebuild_index import RebuildReport
from deepseek_store.memory_tier import MemoryTier, open_memory
from deepseek_store.stripes.stripe import Stripe

_names = itertools.count()
SMALL = 64 << 10


class FaultyTier(Tier):
    """A tier in memory; keys in `away`, and whole domains, are out of reach.

    After `lives` more writes every call raises `Killed`; `dead`: it can't be opened.
    """

    def __init__(self, inner: MemoryTier) -> None:
        self.inner = inner
        self.url = inner.url
        self.failure_domains = inner.failure_domains
        self.away: set[str] = set()
        self.lives: int | None = None
        self.dead = False

    def put_if_absent(self, key: str, data: bytes | bytearray | memoryview) -> bool:
        self._enter(key)
        # Fragments are counted; marks, which say whose a tier is, are put by a thread of their own.
        if self.lives is not None and not key.startswith("stores/"):
            if self.lives <= 0:
                raise Killed
            self.lives -= 1
        return self.inner.put_if_absent(key, data)

    def get(self, key: str, start: int = 0, nbytes: int | None = None) -> bytes:
        self._enter(key)
        return self.inner.get(key, start, nbytes)

    def delete(self, key: str) -> None:
        self._enter(key)
        if self.lives is not None and self.lives <= 0 and not key.startswith("stores/"):
            raise Killed
        self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        self._enter(prefix)
        return self.inner.list(prefix)

    def stat(self, key: str) -> ObjectStat:
        self._enter(key)
        return self.inner.stat(key)

    def profile(self) -> TierProfile:
        return self.inner.profile()

    def _enter(self, key: str) -> None:
        if key in self.away or key.partition("/")[0] in self.away:
            raise errors.TierUnavailable(f"{key} is out of reach", url=self.url)


class Site:
    """A home, and tiers that begin empty; opens its store as often as it is asked."""

    def __init__(
        self,
        folder: Path,
        *,
        warm: int = 12,
        cold: int = 12,
        cold_code: str = "rs(14,4)",
        **policy: Any,
    ) -> None:
        number = next(_names)
        self.home = folder / f"store-{number}"
        self.urls = [
            f"memory://care-{name}-{number}?domains={domains}"
            for name, domains in (("warm", warm), ("cold", cold))
        ]
        self.warm, self.cold = (FaultyTier(self._empty(url)) for url in self.urls)
        settings = {
            "warm_fragment_nbytes": SMALL,
            "cold_fragment_nbytes": SMALL,
            "grace_s": 0,
            "cache_nbytes": 0,
            "prefetch": False,
            "codes": {"hot": "auto", "warm": "rs(14,4)", "cold": cold_code},
        }
        self.policy = Policy(**(settings | policy))

    def init(self, **options: Any) -> Store:
        return self.init_at(self.home, **options)

    def init_at(self, home: Path, **options: Any) -> Store:
        """Another store on the same tiers."""
        warm, cold = ([url] for url in self.urls)
        return Store.init(
            home, warm=warm, cold=cold, policy=self.policy, tiers=self.open_tier, **options
        )

    def open(self, **options: Any) -> Store:
        return Store(self.home, tiers=self.open_tier, **options)

    def rebuild(self, **options: Any) -> RebuildReport:
        return Store.rebuild(self.home, tiers=self.open_tier, **options)

    def adopt(self, **options: Any) -> RebuildReport:
        return Store.adopt(self.home, tiers=self.open_tier, **options)

    def open_tier(self, url: str) -> Tier:
        """One of its tiers, which can be out of order."""
        tier = dict(zip(self.urls, (self.warm, self.cold), strict=True))[url]
        if tier.dead:
            raise errors.TierUnavailable("nobody answers", url=url)
        return tier

    def tier(self, number: int) -> FaultyTier:
        return (self.warm, self.cold)[number]

    def forget(self) -> None:
        """Give the memory of the tiers back."""
        for tier in (self.warm, self.cold):
            tier.inner.clear()

    @staticmethod
    def _empty(url: str) -> MemoryTier:
        tier = open_memory(url)
        tier.clear()
        return tier


def fill(
    store: Store, count: int, nbytes: int, *, seed: int = 0, prefix: str = "k"
) -> dict[str, bytes]:
    """Objects of up to so many bytes, put one by one."""
    rng = random.Random(seed)
    made = {f"{prefix}/{i:04d}": rng.randbytes(rng.randint(1, nbytes)) for i in range(count)}
    for key, data in made.items():
        store.put(key, data, durable=False)
    store.flush()
    return made


def adopted(store: Store, count: int = 60, nbytes: int = 9000) -> dict[str, bytes]:
    """Objects in the log and in a warm stripe, both."""
    objects = fill(store, count, nbytes)
    store.maintenance.apply(store.maintenance.plan(flush=True))
    assert store.parts.state.stripes
    return objects


def cooled(store: Store, count: int = 100) -> dict[str, bytes]:
    """Objects that lie on the cold tier alone."""
    objects = fill(store, count, 9000)
    store.maintenance.send(objects, "cold")
    store.parts.journal.seal()
    store.maintenance.gc()
    return objects


def spread(
    store: Store, count: int, *, nbytes: int = 9000, cold: int | None = None
) -> dict[str, bytes]:
    """Some objects in the log and adopted, so many (or half of them) packed."""
    objects = adopted(store, count, nbytes)
    store.maintenance.send(list(objects)[: count // 2 if cold is None else cold], "cold")
    store.maintenance.gc()
    return objects


def contents(store: Store, snapshot: str | None = None) -> dict[str, bytes]:
    """All objects that a store lists, read."""
    if snapshot is None:
        return {info.key: bytes(store.get(info.key)) for info in store.list()}
    members = store.parts.state.index.snapshot_versions(snapshot)
    return {each.key: bytes(store.get(each.key, snapshot=snapshot)) for each in members}


def replace(tier: Tier, key: str, data: bytes) -> None:
    """Other bytes under a key that is taken."""
    tier.delete(key)
    assert tier.put_if_absent(key, data)


def fragments_of(site: Site, stripe: Stripe) -> dict[int, bytes]:
    """All fragments of a stripe, as they lie there."""
    places = {index: stripe.fragments[index] for index in stripe.stored}
    return {index: site.tier(place.tier).get(place.key) for index, place in places.items()}


def break_fragment(
    site: Site, stripe: Stripe, index: int, kind: str, whole: dict[int, bytes], rng: random.Random
) -> None:
    """Put a fault of a kind into one fragment of a stripe; `whole` are all as they were."""
    place = stripe.fragments[index]
    tier, data, start = site.tier(place.tier), whole[index], stripe.payload_start(index)
    if kind == "missing":
        tier.delete(place.key)
    elif kind == "unreachable":
        tier.away.add(place.key)
    else:
        others = [other for other in whole if other != index]
        damaged = {
            "truncated": data[: rng.randrange(len(data))],
            "corrupt-header": flipped(data, rng.randrange(start)),
            "corrupt-payload": flipped(data, rng.randrange(start, len(data))),
            "swapped": whole[rng.choice(others)],
        }[kind]
        replace(tier, place.key, damaged)


def segment_files(store: Store) -> list[Path]:
    """The sealed segments in the home."""
    return sorted((store.home / "log").glob("segment-*.seg"))


def damage_file(path: Path, kind: str, rng: random.Random) -> None:
    """Damage a segment of the log in place."""
    if kind == "missing":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    with path.open("r+b") as file:
        if kind == "truncated":
            file.truncate(rng.randrange(len(data)))
        else:
            at = rng.randrange(len(data))
            file.seek(at)
            file.write(bytes([data[at] ^ 0x20]))
