"""A tier of folders on local disks: one object, one file."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import NoReturn

from deepseek_core import ObjectStat, Tier, TierProfile, errors
from deepseek_storage_local import options, vendor_errors
from deepseek_storage_local.direct import AlignedBuffers, read_direct, refusal
from deepseek_storage_local.handles import Descriptor, Handles, none_left
from deepseek_storage_local.listing import walk
from deepseek_storage_local.medium import Disk, profile_of
from deepseek_storage_local.names import path_of
from deepseek_storage_local.quota import Quota
from deepseek_storage_local.tier_folders import TierFolders
from deepseek_storage_local.volume import Volume
from deepseek_storage_local.writing import write_object

_log = logging.getLogger(__name__)
_MOST_NBYTES = 1 << 30  # of one pread; the kernel takes 2 GiB at most


def open_tier(url: str) -> LocalTier:
    """Open the folder of a `file` URL; it becomes a tier if it is none yet.

    Raises:
        ConfigError: the URL is wrong.
        TierLocked: someone else has it open, and one of both wants it alone.
        TierUnavailable: the folder can't be used.
    """
    return LocalTier(url)


class LocalTier(Tier):
    """Objects below a folder; a failure domain is a folder in it, of a disk of its own at best.

    It is pickled as its URL. `direct_refusal` says why O_DIRECT, if asked for, is not used.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._options = options.parse(url)
        self.failure_domains = self._options.domains
        self._folders: TierFolders | None = TierFolders(self._options, url)
        self._handles: Handles[Descriptor] = Handles()  # open files, those read last
        self._buffers = AlignedBuffers()
        self.direct_refusal = self._try_direct() if self._options.direct else None
        self._direct = self._options.direct and self.direct_refusal is None
        limit_nbytes = self._options.capacity_nbytes
        # None: as much as the disk has
        self._quota = None if limit_nbytes is None else Quota(limit_nbytes, self._count, url)

    def put_if_absent(self, key: str, data: bytes | bytearray | memoryview) -> bool:
        """Write an object unless the key is taken; True if it was written.

        Raises:
            TierFull: no space; nothing is left behind.
            TierUnavailable: its disk is gone, broken or not ours to write to.
            InputError: the key is not allowed.
        """
        volume, path = self._locate(key)
        view = memoryview(data).cast("B")
        with self._faults(volume):
            if self._quota is None:
                return self._write(volume, path, view)
            with self._quota.room_for(len(view)):
                wrote = self._write(volume, path, view)
                if not wrote:
                    self._quota.give_back(len(view))
                return wrote

    def get(self, key: str, start: int = 0, nbytes: int | None = None) -> bytes:
        """Bytes from `start`; all the rest without `nbytes`, fewer where the object ends.

        Raises:
            ObjectMissing: no such object.
            TierUnavailable: its disk is gone or broken.
            InputError: the key or the range is not allowed.
        """
        if start < 0 or (nbytes is not None and nbytes < 0):
            raise errors.InputError(
                f"no range: start {start}, nbytes {nbytes}", remedy="use 0 or more"
            )
        try:
            opened = self._handles.find(key)
            # A kept file may be another process's to delete: its name is gone then.
            if opened is None or not (found := os.fstat(opened.number)).st_nlink:
                opened = self._open(key)
                found = os.fstat(opened.number)
            rest = max(0, found.st_size - start)
            wanted = rest if nbytes is None else min(nbytes, rest)
            if self._direct:
                return read_direct(opened.number, start, wanted, self._buffers.get())
            if wanted <= _MOST_NBYTES:
                return os.pread(opened.number, wanted, start)
            return _read_long(opened.number, start, wanted)
        except errors.TierUnavailable:  # an OSError, and it says all already
            raise
        except OSError as error:
            self._handles.drop(key)
            raise vendor_errors.fault(error, f"{self.url}, object {key!r}", self.url) from error

    def delete(self, key: str) -> None:
        """Remove an object; none of that name is no error.

        Raises:
            TierUnavailable: its disk is gone or broken.
            InputError: the key is not allowed.
        """
        volume, path = self._locate(key)
        self._handles.drop(key)
        with self._faults(volume), self._quota.changing() if self._quota else nullcontext():
            try:
                nbytes = self._stat(volume, path).st_size
                os.unlink(path, dir_fd=volume.folder)
            except (FileNotFoundError, NotADirectoryError):
                self._check(volume)
                return
            volume.prune(path.rpartition("/")[0])
            if self._quota is not None:
                self._quota.give_back(nbytes)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Objects whose key starts with `prefix`, by key.

        Raises:
            TierUnavailable: a disk that may hold such objects is gone or broken.
        """
        folders = self._opened()
        domains = [name for name in self.failure_domains if _may_hold(name, prefix)]
        root = folders.root()  # held to the end: its number alone may come to be another folder's
        self._check(root)
        for name in domains:
            self._check(folders.domain(name))
        with self._faults(root):
            yield from walk(root.folder, prefix)

    def stat(self, key: str) -> ObjectStat:
        """Size and age of an object.

        Raises:
            ObjectMissing: no such object.
            TierUnavailable: its disk is gone or broken.
        """
        volume, path = self._locate(key)
        with self._faults(volume):
            try:
                found = self._stat(volume, path)
            except (FileNotFoundError, NotADirectoryError):
                self._raise_missing(volume, key)
        return ObjectStat(key=key, nbytes=found.st_size, modified_s=found.st_mtime)

    def profile(self) -> TierProfile:
        """Medium and speed, as given or usual, and the space on those disks that are there.

        Raises:
            TierUnavailable: no disk is there.
        """
        folders = self._opened()
        root = folders.root()
        with self._faults(root):
            disks = [Disk.of(volume) for volume in folders.present()]
            if not disks:
                names = self.failure_domains
                disks = [Disk.of(folders.domain(names[0]) if names else root)]
            used = None if self._quota is None else self._quota.used_nbytes
            return profile_of(self._options, disks, used)

    def close(self) -> None:
        """Let go of the folders and of the lock; idempotent."""
        folders, self._folders = self._folders, None
        self._handles.clear()
        if folders is not None:
            folders.close()

    def __reduce__(self) -> tuple[Callable[[str], LocalTier], tuple[str]]:
        return open_tier, (self.url,)

    def __repr__(self) -> str:
        return f"LocalTier({self.url!r})"

    def _opened(self) -> TierFolders:
        if self._folders is None:
            raise errors.StorageError(f"{self.url} is closed", url=self.url, remedy="open it again")
        return self._folders

    def _locate(self, key: str) -> tuple[Volume, str]:
        """The volume of a key, and the object's path there."""
        self.check_key(key)
        folders = self._opened()
        first, slash, rest = key.partition("/")
        if first not in self.failure_domains:
            return folders.root(), path_of(key)
        if not slash:
            raise errors.InputError(
                f"{key!r} is the name of a failure domain", remedy=f"use {key}/..., say"
            )
        return folders.domain(first), path_of(rest)

    def _write(self, volume: Volume, path: str, view: memoryview) -> bool:
        self._check(volume)
        if not self._opened().opening_name:
            raise OSError(errno.EROFS, "it may only be read: it did not let us enroll as a writer")
        buffer = self._buffers.get() if self._direct else None
        return write_object(volume, path, view, self._opened().opening_name, buffer)

    def _open(self, key: str) -> Descriptor:
        volume, path = self._locate(key)
        flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECT if self._direct else 0)
        with self._faults(volume):
            try:
                opened = Descriptor(os.open(path, flags, dir_fd=volume.folder))
            except (FileNotFoundError, NotADirectoryError):
                self._handles.drop(key)
                self._raise_missing(volume, key)
        self._handles.keep(key, opened)
        return opened

    def _raise_missing(self, volume: Volume, key: str) -> NoReturn:
        self._check(volume)
        raise vendor_errors.missing(key, self.url)

    def _stat(self, volume: Volume, path: str) -> os.stat_result:
        return os.stat(path, dir_fd=volume.folder, follow_symlinks=False)

    def _count(self) -> int:
        root = self._opened().root()
        return sum(found.nbytes for found in walk(root.folder, ""))

    def _try_direct(self) -> str | None:
        folders = self._opened()
        tried: dict[int, str | None] = {}  # one volume of each disk
        for volume in chain([folders.root()], folders.present()):
            if volume.device not in tried:
                tried[volume.device] = refusal(volume, folders.opening_name)
        reason = next((reason for reason in tried.values() if reason), None)
        if reason:
            _log.warning("direct=1 is not used: %s", reason)
        return reason

    def _check(self, volume: Volume) -> None:
        """See whether a disk is still there; if not, it is looked for again the next time."""
        try:
            volume.check(self.url)
        except errors.TierUnavailable:
            self._opened().forget(volume)
            self._handles.clear()
            raise

    @contextmanager
    def _faults(self, volume: Volume) -> Iterator[None]:
        try:
            yield
        except errors.TierUnavailable:  # an OSError, and it says all already
            raise
        except OSError as error:
            none_left(error)
            self._check(volume)
            raise vendor_errors.fault(error, volume.path, self.url) from error


def _may_hold(domain: str, prefix: str) -> bool:
    front = f"{domain}/"
    return front.startswith(prefix) or prefix.startswith(front)


def _read_long(number: int, start: int, nbytes: int) -> bytes:
    content = bytearray()
    while len(content) < nbytes:
        piece = os.pread(number, min(_MOST_NBYTES, nbytes - len(content)), start + len(content))
        if not piece:
            break
        content += piece
    return bytes(content)
