"""Values in 4 bits: a sign, and one of 8 magnitudes between the smallest and the largest.

The magnitudes are equally far apart in their logarithm, as what is kept of a gradient is a tail. A
value becomes the nearest of them by difference, not by logarithm: so the error is never larger than
the value, however far apart they are, and error feedback can't grow.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepseek_parallel.codec.gaps import Octets
from deepseek_parallel.codec.select import Vector

STEPS: Final = 7  # between 8 magnitudes
_SIGN: Final = 8


def nbytes_of(num: int) -> int:
    """Bytes of so many values."""
    return (num + 1) // 2


def encode(values: Vector) -> tuple[bytes, float, float]:
    """Their bytes, and the smallest and the largest magnitude; none of the values is zero."""
    if not len(values):
        return b"", 0.0, 0.0
    magnitudes = np.abs(values)
    low, high = float(magnitudes.min()), float(magnitudes.max())
    made = table(low, high).astype(np.float64)
    codes = np.searchsorted((made[:-1] + made[1:]) / 2, magnitudes, side="right").astype(np.uint8)
    codes |= np.where(values < 0, np.uint8(_SIGN), np.uint8(0))
    pairs = np.zeros(2 * nbytes_of(len(codes)), np.uint8)
    pairs[: len(codes)] = codes
    return ((pairs[::2] << 4) | pairs[1::2]).astype(np.uint8).tobytes(), low, high


def decode(data: bytes | memoryview, num: int, low: float, high: float) -> Vector:
    """The values that the bytes stand for; float32 [num]."""
    octets: Octets = np.frombuffer(data, np.uint8)
    codes = np.empty(2 * len(octets), np.uint8)
    codes[::2], codes[1::2] = octets >> 4, octets & 15
    signed = np.concatenate([table(low, high), -table(low, high)])
    values: Vector = signed[codes[:num]]
    return values


def table(low: float, high: float) -> NDArray[np.float32]:
    """The 8 magnitudes, in float32; the first and the last are the given ones."""
    if not low:
        return np.zeros(STEPS + 1, np.float32)
    logs = np.linspace(np.log(low), np.log(high), STEPS + 1)
    return np.clip(np.exp(logs), low, high).astype(np.float32)


def most_error(low: float, high: float) -> float:
    """How far a magnitude between the two may be from its code."""
    return float(np.diff(table(low, high).astype(np.float64)).max()) / 2
