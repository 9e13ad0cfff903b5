"""What a run will cost: a prior from the device, corrected by what was measured.

Model: log(seconds) = log(prior) + c + g(log2(batch)) + noise, with a constant c (the prior's
own sigma) and a smooth correction g: a Gaussian process over the batch size. It was the best
of five models on sizes not seen before (Rasmussen and Williams 2006, chapters 2 and 5.4.2).

Robust: of each size the newest samples count by their lower median, since what disturbs a run
makes it slower; a lone sample that neither the prior nor the other sizes can explain hardly
counts. When the newest samples leave the older ones, the estimate follows and its sigma widens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median, median_low
from typing import Final

import attrs

from deepseek_core.contracts.device import Estimate

_OCTAVES: Final = 2.0  # sizes this far apart still inform each other
_SMOOTH_SIGMA: Final = 0.6  # how far the prior's shape over sizes may be off
_SLOPE_SIGMA: Final = 0.35  # and its growth an octave: half that of what is linear in the size
_ENOUGH_FOR_A_SLOPE: Final = 2  # sizes
_ENOUGH_FOR_A_MISFIT: Final = 3
_WILD: Final = 0.7  # a factor of two
_NOISE_SIGMA: Final = 0.12  # single measurements scatter by this much on a shared machine
_MOST_SIZES: Final = 16  # the solve is cubic in the number of sizes
_NEWEST: Final = 9  # samples of a size that count: five new ones make the median follow
_RECENT: Final = 3  # samples that show a drift
_INCREDIBLE: Final = 4.0  # standard deviations at which a lone sample is not believed


@attrs.frozen
class Sample:
    """One measurement: a run of `batch` items took `seconds`."""

    batch: int
    seconds: float


Prior = Callable[[int], Estimate]
"""The device's own estimate for a batch size."""


@attrs.frozen
class _Size:
    """What was measured at one batch size, as a residual to the prior in log seconds."""

    batch: int
    residual: float
    variance: float
    count: int
    scatter: float  # mean square of the samples about their center, wild ones as if less so

    @property
    def octave(self) -> float:
        return math.log2(self.batch)


def predict(prior: Prior, samples: Iterable[Sample], batch: int) -> Estimate:
    """Estimate of a run of `batch` items; equals the prior when nothing was measured.

    `samples` come oldest first.
    """
    before = prior(batch)
    sizes = _sizes(prior, samples, batch)
    if not sizes or before.seconds <= 0:
        return before
    trusted = _doubted(sizes, before.sigma)
    shift, variance = _posterior(trusted, math.log2(batch), before.sigma)
    variance += _unrest(sizes)
    return attrs.evolve(
        before,
        seconds=before.seconds * math.exp(shift),
        sigma=math.sqrt(variance),
        source="measured" if any(size.batch == batch for size in sizes) else "model",
        samples=sum(size.count for size in sizes),
    )


def crossover(a: Prior, b: Prior, *, largest: int = 1 << 20) -> int | None:
    """The smallest batch at which the cheaper of two devices changes; None if it never does.

    `a` and `b` give the estimate for a batch size (`predict` with its first two arguments
    bound). Looks at powers of two and halves the interval in which the order turns.
    """

    def a_wins(batch: int) -> bool:
        return a(batch).seconds <= b(batch).seconds

    low, first = 1, a_wins(1)
    while low < largest:
        high = min(2 * low, largest)
        if a_wins(high) is not first:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if a_wins(middle) is first else (low, middle)
            return high
        low = high
    return None


def _sizes(prior: Prior, samples: Iterable[Sample], batch: int) -> list[_Size]:
    """The sizes nearest to `batch`, each with the lower median of its newest samples."""
    groups: dict[int, list[float]] = {}
    for sample in samples:
        if sample.seconds > 0 and sample.batch > 0:
            groups.setdefault(sample.batch, []).append(math.log(sample.seconds))
    nearest = sorted(groups, key=lambda size: (abs(math.log2(size / batch)), size))
    return [_size(prior, size, groups[size][-_NEWEST:]) for size in nearest[:_MOST_SIZES]]


