"""The seconds of one rank as a fixed part and a part for its share, learned while it runs.

Legend: x share of the step's microbatches, 0 to 1; s seconds it took; k = fixed part / slope, so
that s = slope * (x + k). Sums are of plain floats in one order: all ranks must find the same bits.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import attrs

from deepseek_parallel.shares import Affine

WINDOW: Final = 12
SURPRISE: Final = 0.25
SIGMAS: Final = 6.0
_FADING: Final = 0.85  # weight of a step against that of the next one
_TRUST: Final = 0.1  # weight of what was known of k against one step
_LEAST_SIGMA: Final = 0.02
_ENOUGH: Final = 6  # steps, to tell their error


@attrs.define
class RankCost:
    """What is known of one rank; k is that of all ranks, which run the same code.

    `seen` are the last steps as (x, s), `odd` a step that did not fit: after a second one in a
    row, off to the same side, what came before is forgotten.
    """

    seen: deque[tuple[float, float]] = attrs.field(factory=lambda: deque(maxlen=WINDOW))
    odd: tuple[float, float] | None = None

    def observe(self, x: float, s: float, k: float) -> None:
        """Learn from a step."""
        off = self._off(x, s, k) if self.seen else 0.0
        if abs(off) <= min(SURPRISE, SIGMAS * self._sigma(k)):
            self.odd = None
        elif self.odd is None or off * self._off(*self.odd, k) < 0:
            self.odd = x, s
            return
        else:
            self.seen.clear()
            self.seen.append(self.odd)
            self.odd = None
        self.seen.append((x, s))

    def affine(self, k: float) -> Affine:
        """Weighted least squares, drawn to the fixed part by `k`."""
        xx = xs = x1 = s1 = one = 0.0
        for age, (x, s) in enumerate(reversed(self.seen)):
            weight = _FADING**age / s**2  # errors grow with the seconds
            xx, xs = xx + weight * x * x, xs + weight * x * s
            x1, s1, one = x1 + weight * x, s1 + weight * s, one + weight
        trust = _TRUST * one / len(self.seen)
        xx, x1, one = xx + trust * k**2, x1 - trust * k, one + trust
        spread = xx * one - x1 * x1
        slope = (xs * one - x1 * s1) / spread if spread > 0 else 0.0
        fixed_s = (s1 - slope * x1) / one
        if fixed_s >= 0 and slope > 0:
            return Affine(fixed_s, slope)
        k = 0.0 if slope > 0 else k
        slope = self._mean_slope(k)
        return Affine(k * slope, slope)

    def _mean_slope(self, k: float) -> float:
        weights = [_FADING**age for age in range(len(self.seen))]
        slopes = [s / (x + k) for x, s in reversed(self.seen)]
        return sum(w * b for w, b in zip(weights, slopes, strict=True)) / sum(weights)

    def _off(self, x: float, s: float, k: float) -> float:
        return s / self.affine(k).of(x) - 1

    def _sigma(self, k: float) -> float:
        """Relative error of what was seen."""
        if len(self.seen) < _ENOUGH:
            return math.inf
        cost = self.affine(k)
        squares = math.fsum((s / cost.of(x) - 1) ** 2 for x, s in self.seen)
        return max(_LEAST_SIGMA, math.sqrt(squares / (len(self.seen) - 2)))
