"""The graph of an ONNX model, indexed by tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import attrs
import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper, numpy_helper

HEAVY: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that multiply and accumulate; what quantization is for."""


@attrs.frozen(eq=False)
class GraphIndex:
    """Index of the node that makes and the nodes that read each tensor, until the graph changes."""

    producers: dict[str, NodeProto]
    readers: dict[str, list[NodeProto]]  # a node that reads a tensor twice is there twice
    constants: dict[str, Any]  # TensorProto
    inputs: frozenset[str]
    outputs: frozenset[str]

    @classmethod
    def of(cls, model: ModelProto) -> GraphIndex:
        """The index of a model's main graph; what inner graphs read counts as their node's."""
        readers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in (*node.input, *_captured(node)):
                readers[name].append(node)
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        return cls(
            producers={name: node for node in model.graph.node for name in node.output if name},
            readers=readers,
            constants=constants,
            inputs=frozenset(v.name for v in model.graph.input) - set(constants),
            outputs=frozenset(v.name for v in model.graph.output),
        )

    def constant(self, name: str) -> np.ndarray[Any, Any] | None:
        """The values of an initializer; None if the tensor is computed."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def only_reader(self, name: str) -> NodeProto | None:
        """The one node that reads a tensor which is not an output of the model."""
        found = self.readers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None


@attrs.frozen(eq=False)
class Names:
    """Names that a model uses, of tensors and of nodes, so that what is added has others."""

    taken: set[str]

    @classmethod
    def of(cls, model: ModelProto) -> Names:
        """Collect the names of a graph and of the graphs inside it."""
        return cls(set(_names(model.graph)))

    def fresh(self, wanted: str) -> str:
        """This name, or with a number behind it if it is taken; taken from now on."""
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name


def _names(graph: GraphProto) -> Iterator[str]:
    for named in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        yield named.name
    for tensor in graph.sparse_initializer:
        yield tensor.values.name
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
        for inner in inner_graphs(node):
            yield from _names(inner)


def _captured(node: NodeProto) -> Iterator[str]:
    """Names that inner graphs read from outside (too many rather than too few)."""
    for graph in inner_graphs(node):
        for inner in graph.node:
            yield from inner.input
            yield from _captured(inner)
        yield from (value.name for value in graph.output)


def inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """Bodies of `If`, `Loop` and `Scan`."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute."""
    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def opset(model: ModelProto) -> int:
    """Version of the standard operators that a model is written in."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def weight_axis(node: NodeProto) -> int:
    """The axis of a heavy node's second input that counts its output channels."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else -1
