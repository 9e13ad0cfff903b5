"""Attributes of ONNX nodes as plain Python, and back.

Tensors become numpy arrays and strings `str`, so that a device needs no onnx to read them; only
subgraphs (of If, Loop, Scan) stay `GraphProto`. The body of a model-local function travels in
the attribute `FUNCTIONS`: serialized FunctionProtos, the operator's own first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from deepseek_core import Operation
from deepseek_onnx.protos import AttributeProto, GraphProto, NodeProto, TensorProto

FUNCTIONS: Final = "model_local_functions"


def read_attributes(node: NodeProto) -> dict[str, Any]:
    """Attribute name -> int, float, str, numpy array, GraphProto, or a list of one of these."""
    from onnx import helper

    return {
        attribute.name: _read(helper.get_attribute_value(attribute)) for attribute in node.attribute
    }


def _read(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    if isinstance(value, TensorProto):
        from onnx import numpy_helper

        return numpy_helper.to_array(value)
    if isinstance(value, list | tuple):
        return [_read(item) for item in value]
    return value


def node_attributes(operation: Operation) -> list[AttributeProto]:
    """The attributes of an operation as a node has them, in the order of their names."""
    from onnx import helper

    return [
        helper.make_attribute(name, _write(value), attr_type=_empty_type(operation, name, value))
        for name, value in sorted(operation.attributes.items())
        if name != FUNCTIONS
    ]


def _write(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", errors="surrogateescape")
    if isinstance(value, np.ndarray):
        from onnx import numpy_helper

        return numpy_helper.from_array(value)
    if isinstance(value, list):
        return [_write(item) for item in value]
    return value


def _empty_type(operation: Operation, name: str, value: Any) -> int | None:
    """The type of an empty list, which only the operator's schema knows."""
    if not isinstance(value, list) or value:
        return None
    from onnx import defs

    try:
        schema = defs.get_schema(operation.name, operation.version, operation.domain)
        return int(schema.attributes[name].type)
    except (defs.SchemaError, KeyError):
        return int(AttributeProto.INTS)


def subgraphs(node: NodeProto) -> list[GraphProto]:
    """The graphs inside of a node."""
    found: list[GraphProto] = []
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            found.append(attribute.g)
        found.extend(attribute.graphs)
    return found


def nodes_within(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """These nodes, and all that are in their subgraphs."""
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from nodes_within(graph.node)


def captured_names(graphs: Iterable[GraphProto]) -> set[str]:
    """Names that subgraphs read but do not make: values of the graph around them."""
    free: set[str] = set()
    for graph in graphs:
        made = {value.name for value in graph.input} | {t.name for t in graph.initializer}
        made |= {tensor.values.name for tensor in graph.sparse_initializer}
        read: set[str] = {value.name for value in graph.output}
        for node in graph.node:
            read |= {name for name in node.input if name} | captured_names(subgraphs(node))
            made |= set(node.output)
        free |= read - made
    return free
