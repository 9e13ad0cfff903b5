"""Scales of weights: a channel's largest value is the largest integer, or squares are least."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np

from deepseek_compress.onnx_graph.graph import HEAVY, GraphIndex, weight_axis
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import WeightScales

Array = np.ndarray[Any, Any]
WeightMethod = Literal["minmax", "mse"]
_SHARES: Final = np.linspace(1.0, 0.1, 46)
"""Parts of a channel's largest value that are tried for the least squared error."""


def weight_scales(
    model: FloatModel, bits: int = 8, method: WeightMethod = "minmax"
) -> dict[str, WeightScales]:
    """Scales of each constant weight of a convolution, Gemm or MatMul, by the weight's name."""
    index = GraphIndex.of(model.proto)
    floats = set(model.float_tensors())
    found: dict[str, WeightScales] = {}
    for node in model.proto.graph.node:
        if node.op_type not in HEAVY or node.input[0] not in floats:
            continue
        values = index.constant(node.input[1])
        if values is None or values.dtype != np.float32 or values.ndim < 2 or not values.size:
            continue
        if node.op_type != "MatMul" or values.ndim == 2:
            axis = weight_axis(node) % values.ndim
            found[node.input[1]] = scales_of(values, axis, bits, method)
    return found


def scales_of(values: Array, axis: int, bits: int, method: WeightMethod) -> WeightScales:
    """Scales of one weight along an axis."""
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    levels = 2 ** (bits - 1) - 1
    scales = np.abs(rows).max(axis=1) / np.float32(levels)
    if method == "mse":
        scales = scales * _best_shares(rows, scales, levels)
    return WeightScales(scales=scales, axis=axis, bits=bits, source=method)


def _best_shares(rows: Array, scales: Array, levels: int) -> Array:
    """For each row, find the part of its scale with the least squared error."""
    whole = np.where(scales > 0, scales, 1.0)[:, None]
    found = []
    for share in _SHARES:
        part = whole * share
        steps = np.clip(np.rint(rows / part), -levels, levels)
        found.append(np.square(rows - steps * part).sum(axis=1))
    return np.asarray(_SHARES[np.argmin(found, axis=0)], np.float32)
