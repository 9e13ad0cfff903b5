"""Intervals of 95 %: of shares, of means, over seeds, of the difference of two models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_core import compression

Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_Z: Final = 1.959963984540054  # two-sided 95 % of a normal distribution
_DRAWS: Final = 2000
_CELLS: Final = 4_000_000  # random numbers held at once


def wilson(hits: float, count: int) -> compression.Interval:
    """A share of `count` samples (Wilson 1927); right at 0 and 1, too."""
    share, z2 = hits / count, _Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return compression.Interval(
        value=share, low=min(low, share), high=max(high, share), count=count
    )


def bootstrap_mean(scores: Scores, seed: int = 0) -> compression.Interval:
    """The mean of one score for each sample: percentiles of resampled means (Efron 1979)."""
    count = len(scores)
    rng, means = np.random.default_rng(seed), []
    chunk = max(1, _CELLS // count)
    for start in range(0, _DRAWS, chunk):
        rows = rng.integers(0, count, (min(chunk, _DRAWS - start), count))
        means.append(scores[rows].mean(axis=1))
    return _percentiles(float(scores.mean()), np.concatenate(means), count)


def bootstrap(
    measure: Callable[[Rows], float], count: int, *, draws: int, seed: int = 0
) -> compression.Interval:
    """A measure of a set of samples, given by their places: percentiles over resampled sets.

    Sets for which it is NaN (a recall without positives) are left out; if it is so for all, the
    interval is unbounded.
    """
    rng = np.random.default_rng(seed)
    found = np.array([measure(rng.integers(0, count, count)) for _ in range(draws)])
    return _percentiles(measure(np.arange(count)), found[~np.isnan(found)], count)


def _percentiles(value: float, drawn: npt.NDArray[Any], count: int) -> compression.Interval:
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (-math.inf, math.inf)
    return compression.Interval(
        value=value, low=min(float(low), value), high=max(float(high), value), count=count
    )


def over_seeds(values: Sequence[float]) -> compression.Interval:
    """The mean over seeds, by Student's t; of one seed the interval is unbounded."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return compression.Interval(value=mean, low=-math.inf, high=math.inf, count=len(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = t_quantile(len(values) - 1) * error
    return compression.Interval(value=mean, low=mean - half, high=mean + half, count=len(values))


def t_quantile(degrees: int) -> float:
    """Two-sided 95 % of Student's t, by bisection."""
    low, high = 0.0, 13.0  # 12.71 for one degree of freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, degrees) < 0.95 else (low, middle)
    return (low + high) / 2


def _t_within(t: float, degrees: int) -> float:
    """P(|T| <= t): Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if degrees % 2 else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 if not degrees % 2 else 3, degrees - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    if degrees % 2:
        return 2 / math.pi * (angle + sine * total)
    return sine * total


@attrs.frozen(kw_only=True)
class Difference:
    """Second model less first, on the same samples; `p` of there being none, if it was tested."""

    interval: compression.Interval
    p: float | None = None


def paired(first: Scores, second: Scores, seed: int = 0) -> Difference:
    """How two models differ, from one score of each for every sample.

    Right or wrong (1 or 0): the interval of Agresti and Min (2005) and the exact test of McNemar
    (1947). Other scores: a bootstrap of the differences.
    """
    both = np.concatenate([first, second])
    if not np.isin(both, (0.0, 1.0)).all():
        return Difference(interval=bootstrap_mean(second - first, seed))
    gained, lost = int((second > first).sum()), int((first > second).sum())
    count = len(first)
    more, less, total = gained + 0.5, lost + 0.5, count + 2
    middle = (more - less) / total
    half = _Z * math.sqrt(more + less - (more - less) ** 2 / total) / total
    value = (gained - lost) / count
    interval = compression.Interval(
        value=value, low=min(middle - half, value), high=max(middle + half, value), count=count
    )
    return Difference(interval=interval, p=_mcnemar(gained, lost))


def _mcnemar(gained: int, lost: int) -> float:
    """Two-sided: as many coins falling as unevenly as these."""
    count, fewer = gained + lost, min(gained, lost)
    logs = [
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        for k in range(fewer + 1)
    ]
    tail = math.fsum(math.exp(log - count * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)
