"""Past accesses, and what they would have cost in a cache with other shard sizes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_store.planning.sizing import SPAN_NBYTES, Sizes, Speed

Ints = NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class Accesses:
    """Reads of one address space in the order of their use; objects begin at whole spans.

    `offset` and `nbytes` are int64[accesses], all `nbytes` positive.
    """

    offset: Ints
    nbytes: Ints

    def __len__(self) -> int:
        return len(self.offset)

    def first(self, count: int) -> Accesses:
        """The first so many."""
        return Accesses(offset=self.offset[:count], nbytes=self.nbytes[:count])

    def pieces(self) -> tuple[Ints, Ints, Ints, Ints]:
        """The accesses cut at spans: span, start, stop, and number of the access."""
        span, access = _spread(self.offset, self.offset + self.nbytes, SPAN_NBYTES)
        start = np.maximum(self.offset[access], span * SPAN_NBYTES)
        stop = np.minimum((self.offset + self.nbytes)[access], (span + 1) * SPAN_NBYTES)
        return span, start, stop, access


def touched(accesses: Accesses, sizes: Sizes) -> tuple[Ints, Ints, Ints]:
    """Each shard that each access touches: its first byte, its size, and number of the access."""
    span, start, stop, access = accesses.pieces()
    known, place = np.unique(span, return_inverse=True)
    nbytes = np.array([sizes.of(one) for one in known.tolist()], dtype=np.int64)[place]
    index, piece = _spread(start, stop, nbytes)
    return index * nbytes[piece], nbytes[piece], access[piece]


def replay_s(
    accesses: Accesses, sizes: Sizes, speed: Speed, cache_nbytes: int, *, since: int = 0
) -> float:
    """Seconds of all misses of an LRU cache from access `since` on; it is empty at first."""
    cache: OrderedDict[int, int] = OrderedDict()
    used, missed_s = 0, 0.0
    for shard, nbytes, access in _rows(accesses, sizes):
        if shard in cache:
            cache.move_to_end(shard)
            continue
        if access >= since:
            missed_s += speed.latency_s + nbytes / speed.bytes_per_s
        cache[shard] = nbytes
        used += nbytes
        while used > cache_nbytes and cache:
            used -= cache.popitem(last=False)[1]
    return missed_s


def _rows(accesses: Accesses, sizes: Sizes) -> Iterator[tuple[int, int, int]]:
    columns = touched(accesses, sizes)
    return zip(*(column.tolist() for column in columns), strict=True)


def _spread(start: Ints, stop: Ints, unit: int | Ints) -> tuple[Ints, Ints]:
    """Numbers of all units that each range touches, and the number of the range."""
    first = start // unit
    count = (stop - 1) // unit - first + 1
    owner = np.repeat(np.arange(len(start), dtype=np.int64), count)
    begin = np.cumsum(count) - count
    return np.arange(len(owner), dtype=np.int64) + (first - begin)[owner], owner
