"""95 % intervals: over seeds by Student's t, over samples by the bootstrap, paired ones.

Student (1908); Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), percentile method.

    S  seeds        B  samples drawn again        n  items
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from deepseek_core import compression, errors

_T975: Final = (
    12.7062047364, 4.30265272991, 3.18244630528, 2.7764451052, 2.57058183661, 2.44691184879,
    2.36462425101, 2.30600413503, 2.26215716274, 2.22813885196, 2.20098516008, 2.17881282966,
    2.16036865646, 2.14478668792, 2.13144954556, 2.11990529922, 2.10981557783, 2.10092204024,
    2.09302405441, 2.08596344727, 2.07961384473, 2.0738730679, 2.06865761042, 2.06389856163,
    2.05953855275, 2.05552943864, 2.05183051648, 2.0484071418, 2.04522964213, 2.0422724563,
)  # fmt: skip
"""Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1."""
_Z975: Final = 1.95996398454
_DRAWS: Final = 1_000

Figure = Callable[..., float]
"""A figure of some items: arrays of equal length -> a number."""


def num_seeds(count: int) -> str:
    """How many seeds, in words: "1 seed", "5 seeds"."""
    return "1 seed" if count == 1 else f"{count} seeds"


def over_seeds(values: Sequence[float]) -> compression.Interval:
    """The mean over seeds with its t interval; infinite ends where there is one seed.

    Raises:
        InputError: no value, or one that is not finite.
    """
    array = _finite(values)
    mean, count = float(array.mean()), len(array)
    if count == 1:
        return compression.Interval(value=mean, low=-math.inf, high=math.inf, count=1)
    half = _t975(count - 1) * float(array.std(ddof=1)) / math.sqrt(count)
    return compression.Interval(value=mean, low=mean - half, high=mean + half, count=count)


def over_samples(
    figure: Figure, *columns: Any, seed: int = 0, draws: int = _DRAWS
) -> compression.Interval:
    """A figure of the items with its bootstrap interval: items are drawn again with their rows.

    A draw on which the figure is not finite (one class alone) is left out.

    Raises:
        InputError: columns of other lengths, fewer than 2 items, or a figure that is not finite.
    """
    arrays = _columns(columns)
    drawn = [figure(*(a[rows] for a in arrays)) for rows in _draws(len(arrays[0]), seed, draws)]
    return _percentiles(float(figure(*arrays)), drawn, len(arrays[0]))


def paired_over_both(
    figure: Figure,
    ones: Sequence[Any],
    others: Sequence[Any],
    *shared: Any,
    seed: int = 0,
    draws: int = _DRAWS,
) -> compression.Interval:
    """The mean difference over seeds, with seeds and items drawn again (S arrays of n each).

    Holds what chance the trainings and the test items have together.

    Raises:
        InputError: another number of seeds, or as `over_samples`.
    """
    _check_length(ones, others)
    first, second, rest = _columns(ones), _columns(others), _columns(shared)
    _check_length(first[0], second[0])
    rng = np.random.default_rng(seed)

    def mean(seeds: Any, rows: Any) -> float:
        common = [array[rows] for array in rest]
        found = [figure(first[s][rows], *common) - figure(second[s][rows], *common) for s in seeds]
        return float(np.mean(found))

    count, length = len(first), len(first[0])
    every = mean(range(count), np.arange(length))
    drawn = [
        mean(rng.integers(0, count, count), rng.integers(0, length, length)) for _ in range(draws)
    ]
    return _percentiles(every, drawn, length)


def _t975(freedom: int) -> float:
    """Quantile of Student's t; beyond the table by its expansion (Abramowitz & Stegun 26.7.5)."""
    if freedom <= len(_T975):
        return _T975[freedom - 1]
    z = _Z975
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _draws(length: int, seed: int, draws: int) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, length, length) for _ in range(draws))


def _percentiles(value: float, drawn: Sequence[float], count: int) -> compression.Interval:
    if not math.isfinite(value):
        raise errors.InputError(f"the figure of all items is {value}", remedy="give other items")
    finite = [each for each in drawn if math.isfinite(each)]
    if len(finite) < len(drawn) / 2:
        return compression.Interval(value=value, low=-math.inf, high=math.inf, count=count)
    low, high = (float(end) for end in np.percentile(finite, (2.5, 97.5)))
    return compression.Interval(
        value=value, low=min(low, value), high=max(high, value), count=count
    )


def _finite(values: Sequence[float]) -> Any:
    array = np.asarray(values, dtype=np.float64)
    if not array.size or not np.isfinite(array).all():
        raise errors.InputError(
            f"the figures of the seeds are {list(values)}", remedy="give finite numbers"
        )
    return array


def _columns(columns: Sequence[Any]) -> list[Any]:
    arrays = [np.asarray(column) for column in columns]
    for array in arrays:
        _check_length(array, arrays[0])
        if len(array) < 2:
            raise errors.InputError(f"{len(array)} items have no interval", remedy="give more")
    return arrays


def _check_length(one: Any, other: Any) -> None:
    if len(one) != len(other):
        raise errors.InputError(f"{len(one)} figures against {len(other)}: these are no pairs")
