"""A store in a few lines: requests, a cache, channels, and a prefetcher to judge.

*Closed loop*: one requester waits for its fetch before it asks again. *Open loop*: arrivals do not
wait and a fetch lasts a number of them. Both are deterministic; times are whole nanoseconds inside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs

from _fetch_queue import FetchQueue

NS = 1_000_000_000


class Predictor(Protocol):
    """What the simulator asks of a prefetcher."""

    def on_request(self, block: int, hit: bool, now_s: float) -> Sequence[int]:
        """The blocks to fetch now."""
        ...

    def on_fetched(self, block: int, seconds: float, now_s: float) -> None:
        """A fetch took so long and ends now."""
        ...


class Evictor(Protocol):
    """What the simulator asks of a cache's eviction: tags of one byte each."""

    def __contains__(self, tag: int, /) -> bool: ...

    def hit(self, tag: int) -> None:
        """A tag that is inside was used."""
        ...

    def admit(self, tag: int, nbytes: int) -> Sequence[int]:
        """A tag comes in; those that had to go."""
        ...


class LruTags:
    """Least recently used, by tags alone (a dict keeps its order)."""

    def __init__(self, capacity: int) -> None:
        self._tags: dict[int, None] = {}
        self._capacity = max(1, capacity)

    def __contains__(self, tag: int, /) -> bool:
        return tag in self._tags

    def hit(self, tag: int) -> None:
        """Make it the youngest."""
        del self._tags[tag]
        self._tags[tag] = None

    def admit(self, tag: int, nbytes: int = 1) -> Sequence[int]:
        """Put it in as the youngest; the oldest goes when the cache is full."""
        tags = self._tags
        tags.pop(tag, None)
        tags[tag] = None
        if len(tags) <= self._capacity:
            return ()
        oldest = next(iter(tags))
        del tags[oldest]
        return (oldest,)


@attrs.frozen(kw_only=True)
class Conditions:
    """The store that is simulated; times in seconds, capacity in blocks.

    `hit_s` is what a request costs that finds its block, and the least that any request costs.
    `skip` is the share of the trace, from its start, that is run but not counted. `max_waiting`
    and `reserve` are those of the queue of fetches.
    """

    capacity_blocks: int
    fetch_s: float = 1.11e-3
    hit_s: float = 2e-5
    channels: int = 8
    skip: float = 0.4
    max_waiting: int = 256
    reserve: int = 0


@attrs.frozen(kw_only=True)
class Outcome:
    """What was counted: requests by their end, and fetches that were issued ahead."""

    requests: int
    hits: int
    joined: int
    misses: int
    issued: int
    waited_s: float

    @property
    def mean_wait_s(self) -> float:
        """Mean seconds per counted request."""
        return self.waited_s / max(1, self.requests)

    @property
    def hit_rate(self) -> float:
        """Share of the counted requests whose block was there."""
        return self.hits / max(1, self.requests)


def footprint_share(trace: Sequence[int], share: float = 0.1) -> int:
    """Capacity in blocks that holds this share of the distinct blocks of a trace."""
    return max(1, int(len(set(trace)) * share))


def closed_loop(
    trace: Sequence[int],
    prefetcher: Predictor | None,
    conditions: Conditions,
    cache: Evictor | None = None,
) -> Outcome:
    """Run a trace whose one requester waits for each block."""
    store = _Store(conditions, cache or LruTags(conditions.capacity_blocks), prefetcher)
    hit_ns = round(conditions.hit_s * NS)
    counted_from = int(len(trace) * conditions.skip)
    before = store.tally()
    start_ns = now_ns = 0
    for number, block in enumerate(trace):
        if number == counted_from:
            before, start_ns = store.tally(), now_ns
        now_ns = max(store.request(block, now_ns), now_ns + hit_ns)
    return store.outcome(before, len(trace) - counted_from, (now_ns - start_ns) / NS)


