"""Heavy nodes that can run in integer, and why others can't."""

from __future__ import annotations

import math
from collections.abc import Collection

import attrs
from onnx import NodeProto, TensorProto

from deepseek_compress.onnx_graph.graph import HEAVY, GraphIndex, attribute, weight_axis
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec

REQUESTED = "left in float as asked"


@attrs.frozen(eq=False)
class Candidates:
    """A model's index, which of its tensors are float32, and its heavy nodes."""

    index: GraphIndex
    floats: frozenset[str]
    heavy: dict[str, NodeProto]  # those that can be quantized, by name
    stays_float: dict[str, str]  # the others, with the reason

    @classmethod
    def of(
        cls, model: FloatModel, spec: QuantSpec, unfit: dict[str, str], skip: Collection[str]
    ) -> Candidates:
        """Sort out heavy nodes; `unfit` are operators that the runtime has not in integer."""
        index = GraphIndex.of(model.proto)
        floats = frozenset(model.float_tensors()) | {
            name for name, c in index.constants.items() if c.data_type == TensorProto.FLOAT
        }
        found = cls(index, floats, {}, {})
        for node in (n for n in model.proto.graph.node if n.op_type in HEAVY):
            reason = REQUESTED if node.name in skip else unfit.get(node.op_type, "")
            reason = reason or found.objection(node, spec)
            if reason:
                found.stays_float[node.name] = reason
            else:
                found.heavy[node.name] = node
        return found

    def objection(self, node: NodeProto, spec: QuantSpec) -> str:
        """Why a heavy node can't be quantized; empty if it can."""
        data, weight = node.input[:2]
        if data not in self.floats or weight not in self.floats:
            return "it does not compute in float32"
        if data in self.index.constants:
            return "its input is a constant"
        if node.op_type == "Gemm" and not _plain_gemm(node):
            return "a Gemm with transA, alpha or beta"
        return self._unfit_weight(node) or self._without_range(node, spec)

    def _unfit_weight(self, node: NodeProto) -> str:
        constants, weight = self.index.constants, node.input[1]
        if node.op_type != "MatMul":
            if weight not in constants:
                return "its weight is computed"
            if len(node.input) > 2 and node.input[2] and node.input[2] not in constants:
                return "its bias is computed"
        if weight in constants and not math.prod(constants[weight].dims):
            return "its weight is empty"
        return ""

    def _without_range(self, node: NodeProto, spec: QuantSpec) -> str:
        for name in self.data_inputs(node):
            if name not in spec.activations:
                return f"the spec has no range of {name!r}"
        weight = self.channel_weight(node)
        if weight and weight not in spec.weights:
            return f"the spec has no scales of {weight!r}"
        if weight:
            dims, kept = self.index.constants[weight].dims, spec.weights[weight]
            axis = weight_axis(node) % len(dims)
            if kept.axis != axis or len(kept.scales) != dims[axis]:
                return f"the scales of {weight!r} in the spec do not fit it"
        return ""

    def data_inputs(self, node: NodeProto) -> list[str]:
        """Tensors that a heavy node multiplies and that are computed."""
        return [name for name in node.input[:2] if name not in self.index.constants]

    def channel_weight(self, node: NodeProto) -> str:
        """The weight that has scales per channel; empty for the product of two activations."""
        tensor = self.index.constants.get(node.input[1])
        if tensor is None or (node.op_type == "MatMul" and len(tensor.dims) != 2):
            return ""
        return str(node.input[1])

    def bounds(self, node: NodeProto) -> tuple[float, float] | None:
        """What a Relu or Clip saturates to, where that range holds 0; else None."""
        if node.op_type == "Relu":
            return 0.0, math.inf
        if node.op_type != "Clip":
            return None
        low = self._bound(node, 1, -math.inf)
        high = self._bound(node, 2, math.inf)
        return (low, high) if low is not None and high is not None and low <= 0 <= high else None

    def _bound(self, node: NodeProto, at: int, default: float) -> float | None:
        if len(node.input) <= at or not node.input[at]:
            return default
        value = self.index.constant(node.input[at])
        return None if value is None else float(value.reshape(-1)[0])


def _plain_gemm(node: NodeProto) -> bool:
    ones = all(attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))
    return ones and not attribute(node, "transA", 0)
