"""Weights that lie in files beside a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onnx import GraphProto, ModelProto, TensorProto
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from deepseek_compress.onnx_graph.graph import inner_graphs
from deepseek_core import Artifact, errors


def read_data_in(model: ModelProto, file: Artifact) -> None:
    """Put the data of tensors that lie in files beside the model inside of them.

    Raises:
        ArtifactError: a file is missing, too short, or not below the model's folder.
    """
    for tensor in _tensors(model.graph):
        if not uses_external_data(tensor):
            continue
        place = _place(tensor, file)
        try:
            load_external_data_for_tensor(tensor, str(place.parent))
        except Exception as error:  # onnx raises what it likes, without our path
            raise errors.ArtifactError(
                f"the data of {tensor.name!r} can't be read from {place}: {error}",
                remedy="put the data files beside the model, complete and under their own names",
            ) from error
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT


def _place(tensor: TensorProto, file: Artifact) -> Path:
    """The file of the tensor's data, which it names from that file's own folder from here on."""
    for entry in tensor.external_data:
        if entry.key == "location" and (place := file.beside(entry.value)) is not None:
            entry.value = place.name  # onnx follows no links by itself
            return place
    raise errors.ArtifactError(
        f"the data of {tensor.name!r} is in no file below the model's folder",
        remedy="put the data files beside the model and give its path",
    )


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
        for inner in inner_graphs(node):
            yield from _tensors(inner)