def open_loop(
    trace: Sequence[int],
    prefetcher: Predictor | None,
    conditions: Conditions,
    arrivals_per_fetch: int = 16,
    cache: Evictor | None = None,
) -> Outcome:
    """Run a trace whose arrivals do not wait: one each `fetch_s / arrivals_per_fetch`."""
    store = _Store(conditions, cache or LruTags(conditions.capacity_blocks), prefetcher)
    counted_from = int(len(trace) * conditions.skip)
    before = store.tally()
    fetch_ns = round(conditions.fetch_s * NS)
    waited_ns = 0
    for number, block in enumerate(trace):
        if number == counted_from:
            before, waited_ns = store.tally(), 0
        now_ns = number * fetch_ns // arrivals_per_fetch
        store.arrive(block, now_ns)
        waited_ns += store.wait_ns(block, now_ns)
    return store.outcome(before, len(trace) - counted_from, waited_ns / NS)


class _Store:
    """Cache, channels and clock of both loops."""

    def __init__(self, conditions: Conditions, cache: Evictor, prefetcher: Predictor | None):
        self._fetch_ns = round(conditions.fetch_s * NS)
        self._fetch_s = conditions.fetch_s
        self._cache, self._prefetcher = cache, prefetcher
        self._queue = FetchQueue(
            channels=conditions.channels,
            max_waiting=conditions.max_waiting,
            reserve=conditions.reserve,
        )
        # All fetches last equally long, so they end in the order in which they started.
        self._ends: deque[tuple[int, int]] = deque()
        self._hits = self._joined = self._misses = self._issued = 0

    def request(self, block: int, now_ns: int) -> int:
        """Ask for a block and wait for it; when it is there."""
        if self.arrive(block, now_ns):
            return now_ns
        while True:
            end_ns, ended = self._ends[0]
            self._finish_until(end_ns, 1)
            if ended == block:
                return end_ns

    def arrive(self, block: int, now_ns: int) -> bool:
        """Ask for a block; whether it is there."""
        self._finish_until(now_ns, len(self._ends))
        hit = block in self._cache
        if hit:
            self._hits += 1
            self._cache.hit(block)
        else:
            joined = block in self._queue
            self._joined += joined
            self._misses += not joined
            self._queue.demand(block)
            self._start(now_ns)
        if self._prefetcher is not None:
            self._prefetch(self._prefetcher.on_request(block, hit, now_ns / NS), now_ns)
        return hit

    def wait_ns(self, block: int, now_ns: int) -> int:
        """How long an open request would wait; a fetch that waits counts as one from now."""
        if block in self._cache:
            return 0
        return next((end - now_ns for end, ended in self._ends if ended == block), self._fetch_ns)

    def tally(self) -> tuple[int, int, int, int]:
        """Counts so far: hits, joined, misses, issued."""
        return self._hits, self._joined, self._misses, self._issued

    def outcome(self, before: tuple[int, ...], requests: int, waited_s: float) -> Outcome:
        """The counts since `before`."""
        hits, joined, misses, issued = (a - b for a, b in zip(self.tally(), before, strict=True))
        return Outcome(
            requests=requests,
            hits=hits,
            joined=joined,
            misses=misses,
            issued=issued,
            waited_s=waited_s,
        )

    def _prefetch(self, blocks: Iterable[int], now_ns: int) -> None:
        wanted = [block for block in blocks if block not in self._cache]
        if wanted:
            self._issued += self._queue.prefetch(wanted)
            self._start(now_ns)

    def _start(self, now_ns: int) -> None:
        while (block := self._queue.start()) is not None:
            self._ends.append((now_ns + self._fetch_ns, block))

    def _finish_until(self, now_ns: int, at_most: int) -> None:
        while self._ends and at_most and self._ends[0][0] <= now_ns:
            end_ns, block = self._ends.popleft()
            at_most -= 1
            self._queue.finished(block)
            self._cache.admit(block, 1)
            if self._prefetcher is not None:
                self._prefetcher.on_fetched(block, self._fetch_s, end_ns / NS)
            self._start(end_ns)
