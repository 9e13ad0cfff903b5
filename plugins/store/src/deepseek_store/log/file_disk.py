"""A folder of a file system as the log's disk."""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_store import from_os_error, handles
from deepseek_store.commands import command
from deepseek_store.log.disk import MARK, Disk
from deepseek_store.log.new_names import rename_new
from deepseek_store.log.records import Buffer, Extent, hash_of
from deepseek_store.log.segment import active_name, sealed_name

_MOST_PARTS: Final = 1024  # IOV_MAX of Linux and the BSDs
_REMOVED: Final = " (deleted)"
_NO_RESERVE: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class FileDisk(Disk):
    """Segments as files of one folder; up to `most_open` of them stay open (None: as `handles`).

    Raises:
        TierUnavailable: there is no such folder.
    """

    def __init__(self, folder: Path, *, most_open: int | None = None) -> None:
        self.folder = folder
        self.url = str(folder)
        self._prefix = f"{self.url}/"  # paths are built on the hot path
        self._files = _OpenFiles(self._prefix, most_open)
        if not folder.is_dir():
            raise _unavailable(self.url, f"{self.url}: there is no such folder")

    def create(self, name: str, nbytes: int) -> None:
        """A new file whose blocks are reserved, where the file system can do that."""
        path = self._prefix + name
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file = _File(handles.patiently(lambda: os.open(path, flags, 0o644)))
            try:
                _reserve(file.descriptor, nbytes)
            except OSError:
                Path(path).unlink()
                raise
        except OSError as error:
            raise self._typed(error, name) from error
        self._files.add(name, file)

    def write_at(self, name: str, offset: int, parts: Sequence[Buffer]) -> None:
        """Write all parts, in one system call where that is enough."""
        try:
            # Held to the end: by its number alone, what comes to be closed is another's soon.
            file = self._files.get(name)
            if len(parts) <= _MOST_PARTS:
                _write_all(file.descriptor, parts, offset)
                return
            for start in range(0, len(parts), _MOST_PARTS):
                batch = parts[start : start + _MOST_PARTS]
                offset += _write_all(file.descriptor, batch, offset)
        except OSError as error:
            raise self._typed(error, name) from error

    def sync(self, name: str) -> None:
        """`fdatasync`; that the file was removed meanwhile is an error."""
        try:
            file = self._files.get(name)
            os.fdatasync(file.descriptor)
            removed = _is_removed(file.descriptor)
        except OSError as error:
            raise self._typed(error, name) from error
        if removed:
            # The folder is gone: the file takes all that is written, and vanishes when it closes.
            raise _unavailable(self.url, f"{self._prefix}{name} was removed")

    def sync_dir(self) -> None:
        """`fsync` of the folder."""
        try:
            # Not a kept descriptor: the folder may have been moved and another put in its place.
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            folder = _File(handles.patiently(lambda: os.open(self.url, flags)))
            os.fsync(folder.descriptor)
        except OSError as error:
            raise self._typed(error, "") from error

    def read_at(self, name: str, offset: int, nbytes: int) -> bytes:
        """One `pread`; more only where the kernel gives less."""
        try:
            file = self._files.get(name)
            data = os.pread(file.descriptor, nbytes, offset)
            if len(data) == nbytes or not data:
                return data
            return _read_rest(file.descriptor, data, offset, nbytes)
        except OSError as error:
            raise self._typed(error, name) from error

    def read_extent(self, extent: Extent, *, active: bool = False) -> bytes:
        """By the file that is open already, in one step; whatever is odd takes the long way."""
        segment, offset, nbytes, xxh3 = extent
        file = self._files.find(active_name(segment) if active else sealed_name(segment))
        if file is not None:
            try:
                data = os.pread(file.descriptor, nbytes, offset)
            except OSError:
                data = b""
            if len(data) == nbytes and hash_of(data) == xxh3:
                return data
        return super().read_extent(extent, active=active)

    def view(self, name: str) -> memoryview:
        """A mapping of the file; it must not be truncated while somebody looks at it."""
        try:
            file = self._files.get(name)
            if os.fstat(file.descriptor).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.descriptor, 0, access=mmap.ACCESS_READ))
        except OSError as error:
            raise self._typed(error, name) from error

    def size(self, name: str) -> int:
        """Size of the file, reserved space included."""
        try:
            file = self._files.get(name)
            return os.fstat(file.descriptor).st_size
        except OSError as error:
            raise self._typed(error, name) from error

    def truncate(self, name: str, nbytes: int) -> None:
        """`ftruncate`."""
        try:
            file = self._files.get(name)
            os.ftruncate(file.descriptor, nbytes)
        except OSError as error:
            raise self._typed(error, name) from error

    def rename(self, old: str, new: str) -> None:
        """The open descriptor goes with the file."""
        try:
            rename_new(self._prefix + old, self._prefix + new)
        except OSError as error:
            raise self._typed(error, new if error.errno == errno.EEXIST else old) from error
        self._files.rename(old, new)

    def replace(self, old: str, new: str) -> None:
        """The open descriptor goes with the file; that of the other one is forgotten."""
        try:
            Path(self._prefix + old).replace(self._prefix + new)
        except OSError as error:
            raise self._typed(error, old) from error
        self._files.rename(old, new)

    def remove(self, name: str) -> None:
        """Unlink; views, and reads under way, keep the bytes."""
        self._files.drop(name)
        try:
            Path(self._prefix + name).unlink(missing_ok=True)
        except OSError as error:
            raise self._typed(error, name) from error

    def list(self) -> list[str]:
        """Names of the files in the folder, but for marks, which are its own."""
        try:
            with handles.patiently(lambda: os.scandir(self.url)) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if entry.is_file() and not entry.name.startswith(MARK)
                )
        except OSError as error:
            raise self._typed(error, "") from error

    def close(self) -> None:
        """Close all descriptors; the next use opens them again."""
        self._files.let_go()

    def _typed(self, error: OSError, name: str) -> errors.StorageError:
        """Our error for one of the system's."""
        if error.errno == errno.EEXIST:
            what = f"{self._prefix}{name}: {error.strerror}"
            remedy = command("rebuild", self.home)
            return errors.TierUnavailable(what, url=self.url, remedy=remedy)
        if error.errno == errno.ENOENT and name and self.folder.is_dir():
            return errors.ObjectMissing(f"{self._prefix}{name}: {error.strerror}", url=self.url)
        return from_os_error.typed(error, f"{self._prefix}{name}", self.url)


