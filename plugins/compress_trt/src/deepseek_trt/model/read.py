"""ONNX files read whole: one parse, external data read in, nothing outside the model's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from deepseek_core import Artifact, errors
from deepseek_trt.problem import printable

LIMIT_NBYTES: Final = 2**31 - 1
"""What protobuf holds, hence the largest model with its data read in."""
_AGAIN: Final = "check that the file is complete, or export the model again"


def read_model(source: str | Path | bytes | ModelProto) -> ModelProto:
    """The model of a path, of bytes or an object, with the data of all tensors inside of it.

    Raises:
        ArtifactError: missing, truncated, no ONNX model, above 2 GiB, or data that can't be read.
    """
    file = None
    if isinstance(source, ModelProto):
        model, name = ModelProto.FromString(model_bytes(source)), "the model"
    elif isinstance(source, bytes):
        model, name = _parsed(source, "the model"), "the model"
    else:
        path = Path(source)
        file, model, name = (
            Artifact(format="onnx", path=path),
            _parsed(_content(path), str(path)),
            str(path),
        )
    _check_complete(model, name)
    _read_data_in(model, file, name)
    return model


def model_bytes(model: ModelProto) -> bytes:
    """The model's bytes, the same each time.

    Raises:
        ArtifactError: above protobuf's limit of 2 GiB.
    """
    try:
        content: bytes = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise _too_large("the model", str(error)) from error
    return content


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """All tensors of a model, those of its nodes, subgraphs and functions included."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)


def _of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _of_graph(graph)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LIMIT_NBYTES:
            raise _too_large(str(path), f"the file has {path.stat().st_size} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise errors.ArtifactError(
            f"{printable(str(path))}: {why}", remedy="check the path"
        ) from error


def _parsed(content: bytes, name: str) -> ModelProto:
    try:
        return ModelProto.FromString(content)
    except DecodeError as error:
        raise errors.ArtifactError(
            f"{printable(name)} is not a complete ONNX model: {error}", remedy=_AGAIN
        ) from error


def _check_complete(model: ModelProto, name: str) -> None:
    # Cut at a border of fields, or empty, a file still parses; then these are missing.
    there: dict[str, Any] = {
        "ir_version": model.ir_version,
        "opset_import": model.opset_import,
        "graph.output": model.graph.output,
    }
    for field, value in there.items():
        if not value:
            raise errors.ArtifactError(
                f"{printable(name)} is not a complete ONNX model: it has no {field}", remedy=_AGAIN
            )


def _read_data_in(model: ModelProto, file: Artifact | None, name: str) -> None:
    room = LIMIT_NBYTES
    for tensor in tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            data = _data_of(tensor, file, name, room)
            room -= len(data)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = data
        elif tensor.HasField("raw_data"):
            _check_size(tensor, name)


def _check_size(tensor: TensorProto, name: str) -> None:
    if tensor.data_type == TensorProto.STRING or 0 in tensor.dims:
        return
    expected, there = _nbytes(tensor), len(tensor.raw_data)
    if there != expected:
        what = f"constant {printable(tensor.name)!r} has {there} bytes and needs {expected}"
        raise errors.ArtifactError(f"{printable(name)}: {what}", remedy=_AGAIN)


def _data_of(tensor: TensorProto, model: Artifact | None, name: str, room: int) -> bytes:
    entry = {e.key: e.value for e in tensor.external_data}
    path = _place(entry.get("location", ""), model, tensor.name, name)
    nbytes = _nbytes(tensor)
    try:
        offset, length = int(entry.get("offset") or 0), int(entry.get("length") or 0) or nbytes
        if length > room:
            raise _too_large(name, "the data of its tensors is read in")
        with path.open("rb") as file:
            file.seek(offset)
            found = file.read(length)
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, errors.DeepSeekError):
            raise
        raise _no_data(name, path, str(error)) from error
    if len(found) != length or length != nbytes:
        why = f"it has {len(found)} bytes for {tensor.name!r}, which needs {nbytes}"
        raise _no_data(name, path, why)
    return found


def _place(given: str, model: Artifact | None, tensor: str, name: str) -> Path:
    """Where data lies: below the model's folder, links followed, or nowhere."""
    place = None if model is None else model.beside(given)
    if place is not None:
        return place
    raise errors.ArtifactError(
        f"{printable(name)}: the data of {tensor!r} is said to be in {given!r}, "
        "which is not a file below the model's folder",
        remedy="put the data files beside the model and give its path",
    )


def _nbytes(tensor: TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        bits = _numpy_bits(tensor)
    return (count * bits + 7) // 8


def _numpy_bits(tensor: TensorProto) -> int:
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize) * 8
    except (KeyError, ValueError) as error:
        what = f"constant {printable(tensor.name)!r} has type {tensor.data_type}"
        raise errors.ArtifactError(f"{what}, which ONNX has not", remedy=_AGAIN) from error


# Packed in the file, so that numpy's item size says nothing.
_BITS: Final = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4}


def _no_data(name: str, path: Path, why: str) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"{printable(name)}: its data can't be read: {path}: {why}",
        remedy="put the data files beside the model, complete and under their own names",
    )


def _too_large(name: str, why: str) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"{printable(name)} is too large: {why} (protobuf holds {LIMIT_NBYTES} bytes)",
        remedy="quantize the model, or cut it into parts",
    )
