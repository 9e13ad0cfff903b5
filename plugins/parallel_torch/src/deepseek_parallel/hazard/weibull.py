"""Mixtures of Weibull distributions: what is known of the time to the next failure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_gamma = np.vectorize(math.gamma, otypes=[np.float64])


class Part(NamedTuple):
    """Survival exp(-(t / `scale_s`) ** `shape`); a shape below 1: failures come in clusters."""

    weight: float
    scale_s: float
    shape: float = 1.0

    def loss(self, gap_s: float) -> float:
        """What saves by it and lost work come to in a gap, whatever a save costs.

        To first order and in units of sqrt(seconds): with the rate h of failures and a save each
        sqrt(2 C / h), saves and the half interval that is lost cost sqrt(C / 2) times
        the integral of sqrt(h) over the gap, plus 1 / sqrt(h) at its end.
        """
        past, root = max(gap_s, 1e-9) / self.scale_s, math.sqrt(self.shape)
        saves = root * 2 / (self.shape + 1) * math.pow(past, (self.shape + 1) / 2)
        lost = math.pow(past, (1 - self.shape) / 2) / root
        return math.sqrt(self.scale_s) * (saves + lost)


class Forecast(NamedTuple):
    """The time from the last failure to the next one, a mixture; or many of them [..., parts].

    Weights are above 0 and sum to 1. Times are seconds after the last failure, in any shape that
    broadcasts with the forecasts.
    """

    weights: Floats
    scales_s: Floats
    shapes: Floats

    @classmethod
    def of(cls, parts: Iterable[Part]) -> Forecast:
        """One forecast."""
        return cls(*(np.array(column, np.float64) for column in zip(*parts, strict=True)))

    @classmethod
    def stacked(cls, forecasts: Sequence[Forecast]) -> Forecast:
        """Forecasts of equally many parts, along a new first axis."""
        return cls(*(np.stack(column) for column in zip(*forecasts, strict=True)))

    @property
    def mean_s(self) -> Floats:
        """Expected seconds from the last failure to the next one."""
        means_s = self.scales_s * _gamma(1 + 1 / self.shapes)
        return np.asarray((self.weights * means_s).sum(axis=-1))

    def log_survival(self, time_s: ArrayLike) -> Floats:
        """Logarithm of the chance that the next failure comes later than this."""
        times_s = np.maximum(np.asarray(time_s, np.float64), 0.0)[..., None]
        logs = np.log(self.weights) - (times_s / self.scales_s) ** self.shapes
        most = logs.max(axis=-1)  # so that the sum is never 0, however late it is
        return np.asarray(most + np.log(np.exp(logs - most[..., None]).sum(axis=-1)))

    def log_likelihood(self, gap_s: ArrayLike, resolution_s: float = 60.0) -> Floats:
        """Logarithm of the chance of a gap that was read off a clock of this resolution."""
        half_s = resolution_s / 2
        early = self.log_survival(np.subtract(gap_s, half_s))
        late = self.log_survival(np.add(gap_s, half_s))
        return np.asarray(early + np.log(np.maximum(-np.expm1(late - early), 1e-300)))
