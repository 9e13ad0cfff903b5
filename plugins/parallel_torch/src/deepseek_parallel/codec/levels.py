"""Values in 16 codes: a sign, and one of 8 magnitudes between the smallest and the largest.

The magnitudes are equally far apart in their logarithm, as what is kept of a gradient is a tail. A
value becomes the nearest of them by difference, not by logarithm: so the error is never larger than
the value, however far apart they are, and error feedback can't grow.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepseek_parallel.codec.bits import Counts
from deepseek_parallel.codec.select import Vector

STEPS: Final = 7  # between 8 magnitudes
_LARGEST: Final = 0x7F7F  # the upper half of the largest finite float32


def codes_of(values: Vector, low: float, high: float) -> Counts:
    """The magnitudes' codes, 0 for the smallest; int64 [num]."""
    if low == high:
        return np.zeros(len(values), np.int64)
    made = table(low, high).astype(np.float64)
    borders = (made[:-1] + made[1:]) / 2
    return np.searchsorted(borders, np.abs(values), side="right").astype(np.int64)


def values_of(codes: Counts, is_negative: NDArray[np.bool_], low: float, high: float) -> Vector:
    """The values that codes stand for; float32 [num]."""
    magnitudes = table(low, high)[codes]
    values: Vector = np.where(is_negative, -magnitudes, magnitudes)
    return values


def span_of(values: Vector) -> tuple[float, float]:
    """The smallest magnitude, and the largest as its upper half tells it: up to 1 in 128 larger."""
    if not len(values):
        return 0.0, 0.0
    magnitudes = np.abs(values)
    high = of_upper_half(upper_half(float(magnitudes.max())))
    return min(float(magnitudes.min()), high), high


def upper_half(high: float) -> int:
    """The upper half of a float32 that is no smaller, or else of the largest that is finite."""
    bits = int(np.float32(high).view(np.uint32))
    return min((bits + 0xFFFF) >> 16, _LARGEST)


def of_upper_half(upper: int) -> float:
    """The float32 whose lower half is zero."""
    return float(np.uint32(upper << 16).view(np.float32))


def table(low: float, high: float) -> NDArray[np.float32]:
    """The 8 magnitudes, in float32; the first and the last are the given ones."""
    if not low:
        return np.zeros(STEPS + 1, np.float32)
    logs = np.linspace(np.log(low), np.log(high), STEPS + 1)
    return np.clip(np.exp(logs), low, high).astype(np.float32)


def most_error(low: float, high: float) -> float:
    """How far a magnitude between the two may be from its code."""
    return float(np.diff(table(low, high).astype(np.float64)).max()) / 2
