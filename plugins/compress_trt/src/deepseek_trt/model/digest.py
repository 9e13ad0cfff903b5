"""The digest of a model: what its engine depends on, and nothing else."""

from __future__ import annotations

import hashlib
from typing import Final

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    numpy_helper,
)

from deepseek_core import errors
from deepseek_trt.model.read import model_bytes, tensors
from deepseek_trt.problem import printable

_FIELDS: Final = (
    "raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data",
    "string_data", "data_location", "external_data",
)  # fmt: skip


def digest(model: ModelProto) -> str:
    """The sha256 of a model, in hex; its data must have been read in.

    Who exported it, doc strings and metadata do not count, nor how a tensor's numbers are
    written down; names do, for an engine has those of its inputs, outputs and layers.

    Raises:
        ArtifactError: the numbers of a tensor can't be read.
    """
    bare = ModelProto()
    bare.CopyFrom(model)
    _drop_words(bare)
    for tensor in tensors(bare):
        _hash_in_place(tensor)
    return hashlib.sha256(model_bytes(bare)).hexdigest()


def _hash_in_place(tensor: TensorProto) -> None:
    content = _content(tensor)
    for field in _FIELDS:
        tensor.ClearField(field)
    tensor.raw_data = hashlib.sha256(content).digest()


def _content(tensor: TensorProto) -> bytes:
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    if tensor.data_type == TensorProto.STRING:
        return b"".join(len(s).to_bytes(8, "big") + s for s in tensor.string_data)
    try:
        packed = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise errors.ArtifactError(
            f"the numbers of {printable(tensor.name)!r} can't be read: {error}",
            remedy="export the model again",
        ) from error
    return bytes(numpy_helper.from_array(packed).raw_data)


def _drop_words(model: ModelProto) -> None:
    for field in (
        "producer_name", "producer_version", "domain", "model_version", "doc_string",
        "metadata_props",
    ):  # fmt: skip
        model.ClearField(field)
    _drop_of_graph(model.graph)
    for function in model.functions:
        _drop_of_function(function)


def _drop_of_graph(graph: GraphProto) -> None:
    graph.ClearField("doc_string")
    graph.ClearField("metadata_props")
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.ClearField("doc_string")
        value.ClearField("metadata_props")
    _drop_of_nodes(graph.node)


def _drop_of_function(function: FunctionProto) -> None:
    function.ClearField("doc_string")
    function.ClearField("metadata_props")
    _drop_of_nodes(function.node)


def _drop_of_nodes(nodes: list[NodeProto]) -> None:
    for node in nodes:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        for attribute in node.attribute:
            _drop_of_attribute(attribute)


def _drop_of_attribute(attribute: AttributeProto) -> None:
    attribute.ClearField("doc_string")
    if attribute.HasField("t"):
        attribute.t.ClearField("doc_string")
    if attribute.HasField("g"):
        _drop_of_graph(attribute.g)
    for graph in attribute.graphs:
        _drop_of_graph(graph)