class _File:
    """A descriptor that is closed when the last one who uses it lets go."""

    __slots__ = ("descriptor", "used")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.used = True

    # Counting references is the interpreter's job: no reader pays for a lock, and no number is
    # used again for another file while somebody reads by it.
    def __del__(self) -> None:
        os.close(self.descriptor)


class _OpenFiles:
    """Open files by name, one that was not used of late dropped; safe between threads."""

    def __init__(self, prefix: str, most: int | None) -> None:
        self._prefix, self._most = prefix, most
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _File] = OrderedDict()
        handles.register(self)

    def add(self, name: str, file: _File) -> None:
        """Keep an open file."""
        with self._lock:
            self._files[name] = file
            most = handles.share() if self._most is None else self._most
            while len(self._files) > most:
                self._drop_one()

    def get(self, name: str) -> _File:
        """The open file of that name; opened if it is not.

        Raises:
            OSError: it can't be opened.
        """
        file = self.find(name)
        if file is not None:
            return file
        file = handles.patiently(lambda: _opened(self._prefix + name))
        self.add(name, file)
        return file

    def find(self, name: str) -> _File | None:
        """The file of that name, if it is open."""
        file = self._files.get(name)  # without the lock: every hot read goes through here
        if file is not None:
            file.used = True
        return file

    def rename(self, old: str, new: str) -> None:
        """The file has another name now."""
        with self._lock:
            self._files.pop(new, None)
            file = self._files.pop(old, None)
            if file is not None:
                self._files[new] = file

    def drop(self, name: str) -> None:
        """Forget a file."""
        with self._lock:
            self._files.pop(name, None)

    def _drop_one(self) -> None:
        """Forget the oldest that nobody used since it was looked at here."""
        for name, file in list(self._files.items()):
            if not file.used:
                del self._files[name]
                return
            file.used = False
            self._files.move_to_end(name)
        self._files.popitem(last=False)

    def let_go(self) -> None:
        """Forget all; the next use opens them again."""
        with self._lock:
            dropped, self._files = self._files, OrderedDict()
        del dropped  # closed here, outside of the lock


def _opened(path: str) -> _File:
    try:
        return _File(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS):
            raise
        return _File(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def _is_removed(descriptor: int) -> bool:
    """Whether an open file has no name any more.

    Linux tells by the link in /proc. `fstat` would mark the file's times as seen, so that the next
    write has to store new ones, and its flush a transaction of the file system: 40 us (Linux 6.13
    and later, ext4). The link says so too of a file that got another name by link and unlink.
    """
    try:
        link = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - hot
    except OSError:
        link = _REMOVED
    # One that got another name by a hard link still goes by its first one, which is gone.
    return link.endswith(_REMOVED) and os.fstat(descriptor).st_nlink == 0


def _reserve(descriptor: int, nbytes: int) -> None:
    """Take the space now: a full disk is met here, not in the middle of a group.

    Blocks that were written before would make a flush cheaper still (64 KiB on ext4: growing file
    0.22 ms, reserved 0.18, overwritten 0.12), but to fill them with zeros costs what they save and
    wears the disk twice, and to use a removed segment's again would change bytes that somebody may
    still look at.
    """
    if nbytes == 0:
        return
    if not hasattr(os, "posix_fallocate"):  # macOS
        os.ftruncate(descriptor, nbytes)
        return
    try:
        os.posix_fallocate(descriptor, 0, nbytes)
    except OSError as error:
        if error.errno not in _NO_RESERVE:
            raise
        os.ftruncate(descriptor, nbytes)


def _write_all(descriptor: int, parts: Sequence[Buffer], offset: int) -> int:
    """How many bytes these are, once all are written."""
    done = os.pwritev(descriptor, parts, offset)
    wanted = sum([part.nbytes if isinstance(part, memoryview) else len(part) for part in parts])
    while done < wanted:  # a signal, or a disk that just got full
        rest = memoryview(b"".join(parts))[done:]
        done += os.pwrite(descriptor, rest, offset + done)
    return done


def _read_rest(descriptor: int, data: bytes, offset: int, nbytes: int) -> bytes:
    parts = [data]
    done = len(data)
    while done < nbytes and (more := os.pread(descriptor, nbytes - done, offset + done)):
        parts.append(more)
        done += len(more)
    return b"".join(parts)


def _unavailable(url: str, what: str) -> errors.TierUnavailable:
    return errors.TierUnavailable(what, url=url, remedy="check the disk and its mount")
