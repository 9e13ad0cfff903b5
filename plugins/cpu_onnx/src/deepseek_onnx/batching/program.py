"""A model taken apart once, for every axis that is tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from deepseek_onnx.batching.states import Fixed, State
from deepseek_onnx.protos import (
    FunctionProto,
    GraphProto,
    ModelProto,
    OperatorSetIdProto,
    ValueInfoProto,
)

# Domain, name and overload of an operator.
Key = tuple[str, str, str]


def plain_domain(domain: str) -> str:
    """The domain, that of the standard operators being empty."""
    return "" if domain == "ai.onnx" else domain


def versions(opsets: Iterable[OperatorSetIdProto]) -> dict[str, int]:
    """Domain -> version."""
    return {plain_domain(opset.domain): opset.version for opset in opsets}


def constants(graph: GraphProto) -> dict[str, State | None]:
    """The initializers as states, and the name of what is left out."""
    found: dict[str, State | None] = {"": None}
    for tensor in graph.initializer:
        found[tensor.name] = Fixed(tuple(tensor.dims), None, tensor)
    for sparse in graph.sparse_initializer:
        found[sparse.values.name] = Fixed(tuple(sparse.dims))
    return found


@attrs.frozen(eq=False, slots=False)
class Program:
    """A model's parts by name."""

    graph: GraphProto
    opsets: Mapping[str, int]
    functions: Mapping[Key, FunctionProto]
    constants: Mapping[str, State | None]

    @cached_property
    def declared(self) -> Mapping[str, ValueInfoProto]:
        """What the file says of the types of inner values and outputs."""
        return {value.name: value for value in (*self.graph.value_info, *self.graph.output)}

    @cached_property
    def inputs(self) -> Sequence[ValueInfoProto]:
        """What a caller must give."""
        return [value for value in self.graph.input if value.name not in self.constants]


def take_apart(model: ModelProto) -> Program:
    """The parts of a model."""
    functions = {
        (plain_domain(f.domain), f.name, getattr(f, "overload", "")): f for f in model.functions
    }
    return Program(model.graph, versions(model.opset_import), functions, constants(model.graph))


def declared_dims(value: ValueInfoProto) -> Sequence[Any] | None:
    """The sizes of a tensor as the file has them, None where it has no rank."""
    if value.type.WhichOneof("value") != "tensor_type":
        return None
    tensor = value.type.tensor_type
    return tensor.shape.dim if tensor.HasField("shape") else None