def _size(prior: Prior, batch: int, logs: Sequence[float]) -> _Size:
    center = median_low(logs)
    # 1.4826: the median absolute deviation of a normal distribution, inverted.
    scatter = max(1.4826 * median_low([abs(x - center) for x in logs]), _NOISE_SIGMA)
    return _Size(
        batch=batch,
        residual=center - math.log(max(prior(batch).seconds, 1e-12)),
        variance=scatter**2 / len(logs) + _drift(logs, scatter) ** 2,
        count=len(logs),
        scatter=sum(min(abs(x - center), _WILD) ** 2 for x in logs) / len(logs),
    )


def _unrest(sizes: Sequence[_Size]) -> float:
    """By how much more than noise runs of one size differ: a run may be any of them."""
    runs = sum(size.count for size in sizes)
    scatter = sum(size.scatter * size.count for size in sizes) / runs
    return max(0.0, scatter - 2 * _NOISE_SIGMA**2)


def _drift(logs: Sequence[float], scatter: float) -> float:
    """How far the newest samples have left the older ones; 0.0 within the scatter."""
    if len(logs) < 2 * _RECENT:
        return 0.0
    moved = abs(median(logs[-_RECENT:]) - median(logs[:-_RECENT]))
    return moved / 2 if moved > 3 * scatter else 0.0


def _doubted(sizes: Sequence[_Size], sigma: float) -> list[_Size]:
    """The sizes, with the variance of an incredible lone sample raised to its own deviation."""
    return [_doubt(size, [s for s in sizes if s is not size], sigma) for size in sizes]


def _doubt(size: _Size, others: Sequence[_Size], sigma: float) -> _Size:
    if size.count > 2 or size.residual == 0.0:
        return size
    spread = math.sqrt(sigma**2 + _SMOOTH_SIGMA**2 + size.variance)
    if abs(size.residual) < _INCREDIBLE * spread:
        return size  # the prior alone can explain it
    mean, variance = _posterior(others, size.octave, sigma) if others else (0.0, spread**2)
    deviation = abs(size.residual - mean)
    if deviation < _INCREDIBLE * math.sqrt(variance + size.variance):
        return size
    return attrs.evolve(size, variance=deviation**2)


def _posterior(sizes: Sequence[_Size], x: float, sigma: float) -> tuple[float, float]:
    """Mean and variance at `x` octaves of a constant plus a slope plus a smooth function."""
    slope_sigma = _SLOPE_SIGMA if len(sizes) >= _ENOUGH_FOR_A_SLOPE else 0.0

    def kernel(a: float, b: float) -> float:
        bend = _SMOOTH_SIGMA**2 * math.exp(-0.5 * ((a - b) / _OCTAVES) ** 2)
        return sigma**2 + slope_sigma**2 * (a - x) * (b - x) + bend

    gram = [[kernel(a.octave, b.octave) for b in sizes] for a in sizes]
    for row, size in enumerate(sizes):
        gram[row][row] += size.variance
    lower = _cholesky(gram)
    across = _solve_lower(lower, [kernel(size.octave, x) for size in sizes])
    whitened = _solve_lower(lower, [size.residual for size in sizes])
    mean = sum(a * w for a, w in zip(across, whitened, strict=True))
    variance = kernel(x, x) - sum(a * a for a in across)
    variance = max(variance, min(size.variance for size in sizes))
    if len(sizes) < _ENOUGH_FOR_A_SLOPE:  # it says nothing of a slope, which may be there
        variance += (_SLOPE_SIGMA * (x - sizes[0].octave)) ** 2
    return mean, variance * _misfit(lower, whitened)


def _misfit(lower: Sequence[Sequence[float]], whitened: Sequence[float]) -> float:
    """How much farther sizes are from what the others say of them than was expected: variance.

    Standardized residuals of leaving one out, from the inverse of the Gram matrix (Rasmussen and
    Williams 2006, 5.4.2); 1 where they are as expected, or too few to tell.
    """
    count = len(whitened)
    if count < _ENOUGH_FOR_A_MISFIT:
        return 1.0
    inverse = [_solve_lower(lower, [float(i == j) for i in range(count)]) for j in range(count)]
    found = 0.0
    for j in range(count):
        weight = sum(inverse[j][i] * whitened[i] for i in range(count))
        precision = sum(value * value for value in inverse[j])
        found += min(weight**2 / precision, _INCREDIBLE**2) / count
    return max(1.0, found)


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
