"""A folder that files are written into: never out of it, never half a file.

Each folder on the way is opened from the one above without following a symbolic link; a file is
written under a name of its own, and then takes its place.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO, Final, cast

import attrs

from deepseek_store.cli.local.walk import current_umask

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLE_NBYTES: Final = 64 << 10
_ZEROS: Final = bytes(_HOLE_NBYTES)

Buffer = bytes | bytearray | memoryview


class Unwritable(Exception):
    """There can be no such file; the text says why."""


@attrs.frozen(kw_only=True)
class Looks:
    """What a file gets beside its bytes; None: what a new one has."""

    mode: int | None = None
    mtime_ns: int | None = None


class TargetFolder:
    """Writes below one folder; for any thread, if `close` is called after the last one.

    Raises:
        Unwritable: from all that write.
    """

    def __init__(self, root: str) -> None:
        self._umask = current_umask()
        os.makedirs(root, exist_ok=True)  # noqa: PTH103 - as it was given, links and all
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._near = threading.local()  # by thread: the folder last written to, and its descriptor
        self._open: set[int] = set()  # descriptors to close
        self._numbers = itertools.count()  # of names that files have while they are written
        # folder -> mode and time to give it at the end, when nothing is written there any more
        self._looks: dict[str, Looks] = {}

    def finish(self) -> Iterator[tuple[str, OSError]]:
        """Give folders their permissions and times, the deepest first; those where it failed."""
        for path in sorted(self._looks, reverse=True):
            try:
                descriptor = self._walk(path)
                try:
                    self._dress(descriptor, self._looks[path])
                finally:
                    os.close(descriptor)
            except OSError as error:
                yield path, error

    def close(self) -> None:
        """Let go of all."""
        for descriptor in (*self._open, self._root):
            os.close(descriptor)

    def look(self, path: str) -> os.stat_result | None:
        """What is there, a link itself; None if nothing is."""
        folder, _, name = path.rpartition("/")
        try:
            return os.stat(name, dir_fd=self._folder(folder, make=False), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def write(
        self, path: str, pieces: Iterable[Buffer], looks: Looks, *, sparse: bool = False
    ) -> int:
        """A file, which is there when all of it is; how many bytes."""
        folder, name = self._place(path)
        with _Partial(folder, self._number()) as partial:
            descriptor = os.open(partial.name, _NEW, 0o600, dir_fd=folder)
            try:
                nbytes = sum(_write_all(descriptor, piece, sparse) for piece in pieces)
                if sparse:
                    os.ftruncate(descriptor, nbytes)
                self._dress(descriptor, attrs.evolve(looks, mode=self._mode(looks.mode, 0o666)))
            finally:
                os.close(descriptor)
            partial.take_place(name)
        return nbytes

    def link(self, path: str, text: bytes) -> None:
        """A symbolic link."""
        folder, name = self._place(path)
        with _Partial(folder, self._number()) as partial:
            os.symlink(text, os.fsencode(partial.name), dir_fd=folder)
            partial.take_place(name)

    def dress(self, path: str, looks: Looks) -> None:
        """Give a file that is there its permissions and its time."""
        folder, name = self._place(path)
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
        try:
            self._dress(descriptor, looks)
        finally:
            os.close(descriptor)

    def make_folder(self, path: str, looks: Looks) -> None:
        """A folder; its looks are given at the end, or nothing could be written into it."""
        if path:
            self._folder(path)
            self._looks[path] = looks

    def remove(self, path: str) -> None:
        """Take a file away, or a link."""
        folder, name = self._place(path)
        os.unlink(name, dir_fd=folder)

    def remove_folder(self, path: str) -> bool:
        """Take a folder away if it is empty; False if it is not."""
        folder, name = self._place(path)
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def _mode(self, mode: int | None, usual: int) -> int:
        # setuid and its like are for whoever installs a program, not for who fetches a file.
        return usual & ~self._umask if mode is None else mode & 0o777

    def _dress(self, descriptor: int, looks: Looks) -> None:
        if looks.mode is not None:
            os.fchmod(descriptor, looks.mode & 0o777)
        if looks.mtime_ns is not None:
            os.utime(descriptor, ns=(looks.mtime_ns, looks.mtime_ns))

    def _number(self) -> int:
        return next(self._numbers)

    def _place(self, path: str) -> tuple[int, str]:
        """The open folder that a path lies in, and its last part."""
        folder, _, name = path.rpartition("/")
        if name in ("", ".", "..") or "\0" in path:
            raise Unwritable(f"{name!r} is not a name of a file")
        return self._folder(folder), name

    def _folder(self, path: str, *, make: bool = True) -> int:
        """A folder, opened once as long as a thread writes into that one."""
        if not path:
            return self._root
        near = getattr(self._near, "found", None)
        if near is not None and near[0] == path:
            return int(near[1])
        descriptor = self._walk(path, make=make)
        self._forget()
        self._near.found = path, descriptor
        self._open.add(descriptor)
        return descriptor

    def _forget(self) -> None:
        near = getattr(self._near, "found", None)
        if near is not None:
            self._near.found = None
            self._open.discard(near[1])
            os.close(near[1])

    def _walk(self, path: str, *, make: bool = True) -> int:
        at = os.dup(self._root)
        try:
            for part in path.split("/"):
                below = _enter(at, part, path, make=make)
                os.close(at)
                at = below
        except BaseException:
            os.close(at)
            raise
        return at


def _enter(above: int, part: str, path: str, *, make: bool) -> int:
    if part in ("", ".", ".."):
        raise Unwritable(f"{part!r} is not a name of a folder")
    try:
        return os.open(part, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        raise _in_the_way(above, part, error) from error
    with suppress(FileExistsError):  # another thread was faster
        os.mkdir(part, 0o777, dir_fd=above)
    return os.open(part, _FOLDER, dir_fd=above)


def _in_the_way(above: int, part: str, error: OSError) -> Exception:
    """Why a part of a path is not a folder."""
    try:
        mode = os.stat(part, dir_fd=above, follow_symlinks=False).st_mode
    except OSError:
        return error
    if stat.S_ISLNK(mode):
        return Unwritable(f"{part} is a symbolic link there; nothing is written through it")
    if not stat.S_ISDIR(mode):
        return Unwritable(f"{part} is a file there, not a folder")
    return error


class _Partial:
    """A file on its way: under a short name of its own, taken away unless it took its place."""

    def __init__(self, folder: int, number: int) -> None:
        self._folder = folder
        self.name = f".ds-get.{os.getpid()}.{number}.part"
        self._there = True

    def take_place(self, name: str) -> None:
        """Give it its name; what was there is replaced, a link itself and not what it points to."""
        os.rename(self.name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._there = False

    def __enter__(self) -> _Partial:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._there:
            with suppress(FileNotFoundError):
                os.unlink(self.name, dir_fd=self._folder)


def _write_all(descriptor: int, piece: Buffer, sparse: bool) -> int:
    if sparse:
        return _write_sparse(descriptor, memoryview(piece))
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return len(piece)


def _write_sparse(descriptor: int, piece: memoryview) -> int:
    """Blocks of zeros become holes."""
    for at in range(0, len(piece), _HOLE_NBYTES):
        block = piece[at : at + _HOLE_NBYTES]
        if bytes(block) == _ZEROS[: len(block)]:
            os.lseek(descriptor, len(block), os.SEEK_CUR)
        else:
            _write_all(descriptor, block, sparse=False)
    return len(piece)


def stays_inside(path: str, text: str) -> bool:
    """Whether a link at a path leads to something below the same folder, as far as text tells."""
    if text.startswith("/"):
        return False
    depth = path.count("/")
    for part in text.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return False
    return True


def opened_to_write(path: str, waits: Callable[[], None]) -> BinaryIO | None:
    """A device or a FIFO, opened as it is; None for what can be replaced by a file.

    A FIFO that nobody reads is waited for, as a shell does; `waits` is called before.

    Raises:
        OSError: it can't be opened: a socket, or another's.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - of what a link leads to
    except OSError:
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if stat.S_ISFIFO(mode):
        if (read := _opened_if_read(path)) is not None:
            return read
        waits()
    return cast(BinaryIO, open(path, "wb", buffering=0))  # noqa: PTH123 - the caller closes it


def _opened_if_read(path: str) -> BinaryIO | None:
    """A FIFO, if somebody has opened it to read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise
    os.set_blocking(descriptor, True)
    return cast(BinaryIO, open(descriptor, "wb", buffering=0))  # noqa: PTH123
