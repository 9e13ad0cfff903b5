"""What a run will cost: a prior from the device, corrected by what was measured.

Model: log(seconds) = log(prior) + c + g(log2(batch)) + noise, with a constant c (the prior's
own sigma) and a smooth correction g: a Gaussian process over the batch size. It was the best
of five models on sizes not seen before (Rasmussen and Williams 2006, chapter 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

import attrs

from deepseek_core.contracts.device import Estimate

_OCTAVES: Final = 2.0  # sizes this far apart still inform each other
_SMOOTH_SIGMA: Final = 0.6  # how far the prior's shape over sizes may be off
_NOISE_SIGMA: Final = 0.12  # single measurements scatter by this much on a shared machine
_MOST_SIZES: Final = 16  # the solve is cubic in the number of sizes


@attrs.frozen
class Sample:
    """One measurement: a run of `batch` items took `seconds`."""

    batch: int
    seconds: float


Prior = Callable[[int], Estimate]
"""The device's own estimate for a batch size."""


def predict(prior: Prior, samples: Iterable[Sample], batch: int) -> Estimate:
    """Estimate of a run of `batch` items; equals the prior when nothing was measured."""
    before = prior(batch)
    sizes = _by_size(samples, batch)
    if not sizes or before.seconds <= 0:
        return before
    residuals = [_median_log(seconds) - _log(prior(size).seconds) for size, seconds in sizes]
    noise = [_scatter(seconds) ** 2 / len(seconds) for _, seconds in sizes]
    octaves = [math.log2(size) for size, _ in sizes]
    shift, variance = _regress(octaves, residuals, noise, math.log2(batch), before.sigma)
    return attrs.evolve(
        before,
        seconds=before.seconds * math.exp(shift),
        sigma=math.sqrt(variance),
        source="measured" if any(size == batch for size, _ in sizes) else "model",
        samples=sum(len(seconds) for _, seconds in sizes),
    )


def _by_size(samples: Iterable[Sample], batch: int) -> list[tuple[int, list[float]]]:
    """Measured seconds by batch size, the sizes nearest to `batch` first."""
    groups: dict[int, list[float]] = {}
    for sample in samples:
        if sample.seconds > 0 and sample.batch > 0:
            groups.setdefault(sample.batch, []).append(sample.seconds)
    nearest = sorted(groups, key=lambda size: (abs(math.log2(size / batch)), size))
    return [(size, groups[size]) for size in nearest[:_MOST_SIZES]]


def _log(seconds: float) -> float:
    return math.log(max(seconds, 1e-12))


def _median_log(seconds: Sequence[float]) -> float:
    return _log(median(seconds))


def _scatter(seconds: Sequence[float]) -> float:
    """Robust standard deviation of log(seconds), never below the usual noise."""
    center = _median_log(seconds)
    # 1.4826: the median absolute deviation of a normal distribution, inverted.
    spread = 1.4826 * median(abs(_log(s) - center) for s in seconds)
    return max(spread, _NOISE_SIGMA)


def _regress(
    xs: Sequence[float], ys: Sequence[float], noise: Sequence[float], x: float, sigma: float
) -> tuple[float, float]:
    """Posterior mean and variance at `x` of a constant plus a smooth function."""

    def kernel(a: float, b: float) -> float:
        return sigma**2 + _SMOOTH_SIGMA**2 * math.exp(-0.5 * ((a - b) / _OCTAVES) ** 2)

    gram = [
        [kernel(a, b) + (noise[i] if i == j else 0.0) for j, b in enumerate(xs)]
        for i, a in enumerate(xs)
    ]
    lower = _cholesky(gram)
    across = _solve_lower(lower, [kernel(a, x) for a in xs])
    whitened = _solve_lower(lower, ys)
    mean = sum(a * w for a, w in zip(across, whitened, strict=True))
    variance = kernel(x, x) - sum(a * a for a in across)
    return mean, max(variance, min(noise))


def _cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        done: list[float] = []
        for j in range(i):
            dot = sum(a * b for a, b in zip(done, lower[j], strict=False))
            done.append((row[j] - dot) / lower[j][j])
        done.append(math.sqrt(max(row[i] - sum(a * a for a in done), 1e-12)))
        lower.append(done)
    return lower


def _solve_lower(lower: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    solved: list[float] = []
    for row, value in zip(lower, right, strict=True):
        dot = sum(a * b for a, b in zip(row, solved, strict=False))
        solved.append((value - dot) / row[-1])
    return solved
