"""Ranges out of what was observed: min-max, percentile, least squared error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from deepseek_compress.qspec import Source, TensorRange
from deepseek_compress.quantize.observing import BINS, Observer

Array = np.ndarray[Any, Any]
PERCENT: Final = 99.99
"""Share of values that a percentile's range holds."""
SHARES: Final = tuple(np.linspace(1.0, 0.1, 46).tolist())
"""Parts of a whole range that are tried for the least squared error, the whole one first."""


def minmax(seen: Observer, bits: int) -> TensorRange:
    """All that was seen."""
    return TensorRange(min=seen.low, max=seen.high, bits=bits, source="minmax")


def percentile(seen: Observer, bits: int) -> TensorRange:
    """The middle `PERCENT` of the values, as much cut at either end."""
    share = np.cumsum(seen.counts) / max(int(seen.counts.sum()), 1)
    tail = (1 - PERCENT / 100) / 2
    edges = np.linspace(-seen.reach, seen.reach, BINS + 1)
    low = edges[np.searchsorted(share, tail, side="right")]
    high = edges[min(int(np.searchsorted(share, 1 - tail)) + 1, BINS)]
    return _within(seen, low, high, bits, "percentile")


def mse(seen: Observer, bits: int) -> TensorRange:
    """The share of the whole range that is quantized with the least squared error."""
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    values = (np.arange(BINS) + 0.5) * (2 * seen.reach / BINS) - seen.reach
    found = [
        _squared_error(values, seen.counts, share * low, share * high, bits) for share in SHARES
    ]
    share = SHARES[int(np.argmin(found))]
    return TensorRange(min=share * low, max=share * high, bits=bits, source="mse")


def _squared_error(values: Array, counts: Array, low: float, high: float, bits: int) -> float:
    scale, zero = TensorRange(min=low, max=high, bits=bits).affine()
    steps = np.clip(np.rint(values / scale), -zero, 2**bits - 1 - zero)
    return float((counts * np.square(values - steps * scale)).sum())


def _within(seen: Observer, low: float, high: float, bits: int, source: Source) -> TensorRange:
    """A range no wider than what was seen."""
    low, high = max(float(low), seen.low), min(float(high), seen.high)
    if low > high:  # a histogram without width
        low, high = seen.low, seen.high
    return TensorRange(min=low, max=high, bits=bits, source=source)


METHODS: Final[Mapping[str, Callable[[Observer, int], TensorRange]]] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
}
