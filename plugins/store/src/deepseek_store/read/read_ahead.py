"""Fetches ahead of the readers of warm and cold objects: what to fetch is decided elsewhere.

The prefetcher thinks in numbers: shards of one object, and objects in the order of their keys, have
consecutive ones. Here they get their numbers, and numbers become shards again.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from deepseek_store.cache.belady import Belady
from deepseek_store.cache.duel import DuelingPolicy
from deepseek_store.cache.shard_cache import ShardCache
from deepseek_store.index.catalog import Catalog
from deepseek_store.log.records import EXTENT_NBYTES, Extent, unpack_extents
from deepseek_store.prefetch.prefetcher import Prefetcher, PrefetchStats
from deepseek_store.prefetch.trainer import Trainer
from deepseek_store.read.shard_reader import Reader

_MOST_GROUP_NBYTES: Final = 4 << 20


class BlockNumbers:
    """Numbers for shards. Objects that come later get the numbers after all others."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._first: dict[str, int] = {}  # key -> number of its first shard
        self._firsts: list[int] = []  # those numbers, ascending
        self._keys: list[str] = []  # in the same order
        self._next = 0  # the number that the next new object gets

    def of(self, key: str, shards: int) -> int:
        """The number of an object's first shard."""
        found = self._first.get(key)
        if found is None:
            if not self._first:
                self._number_all()
                found = self._first.get(key)
            if found is None:
                found = self._add(key, shards)
        return found

    def shard(self, number: int) -> Extent | None:
        """The shard of a number, as it is now; None if there is none."""
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            return None
        version = self._catalog.get(self._keys[at])
        if version is None:
            return None
        position = number - self._firsts[at]
        # Cheaper than unpacking all of a large object's.
        packed = version.extents[EXTENT_NBYTES * position :][:EXTENT_NBYTES]
        return unpack_extents(packed)[0] if packed else None

    def _number_all(self) -> None:
        for key in self._catalog.keys(prefix=""):
            version = self._catalog.get(key)
            if version is not None:
                self._add(key, len(version.extents) // EXTENT_NBYTES)

    def _add(self, key: str, shards: int) -> int:
        first = self._next
        self._first[key] = first
        self._firsts.append(first)
        self._keys.append(key)
        self._next += max(1, shards)
        return first


class ReadAhead:
    """Watches reads of distant shards and has the next ones fetched.

    Safe to use from several threads; one at a time thinks. Up to `gap_nbytes` between two shards
    are read along rather than asked around. What the LSTM learned is kept in the file `learned`.
    """

    def __init__(
        self,
        catalog: Catalog,
        reader: Reader,
        cache: ShardCache,
        *,
        shard_nbytes: int,
        gap_nbytes: int,
        learned: Path,
    ) -> None:
        self._reader, self._cache, self._gap_nbytes = reader, cache, gap_nbytes
        self._numbers = BlockNumbers(catalog)
        self._thinking = threading.Lock()
        capacity = max(1, cache.stats().capacity_nbytes // shard_nbytes)
        self._capacity = capacity  # blocks that the cache has space for
        self._reach = 1  # blocks ahead of the reader
        self._ordered = False  # whether the order of reads is known
        self._length = 0  # blocks in that order
        # shards to be fetched, gathered so that neighbors go in one request
        self._held: list[Extent] = []
        self._trainer = Trainer(kept=learned)
        self._prefetcher = Prefetcher(
            capacity_blocks=capacity,
            contains=self._is_near,
            weights=self._trainer.kept_weights(),
            teacher=self._trainer,
        )
        self._expected: dict[Extent, int] = {}  # shard -> its number, until it is read

    def note(self, key: str, extents: Iterable[tuple[int, Extent, bool]], shards: int) -> None:
        """Shards of an object (their positions) were asked for; True: they were near."""
        with self._thinking:
            self._take_fetch_times()
            first = self._numbers.of(key, shards)
            now_s = time.monotonic()
            wanted: list[int] = []
            for position, shard, near in extents:
                if not near:
                    self._expected[shard] = first + position
                wanted += self._prefetcher.on_request(first + position, near, now_s)
            self._fetch(wanted)

    def follow(self, keys: Iterable[str], catalog: Catalog) -> None:
        """Readers will ask for these objects, in this order.

        The cache keeps what is needed soonest then, and what lies together in a segment is fetched
        together, though its turn comes apart.
        """
        with self._thinking:
            numbers = list(self._order(keys, catalog))
            tags = [shard for number in numbers if (shard := self._numbers.shard(number))]
            self._cache.use_policy(partial(Belady, order=tags))
            self._ordered = True
            self._held, self._length = [], len(numbers)
            # All of it at once where that fits: what lies together is fetched together then.
            fits = self._length <= self._capacity
            self._reach = max(1, self._length if fits else self._capacity * 3 // 4)
            self._fetch(self._prefetcher.set_order(numbers, ahead=self._reach), at_once=True)

    def forget_order(self) -> None:
        """Nobody knows what comes any more."""
        with self._thinking:
            self._forget_order()

    def _forget_order(self) -> None:
        self._prefetcher.clear_order()
        self._fetch((), at_once=True)
        if self._ordered:
            self._ordered = False
            self._cache.use_policy(DuelingPolicy)

    def close(self) -> None:
        """End a training under way."""
        self._trainer.close()

    def stats(self) -> PrefetchStats:
        """Counts, and which source acts and why."""
        with self._thinking:
            return self._prefetcher.stats()

    def _order(self, keys: Iterable[str], catalog: Catalog) -> Iterator[int]:
        for key in keys:
            version = catalog.get(key)
            if version is not None:
                shards = len(version.extents) // EXTENT_NBYTES
                first = self._numbers.of(key, shards)
                yield from range(first, first + shards)

    def _fetch(self, numbers: Iterable[int], *, at_once: bool = False) -> None:
        for number in numbers:
            shard = self._numbers.shard(number)
            if shard is not None and not self._reader.is_near(shard):
                self._held.append(shard)
                self._expected[shard] = number
        # Of a known order the next ones come one by one: held back until they make groups.
        enough = self._reach // 2 if self._ordered else 1
        if self._held and (at_once or len(self._held) >= enough or self._order_ends()):
            held, self._held = self._held, []
            self._reader.fetcher.ahead(grouped(held, self._gap_nbytes))

    def _order_ends(self) -> bool:
        order = self._prefetcher.stats().order if self._ordered else None
        return order is not None and (order.lost or order.followed + self._reach >= self._length)

    def _is_near(self, number: int) -> bool:
        shard = self._numbers.shard(number)
        return shard is None or self._reader.is_near(shard)

    def _take_fetch_times(self) -> None:
        times = self._reader.fetch_times
        while times:
            shard, seconds, ended_s = times.popleft()
            number = self._expected.pop(shard, None)
            if number is not None:
                self._prefetcher.on_fetched(number, seconds, ended_s)


def grouped(shards: Sequence[Extent], gap_nbytes: int) -> list[list[Extent]]:
    """Shards of one segment that are cheaper to read together, the groups in order of need."""
    order = {shard: place for place, shard in enumerate(shards)}
    groups: list[list[Extent]] = []
    for shard in sorted(order):
        last = groups[-1] if groups else [shard]
        end = last[-1].offset + last[-1].nbytes
        close = shard.segment == last[-1].segment and shard.offset - end <= gap_nbytes
        if groups and close and shard.offset + shard.nbytes - last[0].offset <= _MOST_GROUP_NBYTES:
            last.append(shard)
        else:
            groups.append([shard])
    groups.sort(key=lambda group: min(order[shard] for shard in group))
    return groups
