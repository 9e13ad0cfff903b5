"""What ONNX Runtime's basic optimization leaves: normalization behind ConvTranspose and Gemm.

BatchNorm in inference is y = (x - mean) / sqrt(var + eps) * gamma + beta, which a weight and a
bias take in: w' = w * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from deepseek_compress.onnx_graph.graph import HEAVY, GraphIndex, Names, attribute, weight_axis

Array = np.ndarray[Any, Any]


def fold_normalization(model: ModelProto) -> None:
    """Fold each BatchNormalization into the one ConvTranspose, Conv or Gemm before it."""
    for norm in [n for n in model.graph.node if n.op_type == "BatchNormalization"]:
        index = GraphIndex.of(model)
        layer = index.producers.get(norm.input[0])
        if layer is None or layer.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        if index.only_reader(norm.input[0]) is norm and _is_plain(layer, index):
            _fold(model, layer, norm, index)


def _is_plain(layer: NodeProto, index: GraphIndex) -> bool:
    """Whether weight and bias are constants that nothing else reads."""
    if any(attribute(layer, name, 1.0) != 1.0 for name in ("alpha", "beta")):
        return False
    constants = [name for name in layer.input[1:] if name]
    return all(name in index.constants and len(index.readers[name]) == 1 for name in constants)


def _fold(model: ModelProto, layer: NodeProto, norm: NodeProto, index: GraphIndex) -> None:
    found = [index.constant(name) for name in norm.input[1:]]
    if any(value is None for value in found):
        return
    gamma, beta, mean, variance = (np.asarray(v, np.float64) for v in found)
    factor = gamma / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    weight = np.asarray(index.constant(layer.input[1]))
    old_bias = index.constant(layer.input[2]) if len(layer.input) > 2 and layer.input[2] else 0.0
    bias = (np.asarray(old_bias, np.float64) - mean) * factor + beta
    scaled = weight * _along(factor, weight, layer)
    stem, names = norm.output[0], Names.of(model)
    of_weight, of_bias = (names.fresh(f"{stem}_folded_{part}") for part in ("weight", "bias"))
    model.graph.initializer.extend([
        numpy_helper.from_array(scaled.astype(weight.dtype), of_weight),
        numpy_helper.from_array(bias.astype(weight.dtype), of_bias),
    ])  # fmt: skip
    layer.input[:] = [layer.input[0], of_weight, of_bias]
    layer.output[0] = stem
    model.graph.node.remove(norm)


def _along(factor: Array, weight: Array, layer: NodeProto) -> Array:
    """The factor of each output channel, shaped to multiply the weight."""
    if layer.op_type == "ConvTranspose":  # (in, out / groups, ...): inputs of a group are together
        groups = attribute(layer, "group", 1)
        rows = np.repeat(factor.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        return rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))
    shape = [1] * weight.ndim
    shape[weight_axis(layer)] = -1
    return factor.reshape(shape)


def fold_casts(model: ModelProto) -> int:
    """Make constants that are only converted to float32 float32 themselves; how many there were.

    ONNX Runtime computes half precision so on CPUs, and leaves the conversions in the graph.
    """
    index, folded = GraphIndex.of(model), 0
    for node in list(model.graph.node):
        if node.op_type != "Cast" or attribute(node, "to", 0) != TensorProto.FLOAT:
            continue
        value = index.constant(node.input[0])
        if value is None or node.output[0] in index.outputs:
            continue
        made = numpy_helper.from_array(value.astype(np.float32), node.output[0])
        model.graph.initializer.append(made)
        model.graph.node.remove(node)
        folded += 1
    return folded


def own_weights(model: ModelProto) -> None:
    """Give nodes that read one weight along different axes a weight each."""
    index, names = GraphIndex.of(model), Names.of(model)
    axes: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type not in HEAVY or len(node.input) < 2 or node.input[1] not in index.constants:
            continue
        name, tensor = node.input[1], index.constants[node.input[1]]
        axis = weight_axis(node) % len(tensor.dims) if tensor.dims else 0
        others = [n for n in index.readers[name] if n.op_type not in HEAVY or n.input[1] != name]
        if axes.setdefault(name, axis) == axis and not others:
            continue
        copied = model.graph.initializer.add()
        copied.CopyFrom(tensor)
        copied.name = names.fresh(f"{name}_of_{node.output[0]}")
        node.input[1] = copied.name
