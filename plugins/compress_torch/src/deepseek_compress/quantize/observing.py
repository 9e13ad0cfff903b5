"""What is seen of one tensor while samples run: extremes of each sample, and a histogram.

The histogram reaches from -reach to reach in a fixed number of bins; when a value lies beyond,
the reach doubles and pairs of bins are merged. So one pass does, in memory that does not grow.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np

from deepseek_compress.errors import BadCalibration

Array = np.ndarray[Any, Any]
BINS: Final = 4096
_COUNTED: Final = 1 << 18
"""Values of one call that are counted: of more, every k-th. Extremes are always exact."""


@attrs.define(eq=False)
class Observer:
    """One tensor.

    `lows` and `highs` hold a number for each sample; `counts` is the histogram over
    [-reach, reach], empty as long as all values are 0. `sums` are those along axis 1, of `summed`
    values each, where `channels` says so.
    """

    name: str
    channels: bool = False
    lows: list[float] = attrs.field(factory=list)
    highs: list[float] = attrs.field(factory=list)
    counts: Array = attrs.field(factory=lambda: np.zeros(BINS, np.int64))
    reach: float = 0.0
    sums: Array = attrs.field(factory=lambda: np.zeros(0))
    summed: int = 0

    def add(self, array: Array, count: int, size: int) -> None:
        """Take in the values of a call: the first `count` of its `size` samples are real.

        Raises:
            BadCalibration: a value is NaN or infinite.
        """
        if array.size == 0:
            return
        by_sample = size > 1 and array.ndim > 0 and array.shape[0] == size
        rows = array[:count].reshape(count, -1) if by_sample else array.reshape(1, -1)
        low, high = rows.min(axis=1), rows.max(axis=1)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            at = int(np.argmin(np.isfinite(low) & np.isfinite(high)))
            raise BadCalibration(
                f"tensor {self.name!r} becomes NaN or infinite for sample {len(self.lows) + at}",
                remedy="leave that sample out, or fix the model",
            )
        repeated = 1 if by_sample else count  # a tensor that mixes samples tells of all of them
        self.lows.extend(low.tolist() * repeated)
        self.highs.extend(high.tolist() * repeated)
        self._count(rows.reshape(-1))
        if self.channels and array.ndim > 1:
            kept = array[:count] if by_sample else array
            others = tuple(axis for axis in range(array.ndim) if axis != 1)
            sums = kept.sum(axis=others, dtype=np.float64)
            self.sums = sums if not self.summed else self.sums + sums
            self.summed += kept.size // array.shape[1]

    def _count(self, values: Array) -> None:
        step = -(-values.size // _COUNTED) | 1  # odd, so that it does not walk along one column
        counted = np.ascontiguousarray(values[::step], np.float32)
        largest = float(np.abs(counted).max())
        if largest == 0.0 and self.reach == 0.0:
            return
        if self.reach == 0.0:
            self.reach = largest
        while largest > self.reach:
            self._double()
        bins = ((counted + np.float32(self.reach)) * np.float32(BINS / 2 / self.reach)).astype(int)
        self.counts += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)

    def _double(self) -> None:
        quarter = BINS // 4
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.pad(merged, quarter)
        self.reach *= 2

    @property
    def low(self) -> float:
        """The smallest value of all."""
        return min(self.lows, default=0.0)

    @property
    def high(self) -> float:
        """The largest value of all."""
        return max(self.highs, default=0.0)

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of each entry along axis 1; empty where they are not asked for."""
        return tuple((self.sums / self.summed).tolist()) if self.summed else ()
