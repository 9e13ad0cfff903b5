"""What a run will cost: a prior from the device, corrected by what was measured.

Model: log(seconds) = log(prior) + f(log2(batch)) + noise. `cost_shapes` holds several shapes of f
for possible, `cost_drift` tells what older runs would take now.

Robust: of a size the newest runs count by the mean of those that are not far off their lower
median, since what disturbs a run makes it slower; a lone run that neither the prior nor the other
sizes can explain hardly counts. The interval is that of a single run: it is as wide as runs of
one size differ, be it in two heaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import mul
from statistics import median_low
from typing import Final

import attrs

from deepseek_core.contracts.device import Estimate
from deepseek_core.schedule.cost_drift import Aligned, aligned, limit_of
from deepseek_core.schedule.cost_shapes import Belief, Point, believe

_MOST_SIZES: Final = 12  # the solve is cubic in the number of sizes
_NEWEST: Final = 9  # runs of a size that count
_NOISE_SIGMA: Final = 0.09  # by how much single runs scatter, before any was repeated
_NOISE_RUNS: Final = 3.0  # repeated runs that this is worth
_ALONE_RUNS: Final = 1.0  # repeated runs after which sizes differ rather than runs
_LEAST_CORE: Final = 0.4  # runs closer to the middle one, in log seconds, are in the center
_MOST_CORE: Final = 1.4  # runs farther off are not
_CORE_SPREADS: Final = 2.6  # between: so many times what three in four runs keep to
_WILD: Final = 1.5  # runs farther off than a factor of 4.5 count as that
_Z90: Final = 1.645  # standard deviations that nine in ten runs keep to
_INCREDIBLE: Final = 4.0  # standard deviations at which a lone run is not believed
_BEYOND_SIGMA: Final = 0.6  # how far a run may be off beyond what the prior says of itself


@attrs.frozen
class Sample:
    """One measurement: a run of `batch` items took `seconds`."""

    batch: int
    seconds: float


Prior = Callable[[int], Estimate]
"""The device's own estimate for a batch size."""


