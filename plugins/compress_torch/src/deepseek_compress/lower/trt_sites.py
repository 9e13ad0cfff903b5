"""Where TensorRT wants a model quantized: both inputs of layers and of residual additions.

Nothing stands between a convolution, its bias and its Relu, so that the three are one kernel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from onnx import NodeProto

from deepseek_compress.lower.candidates import Candidates
from deepseek_compress.onnx_graph.graph import weight_axis
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec
from deepseek_compress.sites import QuantSites


def trt_sites(model: FloatModel, spec: QuantSpec, skip: Collection[str] = ()) -> QuantSites:
    """Places for symmetric int8; `skip` names nodes to leave in float."""
    found = Candidates.of(model, spec, {}, skip)
    edges: dict[str, set[str]] = defaultdict(set)
    weights: dict[str, int] = {}
    biases: dict[str, tuple[str, str, str]] = {}
    constants: dict[str, set[str]] = defaultdict(set)
    for node in model.proto.graph.node:
        if node.name in found.heavy:
            for name in found.data_inputs(node):
                edges[name].add(node.name)
            weight = found.channel_weight(node)
            if weight:
                weights[weight] = weight_axis(node) % len(found.index.constants[weight].dims)
                if len(node.input) > 2 and node.input[2]:
                    biases[node.name] = (node.input[2], node.input[0], weight)
            elif node.input[1] in found.index.constants:
                constants[node.input[1]].add(node.name)
        elif node.name not in skip and _is_residual(node, found, spec):
            for name in node.input:
                edges[name].add(node.name)
    return QuantSites(
        activations={name: frozenset(readers) for name, readers in edges.items()},
        weights=weights,
        biases=biases,
        constants={name: frozenset(readers) for name, readers in constants.items()},
        stays_float=found.stays_float,
    )


def _is_residual(node: NodeProto, found: Candidates, spec: QuantSpec) -> bool:
    """Whether a node adds a convolution's result to another activation."""
    if node.op_type != "Add" or not all(
        n in found.floats and n in spec.activations for n in node.input
    ):
        return False
    makers = [found.index.producers.get(name) for name in node.input]
    return any(
        maker is not None
        and maker.op_type in ("Conv", "ConvTranspose")
        and maker.name in found.heavy
        for maker in makers
    )
