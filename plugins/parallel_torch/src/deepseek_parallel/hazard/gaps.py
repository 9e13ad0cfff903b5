"""Predictors of the time to the next failure of a system, from the gaps between earlier ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Final

from deepseek_core import errors
from deepseek_parallel.hazard.lstm import Lstm, Weights, features, read_weights
from deepseek_parallel.hazard.weibull import Forecast, Weibull

_WINDOW: Final = 20  # gaps of the running mean
_MEMORY: Final = 0.98  # share of what one failure said of a predictor that the next one leaves
_LEAST_WEIGHT: Final = 0.01  # so that a predictor that was wrong for long can come back


class GapPredictor(ABC):
    """Sees failure after failure, and says when the next one may come."""

    @abstractmethod
    def observe(self, gap_s: float) -> None:
        """Take the seconds from one failure to the next."""

    @abstractmethod
    def forecast(self) -> Forecast:
        """The time from the last failure to the next one."""


class Constant(GapPredictor):
    """Failures at random with the mean that was given."""

    def __init__(self, mean_s: float) -> None:
        self._mean_s = _checked(mean_s)

    def observe(self, gap_s: float) -> None:
        """Learn nothing."""

    def forecast(self) -> Forecast:
        """Exponential."""
        return _exponential(self._mean_s)


class RunningMean(GapPredictor):
    """Failures at random with the mean of the last gaps; the first one is `mean_s`, a guess.

    `window` is how many count, None all of them.
    """

    def __init__(self, mean_s: float, window: int | None = _WINDOW) -> None:
        self._gaps = deque([_checked(mean_s)], maxlen=window)

    def observe(self, gap_s: float) -> None:
        """Take a gap."""
        self._gaps.append(gap_s)

    @property
    def mean_s(self) -> float:
        """Mean of the last gaps, in seconds."""
        return max(sum(self._gaps) / len(self._gaps), 1e-3)

    def forecast(self) -> Forecast:
        """Exponential."""
        return _exponential(self.mean_s)


class Learned(GapPredictor):
    """A Weibull distribution by an LSTM that has learned how failures of big systems cluster.

    It scales the running mean. `weights` are by default those that come with the package, fitted
    on the first 60 % of the failures of 19 systems of Los Alamos (LA-UR-05-7318).
    """

    def __init__(self, mean_s: float, weights: Weights | None = None) -> None:
        self._running = RunningMean(mean_s)
        self._lstm = Lstm(read_weights() if weights is None else weights)
        self._sum_s, self._count = _checked(mean_s), 1  # of all gaps, the guess among them
        self._said = self._lstm.step((0.0, 0.0))  # logarithms of scale and shape

    def observe(self, gap_s: float) -> None:
        """Take a gap."""
        self._running.observe(gap_s)
        self._sum_s, self._count = self._sum_s + gap_s, self._count + 1
        seen = features(gap_s, self._running.mean_s, self._sum_s / self._count)
        self._said = self._lstm.step(seen)

    def forecast(self) -> Forecast:
        """One Weibull distribution."""
        log_scale, log_shape = self._said
        return Forecast((of_outputs(self._running.mean_s, log_scale, log_shape),), (1.0,))


class Blend(GapPredictor):
    """Several predictors, each with the weight that its forecasts of late deserve.

    What is lost against the best of them is bounded, as with any mixture of experts that share
    their weights (Herbster and Warmuth, 1998).
    """

    def __init__(self, predictors: Sequence[GapPredictor]) -> None:
        self._predictors = tuple(predictors)
        self._weights = [1 / len(predictors)] * len(predictors)

    def observe(self, gap_s: float) -> None:
        """Take a gap, and see who expected it."""
        logs = [
            _MEMORY * math.log(weight) + one.forecast().log_likelihood(gap_s)
            for weight, one in zip(self._weights, self._predictors, strict=True)
        ]
        likely = [math.exp(value - max(logs)) for value in logs]
        shares = [max(value / sum(likely), _LEAST_WEIGHT) for value in likely]
        self._weights = [share / sum(shares) for share in shares]
        for one in self._predictors:
            one.observe(gap_s)

    def forecast(self) -> Forecast:
        """The mixture."""
        told = [one.forecast() for one in self._predictors]
        parts = tuple(part for one in told for part in one.parts)
        weights = tuple(
            weight * inner
            for weight, one in zip(self._weights, told, strict=True)
            for inner in one.weights
        )
        return Forecast(parts, weights)


def failure_predictor(mean_s: float, weights: Weights | None = None) -> GapPredictor:
    """The one to use: learned, and never much worse than the mean of the last gaps or of all.

    `mean_s` is a guess of the mean seconds between failures, which the first ones replace.

    Raises:
        ConfigError: `mean_s` is no positive number.
        InputError: weights that can't be.
    """
    means = RunningMean(mean_s), RunningMean(mean_s, window=None)
    return Blend([Learned(mean_s, weights), *means])


def of_outputs(mean_s: float, log_scale: float, log_shape: float) -> Weibull:
    """The distribution that two outputs of the LSTM mean; bounded, whatever they are."""
    scale = math.exp(max(-3.0, min(3.0, log_scale)))
    return Weibull(mean_s * scale, math.exp(max(-1.5, min(0.5, log_shape))))


def _exponential(mean_s: float) -> Forecast:
    return Forecast((Weibull(mean_s, 1.0),), (1.0,))


def _checked(mean_s: float) -> float:
    if not (isinstance(mean_s, int | float) and 0 < mean_s < math.inf):
        raise errors.ConfigError(
            f"the mean time between failures must be a number of seconds above 0, got {mean_s!r}"
        )
    return float(mean_s)
