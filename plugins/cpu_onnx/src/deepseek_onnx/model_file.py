"""ONNX models as they lie on disk: their structure, and the data of their tensors in place."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Final

import attrs
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

from deepseek_core import Artifact, errors
from deepseek_onnx.data_files import IN_MEMORY, ModelFile, is_outside, location, stamp_of, tensors
from deepseek_onnx.protos import ModelProto
from deepseek_onnx.skeleton import NotWire, skeleton

EXPORT_AGAIN: Final = "check that the file is complete, or export the model again"
MIN_IR_VERSION: Final = 4
"""The first version in which an initializer need not be an input, hence is a constant."""
_LIMIT_BYTES: Final = 2**31 - 1
# Walking a small file costs more than parsing its data.
_WALKED_BYTES: Final = 1 << 20


def read_model(artifact: Artifact) -> tuple[ModelFile, ModelProto]:
    """A model's structure; large data stays outside.

    Raises:
        ArtifactError: a file is missing or truncated, or holds no ONNX model.
    """
    if artifact.path is None:
        file = ModelFile(artifact, _structure(artifact), {})
        return file, _parsed(file, "the model")
    path = artifact.path.absolute()  # where it is now, whatever the process's folder is later
    _check_name(path)
    stamps = {path: stamp_of(path)}
    known = attrs.evolve(artifact, path=path)
    file = ModelFile(known, _structure(known), stamps)
    proto = _parsed(file, str(artifact.path))
    if b"location" in file.structure:  # most have no such word, which saves a walk over all nodes
        _note_data_files(file, proto, path.parent)
    return file, proto


def _note_data_files(file: ModelFile, proto: ModelProto, folder: Path) -> None:
    """See that data lies where it may, and what its files are like."""
    outside = {location(tensor): tensor.name for tensor in tensors(proto) if is_outside(tensor)}
    for given, name in outside.items():
        file.place(given, name)  # raises where it may not be
        file.stamps.setdefault(folder / given, stamp_of(folder / given))


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise errors.ArtifactError(
            f"{str(path)!a}: ONNX Runtime opens only files whose names are UTF-8",
            remedy="rename it",
        ) from error


def _structure(artifact: Artifact) -> bytes:
    """The model's bytes, large data left out."""
    if artifact.path is None:
        content = artifact.read()
        return content if len(content) < _WALKED_BYTES else _walked(content, IN_MEMORY, "the model")
    try:
        with artifact.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _WALKED_BYTES:
                return file.read()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return _walked(mapped, artifact.path.name, str(artifact.path))
    except OSError as error:
        raise errors.ArtifactError(
            f"{artifact.path}: {error.strerror}", remedy="check the path"
        ) from error


def _walked(content: Any, location: str, named: str) -> bytes:
    view = memoryview(content)
    try:
        return skeleton(view, location)
    except NotWire as error:
        if len(view) > _LIMIT_BYTES:
            raise errors.ArtifactError(
                f"{named} is not a complete ONNX model: {error}", remedy=EXPORT_AGAIN
            ) from error
        return bytes(view)  # the parser tells what is wrong
    finally:
        view.release()


def inferred(file: ModelFile, proto: ModelProto) -> ModelProto:
    """The model with the types that onnx can infer.

    As it is where it contradicts itself: what it declares counts.
    """
    from onnx import shape_inference

    try:
        return shape_inference.infer_shapes(file.structure, data_prop=True)
    except Exception:  # noqa: BLE001 - inference has no one class of errors
        return proto


def _parsed(file: ModelFile, named: str) -> ModelProto:
    model = parse_model(file.structure, named)
    # Cut at a border of fields, or empty, a file still parses; then these are missing.
    there = {
        "ir_version": model.ir_version,
        "opset_import": model.opset_import,
        "graph.output": model.graph.output,
    }
    for field, value in there.items():
        if not value:
            raise errors.ArtifactError(
                f"{named} is not a complete ONNX model: it has no {field}", remedy=EXPORT_AGAIN
            )
    return model


def parse_model(content: bytes, named: str) -> ModelProto:
    """The model in these bytes.

    Raises:
        ArtifactError: truncated, or no ONNX model.
    """
    try:
        return ModelProto.FromString(content)
    except DecodeError as error:
        raise errors.ArtifactError(
            f"{named} is not a complete ONNX model: {error}", remedy=EXPORT_AGAIN
        ) from error


def model_bytes(model: ModelProto) -> bytes:
    """The model's bytes.

    Raises:
        ArtifactError: protobuf's limit of 2 GiB is passed.
    """
    try:
        content: bytes = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise errors.ArtifactError(
            f"the model can't be written: {error} (protobuf holds {_LIMIT_BYTES} bytes)",
            remedy="keep large arrays out of the model and fix them with Graph.bind",
        ) from error
    return content
