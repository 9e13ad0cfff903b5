"""Multiply-accumulates of a model's heavy nodes, from the shapes that a run really has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto

from deepseek_compress.onnx_graph.feeding import Fed, Feeder, as_samples
from deepseek_compress.onnx_graph.graph import HEAVY, GraphIndex, attribute
from deepseek_compress.onnx_graph.running import open_session, with_outputs

Shapes = dict[str, tuple[int, ...]]


def macs_by_node(model: ModelProto, samples: Any) -> dict[str, int]:
    """Multiply-accumulates of each heavy node, for the first call of the samples.

    Raises:
        BadCalibration: samples do not fit the model.
    """
    nodes = [node for node in model.graph.node if node.op_type in HEAVY]
    index = GraphIndex.of(model)
    shapes = {name: tuple(tensor.dims) for name, tensor in index.constants.items()}
    shapes |= _run_shapes(model, nodes, shapes, samples)
    return {node.name: macs(node, shapes) for node in nodes}


def _run_shapes(
    model: ModelProto, nodes: list[NodeProto], known: Shapes, samples: Any
) -> dict[str, tuple[int, ...]]:
    """Shapes of what these nodes read and write."""
    fed = first_call(model, samples)
    names = {name for node in nodes for name in (*node.input[:2], *node.output)} - known.keys()
    asked = sorted(names - fed.inputs.keys())
    if not asked:
        return {name: array.shape for name, array in fed.inputs.items()}
    session = open_session(with_outputs(model, asked), level="BASIC")
    found = session.run(asked, dict(fed.inputs))
    given = {name: array.shape for name, array in fed.inputs.items()}
    return given | {name: array.shape for name, array in zip(asked, found, strict=True)}


def first_call(model: ModelProto, samples: Any) -> Fed:
    """The first sample, as the model takes it; made up of random numbers if None is given."""
    if samples is None:
        rng = np.random.default_rng(0)
        inputs = {
            i.name: rng.random([dim or 1 for dim in i.shape]).astype(i.dtype)
            for i in Feeder.of(model).inputs
        }
        return Fed(inputs=inputs, first=0, count=1)
    return next(Feeder.of(model).calls(as_samples(samples, model), 1))


def macs(node: NodeProto, shapes: Shapes) -> int:
    """Multiply-accumulates of a heavy node."""
    data, weight, out = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(data) * math.prod(weight[1:])
    if node.op_type == "Gemm":
        return math.prod(out) * data[0 if attribute(node, "transA", 0) else 1]
    return math.prod(out) * data[-1]
