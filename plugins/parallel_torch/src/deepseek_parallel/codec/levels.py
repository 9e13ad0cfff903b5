"""Values in 4 bits: a sign, and one of 8 magnitudes between the smallest and the largest.

The magnitudes are equally far apart in their logarithm, as what is kept of a gradient is a tail.
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
    span = np.log(high) - np.log(low)
    codes = np.zeros(len(values), np.uint8)
    if span > 0:
        logs = np.log(magnitudes.astype(np.float64)) - np.log(low)
        codes = np.rint(logs * (STEPS / span)).astype(np.uint8)
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
    made = table(low, high).astype(np.float64)
    middle = np.sqrt(made[:-1] * made[1:])
    return float(np.maximum(middle - made[:-1], made[1:] - middle).max()) * (1 + 1e-5)
