"""What a rule asks of a model: its nodes, and what is known of their inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
    shape_inference,
)

from deepseek_trt.model.scope import Dim, Scope

_LEFT_OUT_NBYTES: Final = 1 << 12
_SHAPES: Final = ("Shape", "Size")


@attrs.frozen(eq=False)
class Node:
    """A node with what is known of its inputs."""

    proto: NodeProto
    scope: Scope
    opset: int
    inner: dict[str, Scope] = attrs.field(factory=dict)

    @property
    def operator(self) -> str:
        """`Conv`, or `com.microsoft.FusedConv` of another domain."""
        domain = self.proto.domain
        return f"{domain}.{self.proto.op_type}" if is_foreign(domain) else self.proto.op_type

    @property
    def name(self) -> str:
        """Name of the node, or the one that TensorRT gives it."""
        return name_of(self.proto)

    @property
    def outputs(self) -> list[str]:
        """Outputs that are wanted: an empty name leaves one out."""
        return [name for name in self.proto.output if name]

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; texts as such.

        One that is not of the type of the default, as in damaged files, counts as left out.
        """
        for attribute in self.proto.attribute:
            if attribute.name == name:
                value = _plain(attribute)
                return value if default is None or isinstance(value, type(default)) else default
        return default

    def input(self, index: int) -> str:
        """The name of an input; empty where it is left out."""
        return self.proto.input[index] if index < len(self.proto.input) else ""

    def elem_type(self, index: int = 0) -> int:
        """Element type of an input; 0 where it is unknown."""
        return self.scope.elem_type(self.input(index))

    def rank(self, index: int = 0) -> int | None:
        """Rank of an input; None where it is unknown."""
        shape = self.scope.shape(self.input(index))
        return None if shape is None else len(shape)

    def shape(self, index: int = 0) -> tuple[Dim, ...] | None:
        """Shape of an input; None where it is unknown."""
        return self.scope.shape(self.input(index))

    def branch_ranks(self, name: str) -> list[int | None]:
        """Ranks of what the graph in an attribute gives; None where one is unknown."""
        scope = self.inner.get(name)
        shapes = [] if scope is None else [scope.shape(output) for output in scope.outputs]
        return [None if shape is None else len(shape) for shape in shapes]

    def is_weights(self, index: int) -> bool:
        """Whether an input is a constant of the file."""
        return self.scope.is_weights(self.input(index))

    def producer(self, index: int = 0) -> str:
        """The operator that gives an input; empty for inputs of the graph and initializers."""
        node = self.scope.producer(self.input(index))
        return node.op_type if node is not None else ""

    def is_foldable(self, index: int) -> bool:
        """Whether an input is known before a build."""
        return self.scope.is_foldable(self.input(index))

    def is_resolved(self, index: int) -> bool:
        """Whether the parser itself finds the numbers of an input."""
        return self.scope.is_resolved(self.input(index))

    def constant(self, index: int) -> np.ndarray[Any, Any] | None:
        """The numbers of an input; None where it is not a constant."""
        return self.scope.constant(self.input(index))


@attrs.frozen(eq=False)
class Facts:
    """A model, its nodes with what is known of them, in the order of the file."""

    model: ModelProto
    opset: int
    main: Scope
    nodes: tuple[Node, ...]

    @property
    def inputs(self) -> list[ValueInfoProto]:
        """Inputs that a caller passes: initializers listed among them are none."""
        known = {tensor.name for tensor in self.model.graph.initializer}
        return [value for value in self.model.graph.input if value.name not in known]


def facts_of(model: ModelProto) -> Facts:
    """What is known of a model whose data was read in."""
    typed = _inferred(model)
    opset = next((o.version for o in model.opset_import if not is_foreign(o.domain)), 0)
    nodes: list[Node] = []
    main = _walk(model.graph, typed, None, int(opset), nodes)
    return Facts(model, int(opset), main, tuple(nodes))


def name_of(node: NodeProto) -> str:
    """The name of a node, or the one that TensorRT gives it."""
    return node.name or f"node_of_{next(iter(node.output), '')}"


def node_names(graph: GraphProto) -> Iterator[str]:
    """Names of all nodes, those of graphs in them included."""
    for node in graph.node:
        yield name_of(node)
        for inner in subgraphs(node):
            yield from node_names(inner)


def is_foreign(domain: str) -> bool:
    """Whether a domain is not that of ONNX itself."""
    return domain not in ("", "ai.onnx")


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs in the attributes of a node."""
    for _, graph in _named_subgraphs(node):
        yield graph


def _named_subgraphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def _inferred(model: ModelProto) -> ModelProto:
    """The model with the types that onnx can infer; as it is where it contradicts itself."""
    light = ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if len(tensor.raw_data) > _LEFT_OUT_NBYTES:  # inference looks only at small ones
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="left out")
    try:
        return shape_inference.infer_shapes(light, data_prop=True)
    except Exception:  # noqa: BLE001 - inference has no one class of errors
        return model


def _walk(
    graph: GraphProto,
    typed: ModelProto | GraphProto,
    outer: Scope | None,
    opset: int,
    into: list[Node],
) -> Scope:
    """The scope of a graph; its nodes, and those of graphs in them, are added to `into`."""
    known = typed.graph if isinstance(typed, ModelProto) else typed
    values = {v.name: v for v in (*known.input, *known.value_info, *known.output)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = tuple(value.name for value in graph.output)
    scope = Scope(values, constants, set(), {}, outputs, outer)
    for at, proto in enumerate(graph.node):
        node = Node(proto, scope, opset)
        into.append(node)
        scope.producers.update((name, proto) for name in proto.output if name)
        _note_constant(node)
        inner_typed = list(subgraphs(known.node[at])) if at < len(known.node) else []
        for number, (name, inner) in enumerate(_named_subgraphs(proto)):
            inner_known = inner_typed[number] if number < len(inner_typed) else inner
            node.inner[name] = _walk(inner, inner_known, scope, opset, into)
    return scope


def _note_constant(node: Node) -> None:
    scope, outputs = node.scope, list(node.proto.output)
    if node.proto.op_type == "Constant" and not is_foreign(node.proto.domain):
        value = _value_of(node)
        if value is not None and outputs:
            scope.constants[outputs[0]] = value
        scope.foldable.update(outputs)
    elif node.proto.op_type in _SHAPES:
        shape = node.shape(0)
        if shape is not None and all(isinstance(d, int) for d in shape):
            scope.foldable.update(outputs)
    elif node.proto.input and all(scope.is_foldable(n) for n in node.proto.input if n):
        scope.foldable.update(outputs)


def _value_of(node: Node) -> TensorProto | None:
    tensor = node.attribute("value")
    if isinstance(tensor, TensorProto):
        return tensor
    for name, dtype in (("value_int", "int64"), ("value_ints", "int64"),
                        ("value_float", "float32"), ("value_floats", "float32")):  # fmt: skip
        given = node.attribute(name)
        if given is not None:
            return numpy_helper.from_array(np.asarray(given, dtype))
    return None


def _plain(attribute: Any) -> Any:
    try:
        value = helper.get_attribute_value(attribute)
    except ValueError:  # of no type
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return [v.decode("utf-8", "replace") for v in value]
    return value
