"""Predictors of the time to the next failure of a system, from the gaps between earlier ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np

from deepseek_core import errors
from deepseek_parallel.hazard.lstm import NOTHING_SEEN, OUTPUTS, Lstm, Weights, read_weights
from deepseek_parallel.hazard.seen import Seen
from deepseek_parallel.hazard.weibull import Forecast, Part

_MEMORY: Final = 0.98  # share of what one failure said of an expert that the next one leaves
_MOST_LOSS: Final = math.log(100)  # so that an expert that was wrong for long can come back


class GapPredictor(ABC):
    """Sees failure after failure, and says when the next one may come."""

    @abstractmethod
    def observe(self, gap_s: float) -> None:
        """Take the seconds from one failure to the next."""

    @abstractmethod
    def forecast(self) -> Forecast:
        """The time from the last failure to the next one."""


class Expert(GapPredictor):
    """A predictor that forecasts one Weibull distribution."""

    @property
    @abstractmethod
    def part(self) -> Part:
        """The time from the last failure to the next one, with weight 1."""

    def forecast(self) -> Forecast:
        """The distribution, alone."""
        return Forecast.of([self.part])


class Constant(Expert):
    """Failures at random with the mean that was given."""

    def __init__(self, mean_s: float) -> None:
        self._mean_s = _checked(mean_s)

    def observe(self, gap_s: float) -> None:
        """Learn nothing."""

    @property
    def part(self) -> Part:
        """Exponential."""
        return Part(1.0, self._mean_s)


class RunningMean(Expert):
    """Failures at random with the mean of the last 20 gaps; the first one is `mean_s`, a guess."""

    def __init__(self, mean_s: float) -> None:
        self._seen = Seen(_checked(mean_s))

    def observe(self, gap_s: float) -> None:
        """Take a gap."""
        self._seen.observe(gap_s)

    @property
    def part(self) -> Part:
        """Exponential."""
        return Part(1.0, self._seen.running_s)


class Learned(Expert):
    """A Weibull distribution by an LSTM that has learned how failures of big systems cluster.

    It scales the running mean. `weights` are by default those that come with the package, fitted
    on the first 60 % of the failures of 19 systems of Los Alamos (LA-UR-05-7318).
    """

    def __init__(self, mean_s: float, weights: Weights | None = None) -> None:
        self._seen = Seen(_checked(mean_s))
        self._lstm = Lstm(read_weights() if weights is None else weights)
        self._said = self._lstm.step(NOTHING_SEEN)  # logarithms of scale and shape

    def observe(self, gap_s: float) -> None:
        """Take a gap."""
        self._said = self._lstm.step(self._seen.observe(gap_s))

    @property
    def part(self) -> Part:
        """What the last output means; bounded, whatever it is."""
        log_scale, log_shape = (
            min(max(said, least), most)
            for said, (least, most) in zip(self._said, OUTPUTS, strict=True)
        )
        return Part(1.0, self._seen.running_s * math.exp(log_scale), math.exp(log_shape))


class Blend(GapPredictor):
    """Experts, each with the weight that its intervals of late deserve.

    What counts is what saves and lost work would have cost by each (`Part.loss`), not how likely
    it found the gaps. Weights fall exponentially with that, so what is lost against the best
    expert is bounded (Herbster and Warmuth, 1998).
    """

    def __init__(self, experts: Sequence[Expert], mean_s: float) -> None:
        self._experts = tuple(experts)
        self._losses = np.zeros(len(self._experts))  # of late, in those of one gap
        self._seen = Seen(_checked(mean_s))

    def observe(self, gap_s: float) -> None:
        """Take a gap, and see who was ready for it."""
        losses = np.array([one.part.loss(gap_s) for one in self._experts])
        self._losses = _MEMORY * self._losses + losses / math.sqrt(self._seen.mean_s)
        self._losses = np.minimum(self._losses - self._losses.min(), _MOST_LOSS)
        self._seen.observe(gap_s)
        for one in self._experts:
            one.observe(gap_s)

    def forecast(self) -> Forecast:
        """The mixture."""
        weights = np.exp(-self._losses)
        weights /= weights.sum()
        return Forecast.of(
            one.part._replace(weight=float(weight))
            for one, weight in zip(self._experts, weights, strict=True)
        )


def failure_predictor(mean_s: float, weights: Weights | None = None) -> GapPredictor:
    """The one to use: learned, and never much worse than the mean that was given.

    `mean_s` is a guess of the mean seconds between failures, which the first ones replace.

    Raises:
        ConfigError: `mean_s` is no positive number.
        InputError: weights that can't be.
    """
    experts = Learned(mean_s, weights), RunningMean(mean_s), Constant(mean_s)
    return Blend(experts, mean_s)


def _checked(mean_s: float) -> float:
    if not (isinstance(mean_s, int | float) and 0 < mean_s < math.inf):
        raise errors.ConfigError(
            f"the mean time between failures must be a number of seconds above 0, got {mean_s!r}"
        )
    return float(mean_s)
