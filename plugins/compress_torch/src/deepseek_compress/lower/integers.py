"""Integers of weights and biases, in scales that runtimes take."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import NodeProto

from deepseek_compress.onnx_graph.graph import attribute
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


def weight_integers(values: Array, scales: Array, kept: WeightScales) -> Array:
    """int8 of a weight: rounded half to even or with its sums kept, within -levels to levels."""
    shape = [1] * values.ndim
    shape[kept.axis] = -1
    scaled = values.astype(np.float32) / scales.reshape(shape)
    if kept.rounding == "sum":
        by_channel = np.moveaxis(scaled, kept.axis, 0)
        steps = np.moveaxis(_with_sums(by_channel), 0, kept.axis)
    else:
        steps = np.rint(scaled)
    return np.clip(steps, -kept.levels, kept.levels).astype(np.int8)


def _with_sums(scaled: Array) -> Array:
    """Whole numbers near the values [C, ...] whose sum over each channel is near, too.

    Where inputs are alike an output is the sum of the weights times them, and filters of edges
    have large weights that cancel: plain rounding leaves several steps of sum.
    """
    flat = scaled.reshape(len(scaled), -1).astype(np.float64)
    steps = np.rint(flat)
    rest = flat - steps
    excess = np.rint(rest.sum(axis=1, keepdims=True))
    # Move those that were nearest to the other side, as many as the sum is off.
    rank = np.argsort(np.argsort(-rest * np.sign(excess), axis=1, kind="stable"), axis=1)
    steps += np.where(rank < np.abs(excess), np.sign(excess), 0)
    return np.asarray(steps.reshape(scaled.shape))


def bias_shift(node: NodeProto, lost: Array, means: Array) -> Array:
    """What a Conv or Gemm loses in the mean of each output: its weight's loss times its input.

    `lost`: the weight less what its integers say; `means` of the input's channels. Borders that
    are padded with zeros count like the rest. Nagel et al. 2019 (1906.04721), section 4.2.
    """
    if node.op_type == "Gemm":
        return np.asarray((lost if attribute(node, "transB", 0) else lost.T) @ means)
    groups = attribute(node, "group", 1)
    by_input = lost.reshape(groups, -1, lost.shape[1], lost[0, 0].size).sum(axis=3)
    return np.asarray(np.einsum("goi,gi->go", by_input, means.reshape(groups, -1)).reshape(-1))


def bias_integers(values: Array, scales: Array) -> Array:
    """int32 of a bias, in the scale of the products that it is added to."""
    scaled = np.rint(values.astype(np.float64) / scales.astype(np.float64))
    return np.clip(scaled, -_INT32_MAX, _INT32_MAX).astype(np.int32)
