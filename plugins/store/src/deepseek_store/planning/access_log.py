"""The latest reads of a tier, as the cost model of shard sizes wants them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np

from deepseek_store.planning.replay import Accesses
from deepseek_store.planning.sizing import REGION_SPANS, SPAN_NBYTES, Sizes

_MOST_READS: Final = 100_000


@attrs.frozen(kw_only=True)
class Places:
    """Where objects lie in the address space that was made up for them: in the order of their keys.

    So objects of one folder share regions, and a new one is taken to be like its neighbors.
    `starts` are first spans; one more tells the end.
    """

    keys: Sequence[str]
    starts: Sequence[int]

    def of(self, key: str, sizes: Sizes) -> Sizes:
        """The sizes of one object, whose first span is number 0."""
        i = bisect_right(self.keys, key) - 1
        first = self.starts[max(i, 0)]
        base = sizes.regions.get(first // REGION_SPANS, sizes.base_nbytes)
        own: dict[int, int] = {}
        if i >= 0 and self.keys[i] == key:
            spans = range(first, self.starts[i + 1])
            own = {e - first: sizes.of(e) for e in spans if sizes.of(e) != base}
        return Sizes(base_nbytes=base, overrides=own, predicted_s=sizes.predicted_s, why=sizes.why)


class AccessLog:
    """Reads in their order; the oldest are forgotten when there are too many."""

    def __init__(self, most_reads: int = _MOST_READS) -> None:
        self._most = most_reads
        self._reads: list[tuple[str, int, int]] = []

    def __len__(self) -> int:
        return len(self._reads)

    def add(self, key: str, start: int, nbytes: int) -> None:
        """Note a read of an object from byte `start` on."""
        if nbytes <= 0:
            return
        if len(self._reads) >= self._most:
            del self._reads[: max(self._most // 2, 1)]
        self._reads.append((key, start, nbytes))

    def accesses(self) -> tuple[Accesses, Places]:
        """The reads in one address space, and where the objects lie in it."""
        spans: dict[str, int] = {}
        for key, start, nbytes in self._reads:
            spans[key] = max(spans.get(key, 0), (start + nbytes - 1) // SPAN_NBYTES + 1)
        keys = sorted(spans)
        starts = np.cumsum([0] + [spans[key] for key in keys]).tolist()
        first = dict(zip(keys, starts, strict=False))
        rows = [(first[key] * SPAN_NBYTES + at, nbytes) for key, at, nbytes in self._reads]
        columns = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        return (
            Accesses(offset=columns[0].copy(), nbytes=columns[1].copy()),
            Places(keys=keys, starts=starts),
        )
