"""How costs depend on the size: several shapes at once, weighted by how well they explain.

Each shape is a Gaussian process over octaves of the size: a level, a slope, and what departs from
the line: nothing, a smooth bend, a rough walk (which may jump: a cache's end), or an offset of
each size's own (alignment). No one shape fits all devices, so all are asked, each weighted by its
marginal likelihood: Bayesian model averaging (Hoeting et al. 1999); Rasmussen and Williams 2006,
chapters 2 and 5.4.1 for the Gaussian processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import mul
from typing import Final, NamedTuple

_SLOPE_SIGMA: Final = 0.4  # growth an octave beyond the prior's; what is linear grows by 0.7
_SMOOTH_OCTAVES: Final = 2.5  # sizes this far apart still inform each other
_ROUGH_OCTAVES: Final = 2.5  # and where there are jumps


class Point(NamedTuple):
    """What was measured at a size, in log seconds beyond the prior's."""

    octave: float
    residual: float
    variance: float


class Belief(NamedTuple):
    """Log seconds beyond the prior's of a run of one size."""

    mean: float
    sigma: float


class _Shape(NamedTuple):
    """How residuals of sizes hang together beside the line."""

    log_odds: float
    correlation: Callable[[float], float] | None
    variance: float
    own_variance: float


def _smooth(octaves: float) -> float:
    return math.exp(-0.5 * (octaves / _SMOOTH_OCTAVES) ** 2)


def _rough(octaves: float) -> float:
    return math.exp(-abs(octaves) / _ROUGH_OCTAVES)


def _shape(
    odds: float,
    sigma: float = 0.0,
    correlation: Callable[[float], float] | None = None,
    *,
    own_sigma: float = 0.0,
) -> _Shape:
    return _Shape(math.log(odds), correlation, sigma**2, own_sigma**2)


# Odds, and sigmas in log seconds: together they cover as they should, over devices of many laws.
_SHAPES: Final = (
    _shape(4, own_sigma=0.03),
    _shape(4, 0.65, _smooth),
    _shape(4, 1.6, _rough),
    _shape(1.5, own_sigma=0.8),
)
_FEW: Final = 2  # sizes that any line fits, so that they tell nothing of the shape
_FOR_FEW: Final = (_shape(1, 0.6, _smooth, own_sigma=0.1),)

_Table = list[list[float]]
_Tables = dict[Callable[[float], float] | None, _Table]


def believe(
    points: Sequence[Point], octave: float, *, sigma: float, noise: float, alone: float
) -> Belief:
    """What a run takes at `octave`, after `points`.

    `sigma` is the prior's, `noise` the variance of a run, `alone` the part of a size's own offset
    that may be the luck of its runs: 1.0 if there was one of each.
    """
    octaves = [point.octave for point in points]
    few = len(points) <= _FEW
    tables = _tables([*octaves, octave], sigma)
    seen = octaves.index(octave) if octave in octaves else None
    fits = []
    for shape in _FOR_FEW if few else _SHAPES:
        shared = None if seen is None else (seen, (1 - alone) * shape.own_variance)
        fits.append(_fit(shape, tables, points, shared))
    return _average(fits, noise)


def _average(fits: Sequence[tuple[float, float, float]], noise: float) -> Belief:
    most = max([evidence for evidence, _, _ in fits])
    weights = [math.exp(evidence - most) for evidence, _, _ in fits]
    total = sum(weights)
    mean = sum([w * fit[1] for w, fit in zip(weights, fits, strict=True)]) / total
    spread = [w * (v + (m - mean) ** 2) for w, (_, m, v) in zip(weights, fits, strict=True)]
    return Belief(mean, math.sqrt(sum(spread) / total + noise))


def _tables(octaves: Sequence[float], level_sigma: float) -> _Tables:
    """Lower triangles: the line's covariance under None, and the correlations.

    The line turns about the middle of all but the last octave, which is the one asked for.
    """
    middle = (sum(octaves) - octaves[-1]) / (len(octaves) - 1)
    level = level_sigma**2
    line, smooth, rough = [], [], []
    for i, x in enumerate(octaves):
        until = octaves[: i + 1]
        slope = _SLOPE_SIGMA**2 * (x - middle)
        line.append([level + slope * (other - middle) for other in until])
        smooth.append([_smooth(x - other) for other in until])
        rough.append([_rough(x - other) for other in until])
    return {None: line, _smooth: smooth, _rough: rough}


def _fit(
    shape: _Shape, tables: _Tables, points: Sequence[Point], shared: tuple[int, float] | None
) -> tuple[float, float, float]:
    """Log evidence of the points, mean and variance at the tables' last row.

    By a Cholesky factor, whose rows solve for the residuals on the way; `shared` is a point of the
    size asked for, and what their offsets have in common.
    """
    lower: _Table = []
    scales: list[float] = []
    white: list[float] = []
    evidence, own = shape.log_odds, shape.own_variance
    rows = _rows(shape, tables)
    for row, (_, residual, variance) in zip(rows, points, strict=False):
        done = _solved(row, lower, scales)
        pivot = max(row[-1] + variance + own - sum(map(mul, done, done)), 1e-12)
        scale = 1 / math.sqrt(pivot)
        value = (residual - sum(map(mul, done, white))) * scale
        evidence -= 0.5 * (math.log(pivot) + value * value)
        lower.append(done)
        scales.append(scale)
        white.append(value)
    last = rows[-1]
    if shared is not None:
        last = last.copy()
        last[shared[0]] += shared[1]
    done = _solved(last, lower, scales)
    rest = last[-1] + own - sum(map(mul, done, done))
    return evidence, sum(map(mul, done, white)), max(rest, 0.0)


def _rows(shape: _Shape, tables: _Tables) -> _Table:
    line, scale = tables[None], shape.variance
    if shape.correlation is None:
        return line
    other = tables[shape.correlation]
    return [[a + scale * b for a, b in zip(*rows)] for rows in zip(line, other)]  # noqa: B905 - of one shape


def _solved(row: Sequence[float], lower: _Table, scales: Sequence[float]) -> list[float]:
    """The row of the factor: `row` by the inverse of what was factored so far."""
    done: list[float] = []
    for value, before, scale in zip(row, lower, scales):  # noqa: B905 - as far as factored
        done.append((value - sum(map(mul, done, before))) * scale)
    return done
