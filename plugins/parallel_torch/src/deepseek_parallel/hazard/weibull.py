"""Mixtures of Weibull distributions: what is known of the time to the next failure."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_LEAST: Final = 1e-300  # of a probability, where its logarithm is taken


class Weibull(NamedTuple):
    """Survival exp(-(t / `scale_s`) ** `shape`); a shape below 1: failures come in clusters."""

    scale_s: float
    shape: float

    @property
    def mean_s(self) -> float:
        """Expected time, in seconds."""
        return self.scale_s * math.gamma(1 + 1 / self.shape)


class Forecast(NamedTuple):
    """The time from the last failure to the next one: `parts` with their `weights`, sum 1.

    Times are seconds after the last failure, numbers or arrays of one shape.
    """

    parts: tuple[Weibull, ...]
    weights: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        """Expected seconds from the last failure to the next one."""
        return sum(w * part.mean_s for w, part in zip(self.weights, self.parts, strict=True))

    def survival(self, time_s: ArrayLike) -> Floats:
        """Chance that the next failure comes later than this."""
        times_s = np.maximum(np.asarray(time_s, np.float64), 0.0)[..., None]
        weights, scales_s, shapes = self._columns()
        return np.asarray(np.exp(-((times_s / scales_s) ** shapes)) @ weights)

    def rate(self, begin_s: ArrayLike, end_s: ArrayLike) -> Floats:
        """Failures a second from `begin_s` to `end_s`, none before."""
        begin, end = (np.maximum(self.survival(time_s), _LEAST) for time_s in (begin_s, end_s))
        return np.asarray(np.log(begin / end) / np.subtract(end_s, begin_s))

    def log_likelihood(self, gap_s: float, resolution_s: float = 60.0) -> float:
        """Logarithm of the chance of a gap that was read off a clock of this resolution."""
        half_s = resolution_s / 2
        early, late = self.survival([gap_s - half_s, gap_s + half_s])
        return math.log(max(early - late, _LEAST))

    def _columns(self) -> tuple[Floats, Floats, Floats]:
        scales_s, shapes = zip(*self.parts, strict=True)
        return np.array(self.weights), np.array(scales_s), np.array(shapes)