def predict(prior: Prior, samples: Iterable[Sample], batch: int) -> Estimate:
    """Estimate of a run of `batch` items; equals the prior when nothing was measured.

    `samples` come oldest first.
    """
    before = prior(batch)
    sizes = _sizes(samples, batch)
    if not sizes or before.seconds <= 0:
        return before
    belief = _belief(prior, sizes, math.log2(batch), before.sigma)
    return attrs.evolve(
        before,
        seconds=before.seconds * math.exp(belief.mean),
        sigma=belief.sigma,
        source="measured" if batch in sizes else "model",
        samples=sum([len(size.logs) for size in sizes.values()]),
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


def _sizes(samples: Iterable[Sample], batch: int) -> dict[int, Aligned]:
    """The newest runs of the sizes nearest to `batch`, as they would be now."""
    runs = [(s.batch, math.log(s.seconds)) for s in samples if s.batch > 0 < s.seconds < math.inf]
    groups: dict[int, list[float]] = {}
    for size, log in runs:
        groups.setdefault(size, []).append(log)
    if len(groups) > _MOST_SIZES:
        nearest = sorted(groups, key=lambda size: (abs(math.log2(size / batch)), size))
        groups = {size: groups[size] for size in nearest[:_MOST_SIZES]}
    limit = limit_of(groups, _deviations(groups))
    if limit is None:
        found = {size: Aligned(logs, 0.0) for size, logs in groups.items()}
    else:
        found = aligned([run for run in runs if run[0] in groups], limit)
    return {size: Aligned(logs[-_NEWEST:], doubt) for size, (logs, doubt) in found.items()}


def _deviations(groups: Mapping[int, Sequence[float]]) -> list[float]:
    """How far the runs of sizes measured repeatedly are off their lower medians, sorted."""
    found: list[float] = []
    for logs in groups.values():
        if len(logs) > 1:
            center = median_low(logs)
            found += [abs(log - center) for log in logs]
    found.sort()
    return found


def _belief(prior: Prior, sizes: Mapping[int, Aligned], octave: float, sigma: float) -> Belief:
    cores, strays = _cores({size: logs for size, (logs, _) in sizes.items()})
    centers = {size: sum(logs) / len(logs) for size, logs in cores.items()}
    repeats = sum(map(len, cores.values())) - len(cores)
    off = _scattered(cores, centers)
    noise = _noise(off, repeats)
    points = []
    for size, center in centers.items():
        residual = center - math.log(max(prior(size).seconds, 1e-12))
        variance = noise / len(cores[size]) + sizes[size].variance
        points.append(Point(math.log2(size), residual, variance))
    points = _credible(points, [len(logs) < 3 for logs in cores.values()], sigma)
    if len(strays) > 1:  # one is an accident
        noise = _noise(off + [min(stray, _WILD) for stray in strays[:-1]], repeats)
    # Few runs tell little of how they scatter: about Student's t quantile over the normal one.
    noise *= (1 + 1 / (_NOISE_RUNS + repeats)) ** 2
    alone = (_ALONE_RUNS / (_ALONE_RUNS + repeats)) ** 2
    return believe(points, octave, sigma=sigma, noise=noise, alone=alone)


def _cores(
    groups: Mapping[int, list[float]],
) -> tuple[Mapping[int, list[float]], list[float]]:
    """The runs of each size that are near its lower median, and how far the others are off it."""
    deviations = _deviations(groups)
    if not deviations or deviations[-1] <= _LEAST_CORE:
        return groups, []
    spread = _CORE_SPREADS * deviations[3 * len(deviations) // 4]
    core = min(max(spread, _LEAST_CORE), _MOST_CORE)
    lows = {size: median_low(logs) for size, logs in groups.items()}
    near = {
        size: [log for log in logs if abs(log - lows[size]) <= core]
        for size, logs in groups.items()
    }
    return near, [deviation for deviation in deviations if deviation > core]


def _scattered(cores: Mapping[int, Sequence[float]], centers: Mapping[int, float]) -> list[float]:
    """How far repeated runs are off their centers, as if those were known."""
    off: list[float] = []
    for size, logs in cores.items():
        if len(logs) > 1:
            center, unbiased = centers[size], math.sqrt(len(logs) / (len(logs) - 1))
            off += [unbiased * abs(log - center) for log in logs]
    return off


def _noise(off: list[float], repeats: int) -> float:
    """Variance of a run: the mean square, or what nine in ten runs keep to."""
    if not off:
        return _NOISE_SIGMA**2
    off = sorted(off)
    square: float = sum(map(mul, off, off)) * repeats / len(off)
    nine = off[9 * len(off) // 10] / _Z90
    most = max(_NOISE_RUNS * _NOISE_SIGMA**2 + square, nine**2 * repeats)
    return most / (_NOISE_RUNS + repeats)


def _credible(points: list[Point], lone: Sequence[bool], sigma: float) -> list[Point]:
    """The points, with the variance of an incredible lone one raised to its own deviation."""
    explained = _INCREDIBLE * math.hypot(sigma, _BEYOND_SIGMA)  # by the prior alone
    if len(points) < 2 or all(abs(point.residual) < explained for point in points):
        return points
    return [
        _doubted(point, [p for p in points if p is not point], sigma)
        if alone and abs(point.residual) >= explained
        else point
        for point, alone in zip(points, lone, strict=True)
    ]


def _doubted(point: Point, others: Sequence[Point], sigma: float) -> Point:
    expected = believe(others, point.octave, sigma=sigma, noise=point.variance, alone=1.0)
    off = abs(point.residual - expected.mean)
    if off <= _INCREDIBLE * expected.sigma:
        return point
    return point._replace(variance=off**2)
