"""Open files of `ds://`: one version for who reads, nothing to see until who writes has closed."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import Any, Final, Self

from fsspec.spec import AbstractBufferedFile

from deepseek_store.errors import GenerationMismatch, ReadOnlyStore, SegmentGone
from deepseek_store.fs.to_os_error import OsErrors, exists, is_folder, not_found
from deepseek_store.index.rows import Version
from deepseek_store.store import Store
from deepseek_store.write.buffers import bytes_of
from deepseek_store.write.receipt import Receipt
from deepseek_store.write.upload import Upload

_LOOKUPS: Final = 8


class ObjectReader(AbstractBufferedFile):  # type: ignore[misc]
    """Reads one version of an object, whatever is written under its key meanwhile."""

    def __init__(
        self, fs: Any, path: str, *, version: Version, details: dict[str, Any], **options: Any
    ) -> None:
        self._version = version
        self._details = details
        super().__init__(fs, path, mode="rb", **{**options, "size": version.nbytes})

    def _fetch_range(self, start: int, end: int) -> bytes:
        with OsErrors(self.path):
            return bytes(read_version(self.fs.store, self._version, start, end))

    def readline(self, size: int | None = -1) -> bytes:
        """One line with its end, or the first `size` bytes of it."""
        if size is None or size < 0:
            return bytes(self.readuntil(b"\n"))
        start = self.tell()
        line: bytes = self.read(size)
        end = line.find(b"\n") + 1
        if end:
            self.seek(start + end)
        return line[:end] if end else line

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """All lines that are left, or as many as have `hint` bytes."""
        return io.IOBase.readlines(self, hint)  # type: ignore[arg-type]


class ObjectWriter(AbstractBufferedFile):  # type: ignore[misc]
    """Hands bytes to the store as they come; `close` makes the object appear.

    Left by an exception, as a context, it stores nothing. `expect` as in `Store.put`.
    """

    def __init__(
        self, fs: Any, path: str, mode: str, *, upload: Upload, expect: int | None, autocommit: bool
    ) -> None:
        self._upload, self._expect = upload, expect
        self._receipt: Receipt | None = None
        # _begun: whether bytes were written; whether nothing is to be stored
        self._begun = self._given_up = False
        self.closed: bool
        super().__init__(fs, path, mode=mode, autocommit=autocommit)
        self.loc = upload.nbytes  # where the next byte goes

    def write(self, data: Any) -> int:
        """Write all of it, of any object with bytes; the file is given up if that fails."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        self._begun = True
        chunk = bytes_of(data)
        try:
            with OsErrors(self.path):
                self._upload.write(chunk)
        except BaseException:
            self.discard()  # or closing it, also by itself, would store a part
            raise
        nbytes = self._upload.nbytes - self.loc
        self.loc += nbytes
        return nbytes

    def seekable(self) -> bool:
        """Whether text may begin here with a byte order mark: nothing was written yet.

        `TextIOWrapper` writes one only to what says that it is seekable, and is at 0. There is
        nothing to seek to: `seek` raises ESPIPE.
        """
        return not (self.closed or self._begun)

    def flush(self, force: bool = False) -> None:
        """Nothing: bytes are in the log already, and nobody is to see them yet."""
        if self.closed:
            raise ValueError("Flush on closed file")

    def close(self) -> None:
        """Make the object appear, unless a transaction is to do that; idempotent."""
        if self.closed:
            return
        try:
            if self.autocommit:
                self.commit()
        finally:
            self.closed = True

    def commit(self) -> None:
        """Make the object appear; durable when it returns.

        Raises:
            FileExistsError: mode `x`, and somebody else was faster.
        """
        if self._receipt is not None or self._given_up or self._upload.foreign:
            return  # a child that was forked meanwhile leaves it to its parent
        try:
            with OsErrors(self.path):
                self._receipt = self._upload.commit(expect=self._expect)
        except GenerationMismatch as error:
            if self._expect == 0 and "x" in self.mode:
                raise exists(self.path) from error
            raise
        finally:
            self.closed = True

    def discard(self) -> None:
        """Store nothing, also at the end of a transaction; idempotent."""
        self._given_up = True
        self._upload.abort()
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            self.discard()
        self.close()


class TextWriter(io.TextIOWrapper):
    """Text over an `ObjectWriter`: left by an exception, it stores nothing."""

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None and isinstance(self.buffer, ObjectWriter):
            self.buffer.discard()  # also makes closing this one harmless
            return
        self.close()


def open_reader(fs: Any, path: str, entry: Callable[[str], dict[str, Any]], **options: Any) -> Any:
    """An object, to be read."""
    details = entry(path)
    if details["type"] != "file":
        raise is_folder(path)
    version = fs.store.parts.state.catalog.get(path)
    if version is None:
        raise not_found(path)
    return ObjectReader(fs, path, version=version, details=details, **options)


def open_writer(fs: Any, path: str, mode: str, *, autocommit: bool) -> ObjectWriter:
    """An object, to be written; what is there is gone when the new one appears, or goes before."""
    store: Store = fs.store
    if store.read_only:
        with OsErrors(path):
            raise ReadOnlyStore(store.read_only, url=store.url)
    present = store.parts.state.catalog.get(path)
    expect = None
    if mode == "xb":
        if present is not None:
            raise exists(path)
        expect = 0
    with OsErrors(path):
        upload = store.begin(path, append=mode == "ab")
    try:
        return ObjectWriter(fs, path, mode, upload=upload, expect=expect, autocommit=autocommit)
    except BaseException:
        upload.abort()
        raise


def read_version(store: Store, version: Version, start: int, stop: int) -> memoryview:
    """Bytes of that version, wherever it is by now.

    Raises:
        OSError: it was replaced, and is no longer kept (ESTALE).
    """
    catalog = store.parts.state.catalog
    for _ in range(_LOOKUPS):
        try:
            return store.parts.ranges.read(catalog.find(version.id) or version, start, stop)
        except SegmentGone:
            store.parts.state.refresh()
            if catalog.find(version.id) is None:
                break
    raise OSError(errno.ESTALE, "was replaced while it was read; open it again", version.key)
