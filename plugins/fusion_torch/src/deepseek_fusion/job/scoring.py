"""Figures with their intervals: over seeds, and over rows where there is one seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from deepseek_core import compression

# Student's t at 97.5 % for 1 to 30 degrees of freedom (scipy.stats.t.ppf).
_T: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL: Final = 1.96


def share(right: Sequence[Any]) -> compression.Interval:
    """Return the share of right answers with its interval; `right` [rows] of each seed.

    Of one seed it is Wilson's over rows, of several Student's t over seeds.
    """
    if len(right) > 1:
        return over_seeds([float(np.mean(one)) for one in right])
    rows, mean = len(right[0]), float(np.mean(right[0]))
    spread = _NORMAL**2 / rows
    middle = (mean + spread / 2) / (1 + spread)
    half = _NORMAL * math.sqrt(mean * (1 - mean) / rows + spread / (4 * rows)) / (1 + spread)
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return compression.Interval(value=mean, low=min(low, mean), high=max(high, mean), count=rows)


def difference(one: Sequence[Any], other: Sequence[Any]) -> compression.Interval:
    """Return by how much `one` is right more often, on the same rows and seeds.

    Of one seed the interval is that of Agresti and Min (2005) for paired rows.
    """
    if len(one) > 1:
        return over_seeds(
            [float(np.mean(a)) - float(np.mean(b)) for a, b in zip(one, other, strict=True)]
        )
    gained = float(np.sum(one[0] & ~other[0])) + 0.5
    lost = float(np.sum(~one[0] & other[0])) + 0.5
    rows = len(one[0]) + 2
    middle = (gained - lost) / rows
    half = _NORMAL * math.sqrt(gained + lost - (gained - lost) ** 2 / rows) / rows
    mean = (gained - lost) / len(one[0])
    low, high = min(middle - half, mean), max(middle + half, mean)
    return compression.Interval(value=mean, low=low, high=high, count=len(one[0]))


def over_seeds(values: Sequence[float]) -> compression.Interval:
    """Return the mean of two values or more with the interval of Student's t."""
    count = len(values)
    mean = float(np.mean(values))
    t = _T[min(count - 1, len(_T)) - 1]
    half = t * float(np.std(values, ddof=1)) / math.sqrt(count)
    return compression.Interval(value=mean, low=mean - half, high=mean + half, count=count)


def basis(seeds: Sequence[int]) -> str:
    """Say what intervals rest on."""
    return f"t over {len(seeds)} seeds" if len(seeds) > 1 else "over rows of one seed"
