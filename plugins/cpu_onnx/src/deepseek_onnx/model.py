"""An ONNX file as a tidy model: data at hand, constants as initializers, nodes in order."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import attrs
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from deepseek_core import Artifact, errors
from deepseek_onnx.attributes import captured_names, subgraphs
from deepseek_onnx.protobuf import EXPORT_AGAIN, read_model, where

_SCALARS: Final = {
    "value_float": ("float32", "f"),
    "value_floats": ("float32", "floats"),
    "value_int": ("int64", "i"),
    "value_ints": ("int64", "ints"),
    "value_string": ("object", "s"),
    "value_strings": ("object", "strings"),
}


@attrs.frozen(eq=False)
class Model:
    """A loaded model.

    `nodes` are sorted and all needed for an output; none is a Constant. `initializers` are never
    inputs. `functions` maps (domain, name) to the body of a model-local function.
    """

    proto: ModelProto
    nodes: tuple[NodeProto, ...]
    initializers: dict[str, TensorProto]
    functions: dict[tuple[str, str], FunctionProto]

    @property
    def graph(self) -> GraphProto:
        """The graph; its inputs are only those that a caller must give."""
        return self.proto.graph

    @property
    def opsets(self) -> dict[str, int]:
        """Domain -> version, the standard domain being empty."""
        return {_domain(opset.domain): opset.version for opset in self.proto.opset_import}

    def function(self, node: NodeProto) -> FunctionProto | None:
        """The body of a node's model-local function, None for an ordinary operator."""
        return self.functions.get((_domain(node.domain), node.op_type))


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def load(artifact: Artifact) -> Model:
    """Read a model and the data files beside it.

    Raises:
        ArtifactError: missing, truncated, no ONNX model, or one that contradicts itself.
    """
    proto, named = read_model(artifact), where(artifact)
    initializers = _take_initializers(proto.graph)
    nodes = _take_constants(proto.graph, initializers)
    ordered = _needed(_in_order(nodes, _given(proto.graph, initializers), named), proto.graph)
    _make_outputs(proto.graph, initializers, ordered, named)
    functions = {(_domain(f.domain), f.name): f for f in proto.functions}
    return Model(proto, tuple(ordered), initializers, functions)


def _take_initializers(graph: GraphProto) -> dict[str, TensorProto]:
    """Initializers by name; those listed as inputs (IR version 3) are no inputs afterward."""
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    sparse = {tensor.values.name for tensor in graph.sparse_initializer}
    given = [v for v in graph.input if v.name not in initializers and v.name not in sparse]
    del graph.input[:]
    graph.input.extend(given)
    return initializers


def _take_constants(graph: GraphProto, initializers: dict[str, TensorProto]) -> list[NodeProto]:
    """Constant nodes become initializers; the other nodes come back."""
    nodes: list[NodeProto] = []
    for node in graph.node:
        tensor = _constant(node) if node.op_type == "Constant" and not node.domain else None
        if tensor is None:
            nodes.append(node)
        else:
            initializers[tensor.name] = tensor
    return nodes


def _constant(node: NodeProto) -> TensorProto | None:
    """The value of a Constant node; None for a sparse one, which stays a node."""
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor = TensorProto()
        tensor.CopyFrom(attribute.t)
        tensor.name = node.output[0]
        return tensor
    if attribute.name not in _SCALARS:
        return None
    dtype, field = _SCALARS[attribute.name]
    value = getattr(attribute, field)
    array: NDArray[Any] = np.array(
        list(value) if field.endswith("s") and field != "s" else value, dtype=dtype
    )
    return numpy_helper.from_array(array, node.output[0])


def reads(node: NodeProto) -> list[str]:
    """Every value a node needs: its inputs, then what its subgraphs take from around it."""
    named = [name for name in node.input if name]
    return list(dict.fromkeys([*named, *sorted(captured_names(subgraphs(node)))]))


def _given(graph: GraphProto, initializers: Iterable[str]) -> set[str]:
    sparse = {tensor.values.name for tensor in graph.sparse_initializer}
    return {value.name for value in graph.input} | set(initializers) | sparse


def _in_order(nodes: list[NodeProto], known: set[str], named: str) -> list[NodeProto]:
    """Nodes such that each comes after what it reads, otherwise as they stand in the file."""
    missing = [{name for name in reads(node) if name not in known} for node in nodes]
    readers: dict[str, list[int]] = defaultdict(list)
    for i, names in enumerate(missing):
        for name in names:
            readers[name].append(i)
    ready = [i for i, names in enumerate(missing) if not names]
    ordered: list[NodeProto] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        ordered.append(node)
        for name in node.output:
            for reader in readers.pop(name, ()):
                missing[reader].discard(name)
                if not missing[reader]:
                    heapq.heappush(ready, reader)
    if len(ordered) < len(nodes):
        raise errors.ArtifactError(
            f"{named}: no node makes {_first_missing(nodes, missing)}", remedy=EXPORT_AGAIN
        )
    return ordered


def _first_missing(nodes: list[NodeProto], missing: list[set[str]]) -> str:
    """What to blame: a value that nothing makes, or else a cycle."""
    made = {name for node in nodes for name in node.output}
    for node, names in zip(nodes, missing, strict=True):
        for name in sorted(names - made):
            return f"{name!r}, which {node.op_type} {node.name!r} reads"
    return f"{min(set().union(*missing))!r} without a cycle"


def _needed(nodes: list[NodeProto], graph: GraphProto) -> list[NodeProto]:
    """The nodes that an output of the graph depends on."""
    wanted = {value.name for value in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(reads(node))
    return kept[::-1]


def _make_outputs(
    graph: GraphProto, initializers: dict[str, TensorProto], nodes: list[NodeProto], named: str
) -> None:
    """See that a node makes each output: a constant one gets an Identity."""
    made = {name for node in nodes for name in node.output}
    for name in (value.name for value in graph.output if value.name not in made):
        if name not in initializers:
            raise errors.ArtifactError(
                f"{named}: no node makes the output {name!r}",
                remedy="export it with an Identity node before that output",
            )
        inner = f"{name}/constant"
        tensor = TensorProto()
        tensor.CopyFrom(initializers[name])
        tensor.name = inner
        initializers[inner] = tensor
        nodes.append(onnx.helper.make_node("Identity", [inner], [name], name=f"{name}/copy"))
