"""Files of `torch.distributed.checkpoint` (DCP), over a place, and read without running code.

The one module that knows how DCP names and lays out its files. What is written here, plain
`torch.distributed.checkpoint.load` reads.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol, cast

import torch
from torch.distributed.checkpoint import filesystem, metadata, planner

from deepseek_parallel.checkpoint.manifest import File
from deepseek_parallel.checkpoint.place import Hashed
from deepseek_parallel.errors import CheckpointDamaged

METADATA: Final = ".metadata"
VALUES: Final = "values.pt"

# All that `.metadata` may name: a pickle that names more would run code of whoever wrote it.
_NAMES: Final = {
    "collections": {"OrderedDict"},
    "pathlib": {"PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"},
    "pathlib._local": {"PosixPath", "PurePosixPath"},
    "torch": {"Size"} | {str(d).removeprefix("torch.") for d in vars(torch).values()
                         if isinstance(d, torch.dtype)},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta",
        "TensorProperties", "TensorStorageMetadata", "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
}  # fmt: skip


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
        """A new file."""
        name = os.fspath(path)
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
        """No: each save has a folder of its own."""
        return False

    def rename(self, path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> None:
        """Not needed: nothing is written under another name."""
        raise NotImplementedError

    def rm_file(self, path: str | os.PathLike[str]) -> None:
        """Not needed: nothing is replaced."""
        raise NotImplementedError

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Any."""
        return True


class PartWriter(filesystem.FileSystemWriter):
    """DCP's writer of the files of one rank."""

    def __init__(self, place: Writable) -> None:
        super().__init__("", sync_files=False)
        self.fs = self.files = PartFiles(place)

    def write(self, plan: planner.SavePlan, data: Any) -> list[tuple[Any, ...]]:
        """Write a plan, as `data` resolves it; where each piece lies, as `dump_metadata` takes."""
        results = self.write_data(plan, data).wait()
        return [
            (r.index.fqn, r.index.offset and tuple(r.index.offset), r.index.index,
             r.storage_data.relative_path, r.storage_data.offset, r.storage_data.length)
            for r in results
        ]  # fmt: skip


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


def dump_metadata(
    planned: metadata.Metadata, pieces: Sequence[tuple[Any, ...]], nonce: str
) -> bytes:
    """The file `.metadata` of a part: what was planned, and where each piece of it lies."""
    planned.storage_data = {
        metadata.MetadataIndex(fqn, offset and torch.Size(offset), index):
            filesystem._StorageInfo(path, start, length)
        for fqn, offset, index, path, start, length in pieces
    }  # fmt: skip
    planned.version = filesystem.CURRENT_DCP_VERSION
    planned.storage_meta = metadata.StorageMeta(save_id=nonce)
    return pickle.dumps(planned)


def load_metadata(data: bytes | memoryview, url: str) -> metadata.Metadata:
    """What a file `.metadata` says; nothing that it names is run.

    Raises:
        CheckpointDamaged: it is none.
    """
    try:
        found = _Unpickler(io.BytesIO(data)).load()
        if not isinstance(found, metadata.Metadata) or not isinstance(found.storage_data, dict):
            raise pickle.UnpicklingError("it is of another kind")
    except Exception as error:
        raise CheckpointDamaged(
            f"{url} is no metadata of torch.distributed.checkpoint: {error}",
            file=url,
            remedy="load an older step",
        ) from error
    return found


def paths_of(found: metadata.Metadata) -> dict[str, set[str]]:
    """The files that hold a tensor, by its name."""
    paths: dict[str, set[str]] = {}
    for index, info in cast(Mapping[Any, Any], found.storage_data).items():
        paths.setdefault(index.fqn, set()).add(info.relative_path)
    return paths


def dump_values(skeleton: Any) -> bytes:
    """A skeleton as bytes."""
    out = io.BytesIO()
    torch.save(skeleton, out)
    return out.getvalue()


def load_values(data: bytes | memoryview, url: str) -> Any:
    """A skeleton; nothing that it names is run.

    Raises:
        CheckpointDamaged: it is none.
    """
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointDamaged(
            f"{url} can't be read: {str(error).splitlines()[0]}", file=url,
            remedy="load an older step",
        ) from error  # fmt: skip


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _NAMES.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)
