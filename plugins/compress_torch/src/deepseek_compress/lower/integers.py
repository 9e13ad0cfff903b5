"""Integers of weights and biases, in scales that runtimes take."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from deepseek_compress.qspec import WeightScales

Array = np.ndarray[Any, Any]
_INT32_MAX: Final = 2**31 - 1
_SMALLEST: Final = 1e-35
"""A product of two scales below this would be no normal float32."""


def usable_scales(kept: WeightScales, biases: list[tuple[Array, np.float32]]) -> Array:
    """The spec's scales, but for channels that no runtime could compute with them.

    A channel of zeros gets the largest scale of the others. Where a bias would leave int32 in
    the scale of its products, the channel's scale grows until it fits.
    """
    scales = np.asarray(kept.scales, np.float32)
    scales = np.where(scales > 0, scales, scales.max() if scales.max() > 0 else np.float32(1.0))
    for bias, data_scale in biases:
        if bias.size == scales.size:
            needed = np.abs(bias.astype(np.float64)) / (np.float64(data_scale) * _INT32_MAX * 0.99)
            scales = np.maximum(scales, needed)
        scales = np.maximum(scales, _SMALLEST / float(data_scale))
    return np.maximum(scales, np.finfo(np.float32).tiny).astype(np.float32)


def weight_integers(values: Array, scales: Array, axis: int, levels: int) -> Array:
    """int8 of a weight: rounded half to even, within -levels to levels."""
    shape = [1] * values.ndim
    shape[axis] = -1
    scaled = np.rint(values.astype(np.float32) / scales.reshape(shape))
    return np.clip(scaled, -levels, levels).astype(np.int8)


def bias_integers(values: Array, scales: Array) -> Array:
    """int32 of a bias, in the scale of the products that it is added to."""
    scaled = np.rint(values.astype(np.float64) / scales.astype(np.float64))
    return np.clip(scaled, -_INT32_MAX, _INT32_MAX).astype(np.int32)
