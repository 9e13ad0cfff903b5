"""Where ONNX Runtime's x86 kernels want a model quantized.

Every convolution's input and output, and islands between them: an addition, a product, a
concatenation or a pooling runs in integer if what it reads is quantized and a convolution needs
what it gives. What leads nowhere (a residual stream into a LayerNorm, the logits) stays float.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Final

import attrs
from onnx import NodeProto

from deepseek_compress.lower.candidates import Candidates
from deepseek_compress.lower.means import spatial_means
from deepseek_compress.onnx_graph.graph import attribute, weight_axis
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec
from deepseek_compress.sites import QuantSites

UNFIT: Final = {"ConvTranspose": "ONNX Runtime has no integer ConvTranspose"}
FOLLOWERS: Final = frozenset({
    "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid",
})  # fmt: skip
HAND_THROUGH: Final = frozenset({
    "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Resize", "Slice",
    "Expand", "DepthToSpace", "SpaceToDepth", "Gather",
})  # fmt: skip

_MOST_RATIO: Final = 256.0
"""Scales of what is averaged over that of the mean: beyond, QLinearGlobalAveragePool fails as it
runs. It is the ratio for one pixel; for more of them more would do."""


def ort_sites(model: FloatModel, spec: QuantSpec, skip: Collection[str] = ()) -> QuantSites:
    """Places for uint8 activations and int8 weights; `skip` names nodes to leave in float."""
    found = Candidates.of(model, spec, UNFIT, skip)
    means = spatial_means(model.proto)
    walk = _Walk(found, spec, frozenset(skip), means, _wanted(model, found, skip, means))
    for node in model.proto.graph.node:
        walk.visit(node)
    return QuantSites(
        activations=dict.fromkeys(walk.activations),
        ranges_of=walk.ranges_of,
        absorbed=walk.absorbed,
        weights=walk.weights,
        biases=walk.biases,
        constants={name: frozenset(readers) for name, readers in walk.constants.items()},
        pooled=frozenset(walk.pooled),
        stays_float=found.stays_float,
    )


def _wanted(
    model: FloatModel, found: Candidates, skip: Collection[str], means: Collection[str]
) -> frozenset[str]:
    """Tensors that a quantized heavy node reads, directly or through what runs in integer."""
    wanted: set[str] = set()
    passing = FOLLOWERS | HAND_THROUGH | {"Relu", "Clip"}
    for node in reversed(model.proto.graph.node):
        if node.name in found.heavy:
            wanted.update(found.data_inputs(node))
        elif node.name in skip or node.output[0] not in wanted:
            continue
        elif node.op_type in passing or node.name in means:
            wanted.update(name for name in _data(node) if name in found.floats)
    return frozenset(wanted)


def _data(node: NodeProto) -> list[str]:
    """Inputs that carry values, not shapes or indices."""
    single = node.op_type in HAND_THROUGH or node.op_type == "ReduceMean"
    return list(node.input[:1] if single else node.input)


@attrs.define(eq=False)
class _Walk:
    """One pass over the nodes, in order.

    `found` and `wanted` say what may and what should be quantized, `means` which nodes a pooling
    can stand for; the rest is what was decided.
    """

    found: Candidates
    spec: QuantSpec
    skip: frozenset[str]
    means: frozenset[str]
    wanted: frozenset[str]
    activations: dict[str, None] = attrs.field(factory=dict)
    ranges_of: dict[str, str] = attrs.field(factory=dict)
    absorbed: dict[str, tuple[float, float]] = attrs.field(factory=dict)
    weights: dict[str, int] = attrs.field(factory=dict)
    biases: dict[str, tuple[str, str, str]] = attrs.field(factory=dict)
    constants: dict[str, set[str]] = attrs.field(factory=lambda: defaultdict(set))
    pooled: set[str] = attrs.field(factory=set)

    def visit(self, node: NodeProto) -> None:
        """Decide about a node and the tensors around it."""
        if node.name in self.found.heavy:
            self._heavy(node)
        elif node.name in self.skip:
            return
        elif node.op_type in HAND_THROUGH:
            self._hand_through(node)
        elif node.op_type in FOLLOWERS or node.name in self.means:
            self._follower(node)

    def _heavy(self, node: NodeProto) -> None:
        self.activations.update(dict.fromkeys(self.found.data_inputs(node)))
        weight = self.found.channel_weight(node)
        if weight:
            tensor = self.found.index.constants[weight]
            self.weights[weight] = weight_axis(node) % len(tensor.dims)
        elif node.input[1] in self.found.index.constants:
            self.constants[node.input[1]].add(node.name)
        if len(node.input) > 2 and node.input[2]:
            self.biases[node.name] = (node.input[2], node.input[0], weight)
        if node.op_type == "Conv" or self._end(node)[0] in self.wanted:
            self._add_end(node)

    def _follower(self, node: NodeProto) -> None:
        data = _data(node)
        computed = [name for name in data if name not in self.found.index.constants]
        known = all(n in self.found.floats for n in data) and all(
            name in self.spec.activations for name in (*computed, self._end(node)[0])
        )
        island = any(self._is_quantized(name) for name in computed)
        if known and island and self._end(node)[0] in self.wanted and self._runs(node):
            self.activations.update(dict.fromkeys(computed))
            for name in set(data) - set(computed):
                self.constants[name].add(node.name)
            if node.name in self.means:
                self.pooled.add(node.name)
            self._add_end(node)

    def _runs(self, node: NodeProto) -> bool:
        """Whether ONNX Runtime multiplies by what lies between the scales of a pooling."""
        if node.op_type != "GlobalAveragePool" and node.name not in self.means:
            return True
        given, made = (self.spec.activations[name] for name in (node.input[0], self._end(node)[0]))
        return bool(given.affine()[0] < _MOST_RATIO * made.affine()[0])

    def _is_quantized(self, name: str) -> bool:
        """Whether a tensor is quantized whatever else is decided."""
        heavy = self.found.heavy
        return name in self.activations or any(
            reader.name in heavy for reader in self.found.index.readers.get(name, [])
        )

    def _hand_through(self, node: NodeProto) -> None:
        data, out = node.input[0], node.output[0]
        overshoots = node.op_type == "Resize" and attribute(node, "mode", b"nearest") == b"cubic"
        if data in self.activations and out in self.wanted and not overshoots:
            self.activations[out] = None
            self.ranges_of[out] = data

    def _end(self, node: NodeProto) -> tuple[str, NodeProto | None]:
        """Where a node's result is quantized: behind a Relu or Clip that alone reads it."""
        out = node.output[0]
        reader = self.found.index.only_reader(out)
        if reader is None or self.found.bounds(reader) is None:
            return out, None
        return reader.output[0], reader

    def _add_end(self, node: NodeProto) -> None:
        end, activation = self._end(node)
        if end not in self.spec.activations:
            end, activation = node.output[0], None
        if end in self.spec.activations:
            self.activations[end] = None
            if activation is not None:
                self.absorbed[activation.name] = self.found.bounds(activation) or (0.0, 0.0)
