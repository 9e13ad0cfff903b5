"""Shards in memory, for any number of threads.

The policy decides under one lock, held for about a microsecond; no bytes are copied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs

from deepseek_store.cache.duel import DuelingPolicy
from deepseek_store.cache.evictor import Evictor, Tag
from deepseek_store.errors import CacheTooSmall

SHARD_NBYTES = 64 << 10  # the smallest shard


@attrs.frozen(kw_only=True)
class CacheStats:
    """What a cache did so far, and what it holds.

    `refused` were larger than the whole cache, or needed later than all it holds. Of `prefetched`,
    `prefetched_used` were asked for, `prefetched_unused` left before anybody did.
    """

    hits: int
    misses: int
    admitted: int
    refused: int
    evictions: int
    removed: int
    prefetched: int
    prefetched_used: int
    prefetched_unused: int
    entries: int
    used_nbytes: int
    capacity_nbytes: int
    policy: str


class ShardCache:
    """Immutable bytes by tag, at most `capacity_nbytes` of them.

    A tag is any hashable; that of a shard is a tuple whose first part is its segment. `policy`
    makes the evictor for a capacity. Views stay valid after their entry was evicted. An entry that
    fits nowhere is not kept, and that is no error.
    """

    def __init__(
        self,
        capacity_nbytes: int,
        policy: Callable[[int], Evictor] = DuelingPolicy,
        *,
        shard_nbytes: int = SHARD_NBYTES,
    ) -> None:
        """Make an empty cache for shards of up to `shard_nbytes`.

        Raises:
            CacheTooSmall: the capacity is less than one shard.
        """
        self._shard_nbytes = shard_nbytes
        self._check(capacity_nbytes)
        self._lock = threading.Lock()
        self._policy = policy(capacity_nbytes)
        self._data: dict[Tag, bytes] = {}  # all that is kept, by tag
        self._unused: set[Tag] = set()  # prefetched, resident, not asked for yet
        self._hits = self._misses = self._admitted = self._refused = 0
        # `_evictions`: counts since it was made, as `stats` tells them
        self._evictions = self._removed = 0
        self._prefetched = self._prefetched_used = self._prefetched_unused = 0

    def get(self, tag: Tag) -> memoryview | None:
        """The bytes of a tag, read-only, or None; either counts as a request."""
        with self._lock:
            if not self._policy.hit(tag):
                self._misses += 1
                return None
            self._hits += 1
            data = self._data[tag]
            if self._unused:
                self._used(tag)
        return memoryview(data)

    def put(
        self, tag: Tag, data: bytes | bytearray | memoryview, *, prefetched: bool = False
    ) -> bool:
        """Keep bytes that are here now; False if there is no place for them.

        After a miss this is the second half of the request; `prefetched` bytes were asked for by
        nobody. Bytes that could change, or are a part of something larger, are copied.
        """
        content = _immutable(data)
        with self._lock:
            resident = tag in self._policy
            if prefetched and resident:
                return True
            evicted = self._policy.admit(tag, len(content), prefetched)
            for other in evicted:
                self._drop(other)
            self._evictions += len(evicted)
            if tag not in self._policy:
                self._refused += 1
                self._drop(tag)
                return False
            self._data[tag] = content
            self._count(tag, resident, prefetched)
            return True

    def remove(self, tag: Tag) -> bool:
        """Forget a tag whose bytes are no longer valid; False if it was not here."""
        with self._lock:
            known = self._policy.remove(tag)
            if known:
                self._drop(tag)
                self._removed += 1
            return known

    def clear(self) -> int:
        """Forget everything; how many there were."""
        with self._lock:
            tags = list(self._data)
        return sum(map(self.remove, tags))

    def resize(self, capacity_nbytes: int) -> None:
        """Change the capacity; what no longer fits goes.

        Raises:
            CacheTooSmall: the capacity is less than one shard.
        """
        self._check(capacity_nbytes)
        with self._lock:
            evicted = self._policy.resize(capacity_nbytes)
            for tag in evicted:
                self._drop(tag)
            self._evictions += len(evicted)

    def use_policy(self, policy: Callable[[int], Evictor]) -> None:
        """Let another policy take over, such as `partial(Belady, order=tags)`; all entries stay."""
        with self._lock:
            successor = policy(self._policy.capacity_nbytes)
            successor.restore(self._policy.coldest_first())
            self._policy = successor

    def stats(self) -> CacheStats:
        """All figures of one moment."""
        with self._lock:
            return CacheStats(
                hits=self._hits,
                misses=self._misses,
                admitted=self._admitted,
                refused=self._refused,
                evictions=self._evictions,
                removed=self._removed,
                prefetched=self._prefetched,
                prefetched_used=self._prefetched_used,
                prefetched_unused=self._prefetched_unused,
                entries=len(self._data),
                used_nbytes=self._policy.used_nbytes,
                capacity_nbytes=self._policy.capacity_nbytes,
                policy=self._policy.name,
            )

    def __contains__(self, tag: object) -> bool:
        """Whether it is here now; counts as no request."""
        return tag in self._data

    def __len__(self) -> int:
        return len(self._data)

    def _check(self, capacity_nbytes: int) -> None:
        if capacity_nbytes < self._shard_nbytes:
            raise CacheTooSmall(
                f"a cache of {capacity_nbytes} bytes holds not even one shard of "
                f"{self._shard_nbytes} bytes",
                remedy="give it at least that much, or store smaller shards",
            )

    def _used(self, tag: Tag) -> None:
        if tag in self._unused:
            self._unused.discard(tag)
            self._prefetched_used += 1

    def _count(self, tag: Tag, resident: bool, prefetched: bool) -> None:
        if resident:
            self._used(tag)  # its bytes came twice at the same time
            return
        self._admitted += 1
        if prefetched:
            self._prefetched += 1
            self._unused.add(tag)

    def _drop(self, tag: Tag) -> None:
        self._data.pop(tag, None)
        if tag in self._unused:
            self._unused.discard(tag)
            self._prefetched_unused += 1


def _immutable(data: bytes | bytearray | memoryview) -> bytes:
    """The same bytes, so that nobody can change them and nothing larger is kept alive."""
    if isinstance(data, memoryview) and isinstance(data.obj, bytes):
        whole = data.c_contiguous and data.nbytes == len(data.obj)
        return data.obj if whole else bytes(data)
    return data if isinstance(data, bytes) else bytes(data)
