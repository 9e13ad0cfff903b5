"""The files of a model: where the data of its tensors lies, and whether it is still what it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import Artifact, TensorSpec, errors
from deepseek_onnx.attributes import subgraphs
from deepseek_onnx.dtypes import DTYPE
from deepseek_onnx.protos import GraphProto, ModelProto, NodeProto, TensorProto

IN_MEMORY: Final = "deepseek:content"
"""The location of data that lies in the bytes of a model that was given as such."""

Stamp = tuple[int, int, int] | None
"""Size, time of change and number of a file; None where there is none."""


@attrs.frozen(eq=False)
class Watch:
    """Files that a session has mapped into memory, with what they were like when it was made."""

    stamps: tuple[tuple[Path, Stamp], ...]

    def check(self) -> None:
        """See that none was changed in place: a run would read other numbers, or beyond its end.

        One that was removed or replaced stays as it was for who has mapped it.

        Raises:
            ArtifactError: one was.
        """
        for path, stamp in self.stamps:
            now = stamp_of(path)
            if now != stamp and now is not None and stamp is not None and now[2] == stamp[2]:
                raise _changed(path)


@attrs.frozen(eq=False)
class ModelFile:
    """A model's artifact, its bytes without large data, what its files were like when read."""

    artifact: Artifact
    structure: bytes = attrs.field(repr=False)
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
        return None if path is None else path.parent

    def check_unchanged(self) -> None:
        """See that no file changed since the model was read.

        Raises:
            ArtifactError: one did, or is gone.
        """
        for path, stamp in self.stamps.items():
            if stamp_of(path) != stamp:
                raise _changed(path)

    def watch(self, tensors: Iterable[TensorProto], *, itself: bool) -> Watch | None:
        """Over the files that hold the data of these tensors, the model's own only if told so."""
        path = self.artifact.path
        if path is None:
            return None
        given = {path.parent / location(t) for t in tensors if is_outside(t)}
        if not itself:
            given.discard(path)
        stamps = ((_real(path), self.stamps.get(path)) for path in sorted(given))
        return Watch(tuple(stamps)) if given else None

    def put_below_one_folder(self, tensors: Iterable[TensorProto]) -> Path | None:
        """Name the files of these tensors from one folder, which is returned.

        A runtime looks into one folder and follows no link out of it. Without such a folder the
        data is put inside of the tensors.

        Raises:
            ArtifactError: data can't be read, or is not below the model's folder.
        """
        outside = [tensor for tensor in tensors if is_outside(tensor)]
        if self.artifact.folders:
            places = [self.place(location(tensor), tensor.name) for tensor in outside]
            for root in self.artifact.folders:
                if all(place.is_relative_to(root) for place in places):
                    for tensor, place in zip(outside, places, strict=True):
                        _locate(tensor, place.relative_to(root))
                    return root
        for tensor in outside:
            self.fill(tensor)
        return None

    def fill(self, tensor: TensorProto) -> None:
        """Put the data of a tensor inside of it.

        Raises:
            ArtifactError: it can't be read, or is not below the model's folder.
        """
        if is_outside(tensor):
            data = self.data(tensor)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = data

    def data(self, tensor: TensorProto) -> bytes:
        """The bytes of a tensor whose data is not inside of it.

        Raises:
            ArtifactError: the file is missing, too short, or not below the model's folder.
        """
        entry = {e.key: e.value for e in tensor.external_data}
        try:
            offset = int(entry.get("offset") or 0)
            length = int(entry.get("length") or 0) or _nbytes(tensor)
        except ValueError as error:
            raise self._no_data(tensor.name, str(error)) from error
        if location(tensor) == IN_MEMORY:
            return self.artifact.read()[offset : offset + length]
        path = self.place(location(tensor), tensor.name)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                found = file.read(length)
        except (OSError, ValueError) as error:
            raise self._no_data(path, str(error)) from error
        if len(found) != length:
            raise self._no_data(path, f"it ends before the data of {tensor.name!r}")
        return found

    def place(self, given: str, name: str) -> Path:
        """The file of this location, links followed; `name` is a tensor whose data it holds.

        Raises:
            ArtifactError: it is not below the model's folder.
        """
        place = self.artifact.beside(given)
        if place is not None:
            return place
        raise errors.ArtifactError(
            f"{self.named}: the data of {name!r} is said to be in {given!r}, "
            "which is not a file below the model's folder",
            remedy="put the data files beside the model and load it by its path",
        )

    def _no_data(self, where: Path | str, why: str) -> errors.ArtifactError:
        return errors.ArtifactError(
            f"{self.named}: its data can't be read: {where}: {why}",
            remedy="put the data files beside the model, complete and under their own names",
        )


def tensors(proto: ModelProto) -> Iterator[TensorProto]:
    """All tensors of a model, those in its nodes, their subgraphs and functions included."""
    yield from tensors_of_graph(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from tensors_of_node(node)


def tensors_of_graph(graph: GraphProto) -> Iterator[TensorProto]:
    """Iterate over the tensors of a graph and of the graphs inside it."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from tensors_of_node(node)


def tensors_of_node(node: NodeProto) -> Iterator[TensorProto]:
    """Iterate over the tensors of a node's attributes and subgraphs."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
    for graph in subgraphs(node):
        yield from tensors_of_graph(graph)


def is_outside(tensor: TensorProto) -> bool:
    """Whether the data of a tensor is not inside of it."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def location(tensor: TensorProto) -> str:
    """The file of a tensor's data as the model names it, empty where it does not."""
    return next((str(e.value) for e in tensor.external_data if e.key == "location"), "")


def stamp_of(path: Path) -> Stamp:
    """What a file is like now."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # a name that no file can have is a ValueError
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike `resolve`, not stopped by links in a circle


def _locate(tensor: TensorProto, place: Path) -> None:
    for entry in tensor.external_data:
        if entry.key == "location":
            entry.value = place.as_posix()


def _nbytes(tensor: TensorProto) -> int:
    """Bytes of a tensor by its dtype and shape: that of who leaves the length out."""
    spec = TensorSpec(name="", dtype=DTYPE[tensor.data_type], shape=tensor.dims)
    return spec.nbytes()


def _changed(path: Path) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"{path} changed on disk since the model was loaded", remedy="load the model again"
    )
