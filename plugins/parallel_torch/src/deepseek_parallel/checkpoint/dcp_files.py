"""Files of `torch.distributed.checkpoint` (DCP), over a place, with an index that runs no code.

The one module that knows how DCP names and lays out its files. Plain
`torch.distributed.checkpoint.load` reads what is written here. Its own `.metadata` is a pickle,
which runs code of whoever wrote it: we write it for others, and read `index.pt`, which holds
numbers and text alone.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

import attrs
import torch
from torch.distributed.checkpoint import filesystem, metadata, planner, storage

from deepseek_parallel.checkpoint.manifest import File
from deepseek_parallel.checkpoint.place import Hashed
from deepseek_parallel.errors import CheckpointDamaged

INDEX: Final = "index.pt"
Piece = tuple[Any, ...]
"""Name, offsets and number of a piece of a tensor; its file, first byte and number of bytes."""


class Writable(Protocol):
    """Where files are written: a `Place`, or memory."""

    def writing(self, name: str) -> AbstractContextManager[Hashed]:
        """A new file to stream into."""


class PartFiles(filesystem.FileSystemBase):
    """What DCP takes for a file system: one folder of a place; `written` are its new files."""

    def __init__(self, place: Writable) -> None:
        self._place, self.written = place, dict[str, File]()

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[Any]:
        """A new file, under the name that it is to have in the end."""
        name = os.fspath(path).removesuffix(".tmp")
        with self._place.writing(name) as stream:
            yield stream
        self.written[name] = stream.file(name)

    def concat_path(self, path: str | os.PathLike[str], suffix: str) -> str:
        """Names are those inside of the folder."""
        return suffix

    def init_path(self, path: str | os.PathLike[str]) -> str | os.PathLike[str]:
        """Nothing is to be opened."""
        return path

    def mkdir(self, path: str | os.PathLike[str]) -> None:
        """The folder is there."""

    def exists(self, path: str | os.PathLike[str]) -> bool:
        """Each save has a folder of its own, so nothing is there before."""
        return False

    def rename(self, path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> None:
        """The manifest commits, not a name."""

    def rm_file(self, path: str | os.PathLike[str]) -> None:
        """Nothing is replaced."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Any will do."""
        return True


class PartWriter(filesystem.FileSystemWriter):
    """DCP's writer of the files of one rank."""

    def __init__(self, place: Writable) -> None:
        super().__init__("", sync_files=False)
        self.fs = self.files = PartFiles(place)

    def write(self, plan: planner.SavePlan, data: Any) -> list[Piece]:
        """Write a plan, as `data` resolves it; where each piece lies."""
        results = self.write_data(plan, data).wait()
        return [
            (r.index.fqn, tuple(r.index.offset), r.index.index, r.storage_data.relative_path,
             r.storage_data.offset, r.storage_data.length)
            for r in results
        ]  # fmt: skip

    def finish_part(
        self, whole: metadata.Metadata, pieces: Sequence[Piece], skeleton: Any
    ) -> list[File]:
        """Write what tells where all pieces lie: the index, and `.metadata` for plain torch."""
        results = [
            storage.WriteResult(
                index=metadata.MetadataIndex(name, torch.Size(offsets), number),
                size_in_bytes=nbytes,
                storage_data=filesystem._StorageInfo(path, start, nbytes),
            )
            for name, offsets, number, path, start, nbytes in pieces
        ]
        self.finish(whole, [results])
        with self.files.create_stream(INDEX, "wb") as stream:
            stream.write(dump_index(whole, pieces, skeleton))
        return list(self.files.written.values())


class PartReader(filesystem.FileSystemReader):
    """DCP's reader, over bytes that were verified; `files` gives them by name."""

    def __init__(self, files: Callable[[str], memoryview]) -> None:
        super().__init__("")
        self.fs = _Verified(files)


class _Verified:
    def __init__(self, files: Callable[[str], memoryview]) -> None:
        self._files = files

    @contextmanager
    def create_stream(self, path: str, mode: str) -> Iterator[Any]:
        with io.BufferedReader(_View(self._files(path))) as stream:
            yield stream

    def concat_path(self, path: str, suffix: str) -> str:
        return suffix


class _View(io.RawIOBase):
    """A file over bytes in memory, without a copy of them."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: Any) -> int:
        part = self._data[self._at : self._at + len(into)]
        into[: len(part)] = part
        self._at += len(part)
        return len(part)


@attrs.frozen(kw_only=True)
class Index:
    """What a part holds: its skeleton, and DCP's description of where tensors lie."""

    skeleton: Any
    metadata: metadata.Metadata


def dump_index(whole: metadata.Metadata, pieces: Sequence[Piece], skeleton: Any) -> bytes:
    """The file of an index."""
    tensors = {
        name: {"dtype": told.properties.dtype, "size": list(told.size), "pieces": []}
        for name, told in whole.state_dict_metadata.items()
    }
    for name, offsets, number, path, start, nbytes in pieces:
        sizes = list(whole.state_dict_metadata[name].chunks[number].sizes)
        tensors[name]["pieces"].append([list(offsets), sizes, path, start, nbytes])
    return dump_values({"skeleton": skeleton, "tensors": tensors})


def load_index(data: bytes | memoryview, url: str) -> Index:
    """What an index says; nothing that it names is run.

    Raises:
        CheckpointDamaged: it is something else.
    """
    told = load_values(data, url)
    try:
        places: dict[Any, Any] = {}
        tensors = {name: _tensor(name, one, places) for name, one in told["tensors"].items()}
        return Index(
            skeleton=told["skeleton"],
            metadata=metadata.Metadata(tensors, storage_data=places),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(url, error) from error


def _tensor(
    name: str, told: Mapping[str, Any], places: dict[Any, Any]
) -> metadata.TensorStorageMetadata:
    chunks = []
    for number, (offsets, sizes, path, start, nbytes) in enumerate(told["pieces"]):
        index = metadata.MetadataIndex(name, torch.Size(offsets), number)
        places[index] = filesystem._StorageInfo(path, start, nbytes)
        chunks.append(metadata.ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)))
    return metadata.TensorStorageMetadata(
        properties=metadata.TensorProperties(dtype=told["dtype"]),
        size=torch.Size(told["size"]),
        chunks=chunks,
    )


def dump_values(values: Any) -> bytes:
    """Values and containers as bytes."""
    out = io.BytesIO()
    torch.save(values, out)
    return out.getvalue()


def load_values(data: bytes | memoryview, url: str) -> Any:
    """Values and containers; nothing that they name is run.

    Raises:
        CheckpointDamaged: the bytes are something else.
    """
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise _damaged(url, error) from error


def _damaged(url: str, error: Exception) -> CheckpointDamaged:
    why = (str(error) or type(error).__name__).splitlines()[0]
    return CheckpointDamaged(f"{url} can't be read: {why}", file=url, remedy="load an older step")
