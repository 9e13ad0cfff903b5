"""Scales of weights: the largest absolute value of each output channel is the largest integer."""

from __future__ import annotations

import numpy as np

from deepseek_compress.onnx_graph.graph import HEAVY, GraphIndex, weight_axis
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import WeightScales


def weight_scales(model: FloatModel, bits: int = 8) -> dict[str, WeightScales]:
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
            found[node.input[1]] = scales_of(values, axis, bits)
    return found


def scales_of(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], axis: int, bits: int
) -> WeightScales:
    """Scales of one weight along an axis."""
    others = tuple(a for a in range(values.ndim) if a != axis)
    largest = np.abs(values).max(axis=others)
    return WeightScales(scales=largest / np.float32(2 ** (bits - 1) - 1), axis=axis, bits=bits)
