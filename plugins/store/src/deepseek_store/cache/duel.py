"""Which policy suits the traffic: small shadow caches try them all, the best one acts.

Set dueling after Qureshi, Jaleel, Patt, Steely, Emer, ISCA 2007; scaled-down caches on a hash
sample after Waldspurger, Saemundsson, Ahmad, Park, USENIX ATC 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from deepseek_store.cache.evictor import Evictor, Tag
from deepseek_store.cache.lirs import Lirs
from deepseek_store.cache.lru import Lru
from deepseek_store.cache.s3fifo import S3Fifo

Candidate = Callable[[int], Evictor]
"""Makes an empty policy of a capacity in bytes."""

CANDIDATES: tuple[Candidate, ...] = (S3Fifo, Lirs, Lru)
"""The first one acts until another has proved better."""

_HASHES = 1 << 16  # hash values that the sample is cut from


class Tally:
    """Hits of each candidate, faded over `window` requests per entry of a shadow.

    A lead counts from a `share` of the entries on: it has to pay for another order of eviction.
    """

    LEAST_LEAD = 8.0  # hits; below it is noise

    def __init__(self, candidates: int, *, window: float, share: float) -> None:
        self.hits = [0.0] * candidates
        self._window, self._share = window, share

    def add(self, hits: Sequence[int], requests: int, entries: int) -> None:
        """Take the hits of so many more requests in."""
        keep = 1.0 - requests / max(requests, self._window * entries)
        self.hits = [old * keep + new for old, new in zip(self.hits, hits, strict=True)]

    def leader(self, acting: int, entries: int) -> int:
        """The candidate with the most hits if its lead counts, else `acting`."""
        hits = self.hits
        best = max(range(len(hits)), key=hits.__getitem__)
        least = max(self.LEAST_LEAD, self._share * entries)
        return best if hits[best] - hits[acting] > least else acting

    def thin(self, factor: int) -> None:
        """Scale the tally as if only one request in `factor` had been counted."""
        self.hits = [hits / factor for hits in self.hits]


class Shadows:
    """One small cache of tags per candidate, all fed the same sample of the requests.

    A tag is in the sample by its hash: one in `sample` of them, all at first. When the shadows
    have grown enough to do with fewer, the sample is thinned out and they shrink with it, so that
    a large cache pays less per request. Tags that are strings get another hash, hence another
    sample, in each process; numbers and tuples of them don't.
    """

    FEW_ENTRIES = 32  # of the largest shadow: more of all tags are enough for a quarter of them
    MOST_ENTRIES = 512  # more of a part of the tags are enough for half of that part
    EPOCH_REQUESTS = 64  # between two verdicts, of the sample
    # A large lead of late counts at once; a smaller one over a longer past, while it lasts: what
    # leads for a moment is often behind again when it has taken over.
    LATE_WINDOW, LATE_SHARE = 16.0, 0.15
    LONG_WINDOW, LONG_SHARE = 64.0, 0.075

    def __init__(self, capacity_nbytes: int, candidates: Sequence[Candidate]) -> None:
        self.sample = 1
        self.below = _HASHES // self.sample  # a tag whose hash is below is in the sample
        self._caches = [make(self._scaled(capacity_nbytes)) for make in candidates]
        self._epoch_hits = [0] * len(candidates)  # by candidate, since the epoch began
        # hits of the last epochs, and of many
        self._late = Tally(len(candidates), window=self.LATE_WINDOW, share=self.LATE_SHARE)
        self._long = Tally(len(candidates), window=self.LONG_WINDOW, share=self.LONG_SHARE)
        self._requests = 0  # of the sample, since the epoch began

    def request(self, tag: Tag, nbytes: int) -> bool:
        """Feed a request to all; True when it is time for a verdict."""
        hits = self._epoch_hits
        for i, cache in enumerate(self._caches):
            if cache.hit(tag):
                hits[i] += 1
            else:
                cache.admit(tag, nbytes)
        self._requests += 1
        return self._requests >= self.EPOCH_REQUESTS

    def prefetch(self, tag: Tag, nbytes: int) -> None:
        """Something arrived that nobody has asked for yet: no request, no point for anybody."""
        for cache in self._caches:
            if tag not in cache:
                cache.admit(tag, nbytes, True)

    def remove(self, tag: Tag) -> None:
        """Remove a tag whose bytes are no longer valid."""
        for cache in self._caches:
            cache.remove(tag)

    def resize(self, capacity_nbytes: int) -> None:
        """Follow the real cache."""
        for cache in self._caches:
            cache.resize(self._scaled(capacity_nbytes))

    def verdict(self, acting: int, capacity_nbytes: int) -> int:
        """Close the epoch; the candidate that should act, with hysteresis for `acting`."""
        entries = max(map(len, self._caches))
        for tally in (self._late, self._long):
            tally.add(self._epoch_hits, self._requests, entries)
        self._epoch_hits = [0] * len(self._epoch_hits)
        self._requests = 0
        best = self._leader(acting, entries)
        if self.sample == 1 and entries > self.FEW_ENTRIES:
            self._thin(4, capacity_nbytes)
        elif entries > self.MOST_ENTRIES and self.below > 1:
            self._thin(2, capacity_nbytes)
        return best

    def _leader(self, acting: int, entries: int) -> int:
        late = self._late.leader(acting, entries)
        if late != acting:
            return late
        best = self._long.leader(acting, entries)
        return best if self._late.hits[best] >= self._late.hits[acting] else acting

    def _thin(self, factor: int, capacity_nbytes: int) -> None:
        """Keep one in `factor` of the sample; what is counted in entries shrinks with it."""
        self.sample *= factor
        self.below //= factor
        self._late.thin(factor)
        self._long.thin(factor)
        for cache in self._caches:
            for tag in [tag for tag, _ in cache.coldest_first() if rank(tag) >= self.below]:
                cache.remove(tag)
            cache.resize(self._scaled(capacity_nbytes))

    def _scaled(self, capacity_nbytes: int) -> int:
        return max(1, capacity_nbytes // self.sample)


def rank(tag: Tag) -> int:
    """A number that says whether a tag is in a sample; neighbors get unrelated ones."""
    return hash((tag,)) & (_HASHES - 1)


class DuelingPolicy(Evictor):
    """S3-FIFO, LIRS or LRU, whichever the last requests favor.

    Only one of them runs at full size. Another one takes over its entries, coldest first, when its
    shadow leads by more hits than the change may cost; that happens at most once in
    `Shadows.EPOCH_REQUESTS` requests of the sample.
    """

    def __init__(self, capacity_nbytes: int, candidates: Sequence[Candidate] = CANDIDATES) -> None:
        super().__init__(capacity_nbytes)
        self._candidates = tuple(candidates)
        self._shadows = Shadows(capacity_nbytes, self._candidates)
        self._below = self._shadows.below  # tags whose 16-bit hash is below it are in the sample
        self._index = 0  # which candidate acts
        self._acting = self._candidates[0](capacity_nbytes)
        self.switches = 0  # how often another one took over

    @property
    def name(self) -> str:
        """Name of the policy that acts now."""
        return f"{type(self).__name__}: {self._acting.name}"

    @property
    def acting(self) -> Evictor:
        """The policy that decides now."""
        return self._acting

    def hit(self, tag: Tag) -> bool:
        """Pass it on; to the shadows too if the tag is in the sample."""
        if not self._acting.hit(tag):
            return False
        if hash((tag,)) & 0xFFFF < self._below:  # rank(tag), without a call
            self._watch(tag, self._acting.nbytes_of(tag))
        return True

    def admit(self, tag: Tag, nbytes: int, prefetched: bool = False) -> list[Tag]:
        """Let the acting policy decide; a shadow may decide otherwise."""
        acting = self._acting
        evicted = acting.admit(tag, nbytes, prefetched)
        self.used_nbytes = acting.used_nbytes
        if hash((tag,)) & 0xFFFF < self._below:
            if prefetched:
                self._shadows.prefetch(tag, nbytes)
            else:
                self._watch(tag, nbytes)
        return evicted

    def remove(self, tag: Tag) -> bool:
        """Forget a tag here and in the shadows."""
        known = self._acting.remove(tag)
        self.used_nbytes = self._acting.used_nbytes
        if rank(tag) < self._below:
            self._shadows.remove(tag)
        return known

    def resize(self, capacity_nbytes: int) -> list[Tag]:
        """Change the capacity and name those that go for it."""
        self.capacity_nbytes = capacity_nbytes
        self._shadows.resize(capacity_nbytes)
        evicted = self._acting.resize(capacity_nbytes)
        self.used_nbytes = self._acting.used_nbytes
        return evicted

    def nbytes_of(self, tag: Tag) -> int:
        """What it counts for."""
        return self._acting.nbytes_of(tag)

    def coldest_first(self) -> Iterator[tuple[Tag, int]]:
        """In the acting policy's order."""
        return self._acting.coldest_first()

    def restore(self, entries: Iterable[tuple[Tag, int]]) -> None:
        """Give them to the acting policy; the shadows start empty."""
        self._acting.restore(entries)
        self.used_nbytes = self._acting.used_nbytes

    def __contains__(self, tag: object) -> bool:
        return tag in self._acting

    def __len__(self) -> int:
        return len(self._acting)

    def _evict(self) -> Tag:
        tag = self._acting._evict()
        self.used_nbytes = self._acting.used_nbytes
        return tag

    def _watch(self, tag: Tag, nbytes: int) -> None:
        if not self._shadows.request(tag, nbytes):
            return
        best = self._shadows.verdict(self._index, self.capacity_nbytes)
        self._below = self._shadows.below
        if best != self._index:
            self._switch(best)

    def _switch(self, index: int) -> None:
        """Another policy takes over; 0.2 to 0.6 us per resident entry (benchmarks/eviction.py)."""
        successor = self._candidates[index](self.capacity_nbytes)
        successor.restore(self._acting.coldest_first())
        self._acting, self._index = successor, index
        self.switches += 1
