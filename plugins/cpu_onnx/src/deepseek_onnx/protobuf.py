"""ONNX models from bytes and back, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import ModelProto

from deepseek_core import Artifact, errors

EXPORT_AGAIN: Final = "check that the file is complete, or export the model again"
_LIMIT_BYTES: Final = 2**31 - 1


def where(artifact: Artifact) -> str:
    """How to call an artifact in a message."""
    return str(artifact.path) if artifact.path is not None else "the model"


def read_model(artifact: Artifact) -> ModelProto:
    """The model, with the data of the files beside it.

    Raises:
        ArtifactError: a file is missing or truncated, or holds no ONNX model.
    """
    model = parse_model(artifact.read(), where(artifact))
    if artifact.path is not None:
        _load_data(model, artifact.path)
    return model


def _load_data(model: ModelProto, path: Path) -> None:
    try:
        onnx.load_external_data_for_model(model, str(path.resolve().parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise errors.ArtifactError(
            f"{path}: its data can't be read: {' '.join(str(error).split())}",
            remedy="put the data files beside the model, complete and under their own names",
        ) from error


def parse_model(content: bytes, named: str) -> ModelProto:
    """The model in these bytes.

    Raises:
        ArtifactError: truncated, or no ONNX model.
    """
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise errors.ArtifactError(
            f"{named} is no complete ONNX model: {error}", remedy=EXPORT_AGAIN
        ) from error
    # Cut at a border of fields, or empty, a file still parses; then these are missing.
    if not model.ir_version or not model.opset_import or not model.graph.output:
        raise errors.ArtifactError(f"{named} is no complete ONNX model", remedy=EXPORT_AGAIN)
    return model


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
