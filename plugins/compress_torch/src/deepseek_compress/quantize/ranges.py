"""Ranges out of what was observed: min-max, percentile, entropy, least squared error."""

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
_STEP: Final = 16  # bins by which a threshold of the entropy method is moved
_BINS_A_LEVEL: Final = 4  # with fewer, a histogram does not see what rounding costs


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


def entropy(seen: Observer, bits: int) -> TensorRange:
    """The threshold at which the quantized distribution tells most of the true one.

    Least Kullback-Leibler divergence over thresholds of the absolute value (Migacz, "8-bit
    Inference with TensorRT", GTC 2017). There, thresholds begin where a level is one bin wide, so
    that rounding seems free, and most of a Relu's range is cut off; here, they begin later.
    """
    half = BINS // 2
    counts = seen.counts[half:] + seen.counts[:half][::-1]
    counts[0] = 0  # exact zeros of a Relu say nothing about where to cut
    levels = 2**bits if seen.low >= 0 else 2 ** (bits - 1)
    ends = [*range(_BINS_A_LEVEL * levels, half, _STEP), half]
    divergences = [_divergence(counts, end, levels) for end in ends]
    threshold = seen.reach * ends[int(np.argmin(divergences))] / half
    return _within(seen, -threshold, threshold, bits, "entropy")


def _divergence(counts: Array, end: int, levels: int) -> float:
    """Of the counts cut at `end` from their form in `levels` steps."""
    true = counts[:end].astype(np.float64)
    filled = true > 0
    starts = (np.arange(levels) * end) // levels
    sums = np.add.reduceat(true, starts)
    widths = np.add.reduceat(filled.astype(np.float64), starts)
    steps = np.searchsorted(starts, np.arange(end), side="right") - 1
    quantized = np.where(filled, (sums / np.maximum(widths, 1.0))[steps], 0.0)
    true[-1] += counts[end:].sum()
    quantized = np.where(true > 0, np.maximum(quantized, 1e-9 * max(sums.sum(), 1.0)), 0.0)
    p, q = true / max(true.sum(), 1.0), quantized / max(quantized.sum(), 1e-300)
    used = p > 0
    return float((p[used] * np.log(p[used] / q[used])).sum()) if used.any() else 0.0


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
    "entropy": entropy,
    "mse": mse,
}
