"""A folder at a URL of fsspec: whole files, listed afresh, and errors of the SDK."""

from __future__ import annotations

import errno
import hashlib
import io
import mmap
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from deepseek_core import console, errors
from deepseek_parallel.checkpoint.manifest import File
from deepseek_parallel.errors import CheckpointDamaged

_CHUNK_NBYTES: Final = 4 << 20
_NOTHING_THERE: Final = FileNotFoundError, NotADirectoryError, IsADirectoryError
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FLAT: Final = {"abfs", "az", "ds", "gcs", "gs", "memory", "s3", "s3a"}  # folders are prefixes


class Place:
    """Files below one URL, which `url` tells without a password.

    `read_nbytes` and `written_nbytes` count what went through it.

    Raises:
        ConfigError: fsspec knows no such scheme, or a library is missing for it.
        InputError: it connects at once, and nobody answers.
    """

    def __init__(self, url: str | os.PathLike[str], **options: Any) -> None:
        from fsspec.implementations.local import LocalFileSystem

        address = os.fspath(url).rstrip("/") or "/"
        self._fs, root = console.open_url(address, **options)
        self.url = console.without_password(address)
        self._root = root or "/"
        self.is_local = isinstance(self._fs, LocalFileSystem)
        self.is_shared = "memory" not in _protocols(self._fs)
        self.read_nbytes = self.written_nbytes = 0

    @property
    def folder(self) -> Path | None:
        """By its whole path, where it is one of this machine's file system."""
        return Path(self._root) if self.is_local else None

    def below(self, name: str) -> Self:
        """A folder in it."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.url, made._root = f"{self.url.rstrip('/')}/{name}", self._path(name)
        made.read_nbytes = made.written_nbytes = 0
        return made

    def url_of(self, name: str) -> str:
        """The URL of a file in it."""
        return f"{self.url.rstrip('/')}/{name}"

    def make(self) -> None:
        """See that the folder is there.

        Raises:
            WriteError: it can't be made.
        """
        if not _FLAT & set(_protocols(self._fs)):
            with self._writing(""):
                self._fs.makedirs(self._root, exist_ok=True)

    def names(self) -> list[str]:
        """What lies right in it, in order; nothing if it is not there.

        Raises:
            InputError: it can't be listed.
        """
        with self._reading(""):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(self._root, detail=False)
            except _NOTHING_THERE:
                return []
        return sorted({str(name).rstrip("/").rpartition("/")[2] for name in found} - {""})

    def files(self) -> dict[str, int]:
        """All files below it, by their path inside, with their bytes."""
        with self._reading(""):
            self._fs.invalidate_cache()
            found = self._fs.find(self._root, detail=True)
        start = len(self._fs._strip_protocol(self._root).rstrip("/")) + 1
        return {str(name)[start:]: int(info["size"] or 0) for name, info in sorted(found.items())}

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        with self._reading(name):
            self._fs.invalidate_cache()
            return bool(self._fs.isfile(self._path(name)))

    def is_link(self, name: str) -> bool:
        """Whether a name is a symbolic link: what it leads to is not ours."""
        return self.is_local and Path(self._path(name)).is_symlink()

    def read(self, name: str) -> bytes | None:
        """All bytes of a small file; None if there is none.

        Raises:
            InputError: it can't be read.
        """
        try:
            with self._reading(name):
                data: bytes = self._fs.cat_file(self._path(name))
        except _NOTHING_THERE:
            return None
        self.read_nbytes += len(data)
        return data

    def read_verified(self, file: File) -> memoryview:
        """The bytes of a file of a checkpoint; mapped from a disk, else in memory.

        Raises:
            CheckpointDamaged: it is missing, or has other bytes.
        """
        try:
            with self._reading(file.path):
                data = self._mapped(file.path) if self.is_local else None
                if data is None:
                    data = memoryview(self._fs.cat_file(self._path(file.path)))
        except _NOTHING_THERE as error:
            raise self._damaged(file, "is missing") from error
        self.read_nbytes += len(data)
        if len(data) != file.nbytes:
            raise self._damaged(file, f"has {len(data)} bytes, and {file.nbytes} were saved")
        digest = hashlib.sha256()
        for start in range(0, len(data), _CHUNK_NBYTES):
            digest.update(data[start : start + _CHUNK_NBYTES])
        if digest.hexdigest() != file.sha256:
            raise self._damaged(file, "has other bytes than were saved, by its hash")
        return data

    def hashed(self, name: str, tell: Callable[[int], None]) -> File | None:
        """Size and hash of a file, read piece by piece; None if it is missing.

        `tell` is given the bytes of each piece.

        Raises:
            InputError: it can't be read.
        """
        digest, nbytes = hashlib.sha256(), 0
        try:
            with self._reading(name), self._fs.open(self._path(name), "rb") as opened:
                while piece := opened.read(_CHUNK_NBYTES):
                    digest.update(piece)
                    nbytes += len(piece)
                    tell(len(piece))
        except _NOTHING_THERE:
            return None
        return File(path=name, nbytes=nbytes, sha256=digest.hexdigest())

    def copy_to(self, name: str, target: Place, tell: Callable[[int], None]) -> File:
        """Copy a file to the same name elsewhere; what arrived.

        Raises:
            InputError, WriteError: it can't be read or written.
        """
        with (
            self._reading(name),
            self._fs.open(self._path(name), "rb") as opened,
            target.writing(name) as stream,
        ):
            while piece := opened.read(_CHUNK_NBYTES):
                stream.write(piece)
                tell(len(piece))
        return stream.file(name)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, which is there whole or not at all.

        Raises:
            WriteError: it can't be written.
        """
        with self._writing(name):
            if self.is_local:
                self._replace(Path(self._path(name)), data)
            else:
                self._fs.pipe_file(self._path(name), data)
        self.written_nbytes += len(data)

    @contextmanager
    def writing(self, name: str) -> Iterator[Hashed]:
        """A new file to stream into; it is on the disk at the end, or away after an error.

        Raises:
            WriteError: it can't be written.
        """
        path, hashed = self._path(name), None
        with self._writing(name):
            try:
                with self._fs.open(path, "wb") as opened:
                    hashed = Hashed(opened)
                    yield hashed
                    opened.flush()
                    if self.is_local:
                        os.fsync(opened.fileno())
            except BaseException:
                with suppress(Exception):  # what went wrong first is told
                    self._fs.rm_file(path)
                if hashed is not None and hashed.failed is not None:
                    raise hashed.failed from None  # torch makes a RuntimeError of it
                raise
        self.written_nbytes += hashed.nbytes

    def remove(self, name: str) -> None:
        """Take a file away, if it is there.

        Raises:
            WriteError: it can't be removed.
        """
        with self._writing(name), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def remove_all(self, first: str) -> None:
        """Take away the file `first`, then all others, then the folder.

        Names are taken as they are: `fs.rm` would take some for patterns, and remove others.

        Raises:
            WriteError: one can't be removed.
        """
        self.remove(first)
        for name in self.files():
            self.remove(name)
        if self.is_local:
            self._remove_folders()
        else:
            self._fs.invalidate_cache()
            with suppress(Exception):  # object stores have no folders; ds:// may keep an empty one
                self._fs.rmdir(self._root)

    def sync(self) -> None:
        """See that the names of local files are on the disk, too."""
        if self.is_local:
            _sync_folder(Path(self._root))

    def _remove_folders(self) -> None:
        with self._writing(""):
            for folder, _, _ in os.walk(self._root, topdown=False):
                Path(folder).rmdir()

    def _mapped(self, name: str) -> memoryview | None:
        """A file of a disk without a copy; None where it is empty."""
        with Path(self._path(name)).open("rb") as opened:
            if not os.fstat(opened.fileno()).st_size:
                return None
            return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))

    def _replace(self, path: Path, data: bytes) -> None:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with partial.open("wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except errors.DeepSeekError:
            raise
        except Exception as error:
            raise errors.WriteError(
                f"{self.url_of(name)} can't be written: {_why(error)}", remedy=_remedy(error)
            ) from error

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except (*_NOTHING_THERE, errors.DeepSeekError):
            raise
        except Exception as error:
            raise errors.InputError(
                f"{self.url_of(name)} can't be read: {_why(error)}",
                remedy="see to the permissions and the connection",
            ) from error

    def _damaged(self, file: File, what: str) -> CheckpointDamaged:
        url = self.url_of(file.path)
        return CheckpointDamaged(
            f"{url} {what}",
            file=url,
            remedy="bring that file back from a copy, or load an older step; "
            f"`ds-sdk ckpt verify {self.url.rpartition('/')[0]}` tells which are whole",
        )


class Hashed(io.RawIOBase):
    """A file that is written, and the SHA-256 of what went in."""

    def __init__(self, opened: Any) -> None:
        super().__init__()
        self._opened, self._digest = opened, hashlib.sha256()
        self.nbytes = 0
        self.failed: OSError | None = None

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        self._digest.update(view)
        try:
            self._opened.write(view)
        except OSError as error:
            self.failed = error
            raise
        self.nbytes += len(view)
        return len(view)

    def tell(self) -> int:
        """Bytes written."""
        return self.nbytes

    def file(self, path: str) -> File:
        """What was written, under that path."""
        return File(path=path, nbytes=self.nbytes, sha256=self._digest.hexdigest())


def _sync_folder(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _why(error: Exception) -> str:
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return console.without_password(told)


def _remedy(error: Exception) -> str:
    if getattr(error, "errno", None) in _NO_ROOM:
        return "free space there, or keep fewer checkpoints"
    return "see to the permissions there, or give another URL"
