"""ONNX models as they lie on disk: their structure, and the data of their tensors in place."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Final

import attrs
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

from deepseek_core import Artifact, errors
from deepseek_onnx.protos import ModelProto, TensorProto
from deepseek_onnx.skeleton import NotWire, skeleton

EXPORT_AGAIN: Final = "check that the file is complete, or export the model again"
MIN_IR_VERSION: Final = 4
"""The first version in which an initializer need not be an input, hence is a constant."""
_LIMIT_BYTES: Final = 2**31 - 1
# Walking a small file costs more than parsing its data.
_WALKED_BYTES: Final = 1 << 20
_IN_MEMORY: Final = "deepseek:content"

Stamp = tuple[int, int, int] | None


@attrs.frozen(eq=False)
class ModelFile:
    """A model's artifact, its bytes without large data, what its files were like when read."""

    artifact: Artifact
    structure: bytes
    stamps: dict[Path, Stamp]

    @property
    def named(self) -> str:
        """How to call it in a message."""
        path = self.artifact.path
        return str(path) if path is not None else "the model"

    @property
    def folder(self) -> Path | None:
        """Where its data files lie: beside the path as it was given, whatever that links to."""
        path = self.artifact.path
        return None if path is None else path.absolute().parent

    def check_unchanged(self) -> None:
        """See that no file changed since the model was read.

        Raises:
            ArtifactError: one did, or is gone.
        """
        for path, stamp in self.stamps.items():
            if _stamp(path) != stamp:
                raise errors.ArtifactError(
                    f"{path} changed on disk since the model was loaded",
                    remedy="load the model again",
                )

    def data(self, tensor: TensorProto) -> bytes:
        """The bytes of a tensor whose data is not inside of it.

        Raises:
            ArtifactError: the file is missing, too short, or not below the model's folder.
        """
        entry = {e.key: e.value for e in tensor.external_data}
        offset, length = int(entry.get("offset") or 0), entry.get("length")
        if entry.get("location") == _IN_MEMORY:
            return self.artifact.read()[offset : offset + int(length or 0)]
        path = self._beside(entry.get("location", ""), tensor.name)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                found = file.read(-1 if length is None else int(length))
        except (OSError, ValueError) as error:
            raise self._no_data(path, str(error)) from error
        if length is not None and len(found) != int(length):
            raise self._no_data(path, f"it ends before the data of {tensor.name!r}")
        return found

    def _beside(self, location: str, name: str) -> Path:
        parts = PurePosixPath(location).parts
        if self.folder is None or not parts or ".." in parts or parts[0] == "/":
            raise errors.ArtifactError(
                f"{self.named}: the data of {name!r} is said to be in {location!r}",
                remedy="put the data files beside the model and load it by its path",
            )
        return self.folder.joinpath(*parts)

    def _no_data(self, path: Path, why: str) -> errors.ArtifactError:
        return errors.ArtifactError(
            f"{self.named}: its data can't be read: {path}: {why}",
            remedy="put the data files beside the model, complete and under their own names",
        )


def read_model(artifact: Artifact) -> tuple[ModelFile, ModelProto]:
    """A model's structure; large data stays outside.

    Raises:
        ArtifactError: a file is missing or truncated, or holds no ONNX model.
    """
    stamps = {} if artifact.path is None else {artifact.path: _stamp(artifact.path)}
    file = ModelFile(artifact, _structure(artifact), stamps)
    proto = _parsed(file)
    for location in _data_files(proto.graph.initializer):
        path = file.artifact.path if file.folder is None else file.folder / location
        if path is not None and location != _IN_MEMORY:
            stamps.setdefault(path, _stamp(path))
    return file, proto


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _data_files(tensors: Iterable[TensorProto]) -> set[str]:
    return {
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _structure(artifact: Artifact) -> bytes:
    """The model's bytes, large data left out."""
    if artifact.path is None:
        content = artifact.read()
        return content if len(content) < _WALKED_BYTES else _walked(content, _IN_MEMORY)
    try:
        with artifact.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _WALKED_BYTES:
                return file.read()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                return _walked(mapped, artifact.path.name)
    except OSError as error:
        raise errors.ArtifactError(
            f"{artifact.path}: {error.strerror}", remedy="check the path"
        ) from error


def _walked(content: Any, location: str) -> bytes:
    view = memoryview(content)
    try:
        return skeleton(view, location)
    except NotWire:
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


def _parsed(file: ModelFile) -> ModelProto:
    model = parse_model(file.structure, file.named)
    # Cut at a border of fields, or empty, a file still parses; then these are missing.
    there = {
        "ir_version": model.ir_version,
        "opset_import": model.opset_import,
        "graph.output": model.graph.output,
    }
    for field, value in there.items():
        if not value:
            raise errors.ArtifactError(
                f"{file.named} is no complete ONNX model: it has no {field}", remedy=EXPORT_AGAIN
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
            f"{named} is no complete ONNX model: {error}", remedy=EXPORT_AGAIN
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
