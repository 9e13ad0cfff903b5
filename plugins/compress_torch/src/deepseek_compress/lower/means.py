"""Means over a picture's pixels, which exporters write as ReduceMean and kernels know as pooling.

ONNX Runtime has an integer GlobalAveragePool, and no integer ReduceMean.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from deepseek_compress.onnx_graph.graph import GraphIndex, attribute

_PICTURES = 4  # axes of (batch, channels, height, width)


def spatial_means(model: ModelProto) -> frozenset[str]:
    """Names of the nodes that take the mean over height and width; a model with types."""
    index, ranks = GraphIndex.of(model), _ranks(model)
    return frozenset(
        node.name
        for node in model.graph.node
        if node.op_type == "ReduceMean"
        and ranks.get(node.input[0]) == _PICTURES
        and sorted(axis % _PICTURES for axis in _axes(node, index)) == [2, 3]
    )


def as_pooling(node: NodeProto) -> bool:
    """Make a GlobalAveragePool of such a node; whether the two axes are to be dropped behind it."""
    flat = not attribute(node, "keepdims", 1)
    node.op_type = "GlobalAveragePool"
    del node.input[1:]
    del node.attribute[:]
    return flat


def _axes(node: NodeProto, index: GraphIndex) -> list[int]:
    """Axes of the node, an input since opset 18; empty where they are computed or not given."""
    given = attribute(node, "axes", None)
    if given is None and len(node.input) > 1:
        given = index.constant(node.input[1])
    return [] if given is None else [int(axis) for axis in given]


def _ranks(model: ModelProto) -> dict[str, int]:
    graph = model.graph
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
