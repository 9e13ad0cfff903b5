"""Nodes of a model as operations, and a part of a model as a model of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from onnx import FunctionProto, NodeProto, ValueInfoProto, helper

from deepseek_core import Operation, TensorSpec
from deepseek_onnx.attributes import FUNCTIONS, read_attributes, subgraphs
from deepseek_onnx.dtypes import ELEMENT
from deepseek_onnx.model import Model, reads
from deepseek_onnx.protobuf import model_bytes
from deepseek_onnx.sessions import MIN_IR_VERSION
from deepseek_onnx.shapes import Value

# An optional input that is not given keeps its place.
OMITTED: Final = TensorSpec(name="", dtype="float32", shape=())


def operation(node: NodeProto, model: Model, values: dict[str, Value]) -> Operation:
    """A node as devices are asked about it.

    Inputs are the node's own, `OMITTED` where one is left out, then what its subgraphs read.
    """
    inner = [name for name in reads(node) if name not in node.input]
    attributes = read_attributes(node)
    functions = [f.SerializeToString(deterministic=True) for f in needed_functions([node], model)]
    if functions:
        attributes[FUNCTIONS] = tuple(functions)
    domain = "" if node.domain == "ai.onnx" else node.domain
    return Operation(
        name=node.op_type,
        domain=domain,
        version=model.opsets.get(domain, 1),
        inputs=[_spec(name, values) for name in (*node.input, *inner)],
        outputs=[_spec(name, values) for name in node.output],
        attributes=attributes,
    )


def _spec(name: str, values: dict[str, Value]) -> TensorSpec:
    return values[name].spec if name else OMITTED


def needed_functions(nodes: Iterable[NodeProto], model: Model) -> list[FunctionProto]:
    """The model-local functions that nodes call, those that these call after them."""
    found: dict[str, FunctionProto] = {}
    waiting = list(nodes)
    while waiting:
        node = waiting.pop(0)
        waiting.extend(inner for graph in subgraphs(node) for inner in graph.node)
        function = model.function(node)
        if function is not None and (key := f"{function.domain}::{function.name}") not in found:
            found[key] = function
            waiting.extend(function.node)
    return list(found.values())


def borders(
    groups: Sequence[Sequence[NodeProto]], model: Model
) -> list[tuple[list[str], list[str]]]:
    """For each group of nodes the names it takes from outside and those it hands on.

    Initializers are no inputs: each group has its own copy.
    """
    wanted = [{name for node in group for name in reads(node)} for group in groups]
    results = {value.name for value in model.graph.output}
    found = []
    for i, group in enumerate(groups):
        made = dict.fromkeys(name for node in group for name in node.output if name)
        taken = dict.fromkeys(name for node in group for name in reads(node))
        elsewhere = results.union(*(names for j, names in enumerate(wanted) if j != i))
        inputs = [name for name in taken if name not in made and not is_constant(name, model)]
        found.append((inputs, [name for name in made if name in elsewhere]))
    return found


def is_constant(name: str, model: Model) -> bool:
    """Whether a name is an initializer."""
    sparse = (tensor.values.name for tensor in model.graph.sparse_initializer)
    return name in model.initializers or name in sparse


def submodel(
    nodes: Sequence[NodeProto],
    inputs: Sequence[str],
    outputs: Sequence[str],
    model: Model,
    values: dict[str, Value],
) -> bytes:
    """The nodes as a model with only what they need: initializers, functions, opsets, types.

    Raises:
        ArtifactError: it passes protobuf's limit of 2 GiB.
    """
    used = {name for node in nodes for name in reads(node)}
    inner = [name for node in nodes for name in node.output if name and name not in outputs]
    graph = helper.make_graph(
        nodes,
        "stage",
        [_declare(values[name]) for name in inputs],
        [_declare(values[name]) for name in outputs],
        [tensor for name, tensor in model.initializers.items() if name in used],
        value_info=[_declare(values[name]) for name in inner if values[name].can_cross],
        sparse_initializer=[
            tensor for tensor in model.graph.sparse_initializer if tensor.values.name in used
        ],
    )
    # Without the file's own names of producer and graph: equal parts are equal bytes.
    part = helper.make_model(
        graph,
        producer_name="deepseek-onnx",
        opset_imports=model.proto.opset_import,
        functions=needed_functions(nodes, model),
        ir_version=max(model.proto.ir_version, MIN_IR_VERSION),
    )
    return model_bytes(part)


def _declare(value: Value) -> ValueInfoProto:
    return helper.make_tensor_value_info(value.name, ELEMENT[value.dtype], value.shape)
