"""One log on several disks: every file is on each, and one disk may fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from deepseek_core import errors
from deepseek_store.log.copies import Sealed
from deepseek_store.log.disk import Disk, read_verified
from deepseek_store.log.records import Buffer, Extent, hash_of
from deepseek_store.log.resync import MARKER, level

_log = logging.getLogger(__name__)
_NONE: Final[Mapping[str, str]] = {}
T = TypeVar("T")


class MirroredDisk(Disk):
    """Writes to all disks; a call returns when all have done it, and reads the first that can.

    A disk that fails is left out (`degraded` says why) until `resync`. The others keep a marker of
    that, so it is not trusted after a restart either. `late` are disks that are known to have
    missed something; without `writing` nothing is noted.

    Raises:
        InputError: fewer than two disks, or one twice.
        TierUnavailable: none of the disks can be read.
    """

    def __init__(
        self, disks: Sequence[Disk], *, late: Mapping[str, str] = _NONE, writing: bool = True
    ) -> None:
        self.url = ", ".join(disk.url for disk in disks)
        self._disks = {disk.url: disk for disk in disks}
        if len(self._disks) != len(disks) or len(disks) < 2:
            raise errors.InputError(f"a mirrored log needs disks that differ, not {self.url!r}")
        self.home = disks[0].home
        self._degraded: dict[str, str] = {}
        self._remedies: dict[str, str] = {}
        self._bad_copy: Callable[[int, errors.StorageError], None] | None = None
        self._left_out: Callable[[str, str], None] | None = None
        # Held by each change, so that a disk that is brought up to date misses none.
        self._changing = threading.RLock()
        self._pool = ThreadPoolExecutor(len(disks) - 1, thread_name_prefix="ds-mirror")
        self._writing = writing
        self._find_stale(late)

    @property
    def degraded(self) -> Mapping[str, str]:
        """Why a disk is left out, by its url."""
        return dict(self._degraded)

    @property
    def remedies(self) -> Mapping[str, str]:
        """What to do about a disk that is left out, by its url, where its error said so."""
        return dict(self._remedies)

    def replicas(self) -> Sequence[Disk]:
        """The disks that have missed nothing."""
        return [disk for url, disk in self._disks.items() if url not in self._degraded]

    def create(self, name: str, nbytes: int) -> None:
        """On all disks, or on none."""
        try:
            self._all(lambda disk: disk.create(name, nbytes), full_is_failure=False)
        except errors.TierFull:
            self.remove(name)
            raise

    def write_at(self, name: str, offset: int, parts: Sequence[Buffer]) -> None:
        """On all disks."""
        self._all(lambda disk: disk.write_at(name, offset, parts))

    def sync(self, name: str) -> None:
        """On all disks at once."""
        self._all(lambda disk: disk.sync(name), at_once=True)

    def sync_dir(self) -> None:
        """On all disks at once."""
        self._all(lambda disk: disk.sync_dir(), at_once=True)

    def truncate(self, name: str, nbytes: int) -> None:
        """On all disks."""
        self._all(lambda disk: disk.truncate(name, nbytes))

    def rename(self, old: str, new: str) -> None:
        """On all disks."""
        self._all(lambda disk: disk.rename(old, new))

    def replace(self, old: str, new: str) -> None:
        """On all disks."""
        self._all(lambda disk: disk.replace(old, new))

    def remove(self, name: str) -> None:
        """On all disks."""
        self._all(lambda disk: disk.remove(name))

    def read_at(self, name: str, offset: int, nbytes: int) -> bytes:
        """From the first disk that can; a disk that fails to read is not left out for it."""
        return self._first(lambda disk: disk.read_at(name, offset, nbytes))

    def read_extent(self, extent: Extent, *, active: bool = False) -> bytes:
        """Verified; at last from a disk that was left out, for what it did get is as good."""
        left_out = [self._disks[url] for url in self._degraded]
        disks = [*self.replicas(), *left_out]
        return read_verified(disks, extent, active=active, told=self._bad_copy)

    def watch(
        self,
        bad_copy: Callable[[int, errors.StorageError], None],
        left_out: Callable[[str, str], None],
    ) -> None:
        """Have functions told of bad copies, and of disks that are or will be left out."""
        self._bad_copy, self._left_out = bad_copy, left_out
        for url, why in self.degraded.items():
            left_out(url, why)

    def view(self, name: str) -> memoryview:
        """Of the first disk that can."""
        return self._first(lambda disk: disk.view(name))

    def size(self, name: str) -> int:
        """On the first disk that can tell."""
        return self._first(lambda disk: disk.size(name))

    def list(self) -> list[str]:
        """What any of the disks has that are not left out, but for our markers."""
        found: set[str] = set()
        for disk in self.replicas():
            found.update(self._names(disk))
        return sorted(name for name in found if not name.startswith(MARKER))

    def close(self) -> None:
        """Close all disks."""
        self._pool.shutdown()
        for disk in self._disks.values():
            disk.close()

    def resync(self, url: str, known: Callable[[int], Sealed | None] | None = None) -> int:
        """Bring a disk that was left out up to date and use it again; how many files it took.

        Writes wait meanwhile; other processes must not write to the same log. Which bytes are right
        is for their checksums to say: a segment that is damaged on the disks in use, or missing
        there, is taken from the one that was away. `known` gives a segment that the index has, or
        None for one that was collected; without it what the disks in use lack was collected.

        Raises:
            InputError: there is no such disk.
            TierUnavailable, TierFull: it still fails.
        """
        if url not in self._disks:
            raise errors.InputError(f"{url!r} is none of {self.url}")
        with self._changing:
            if url not in self._degraded:
                return 0
            target, sources = self._disks[url], self.replicas()
            count = level(sources, target, known or (lambda _number: None))
            for disk in (*sources, target):
                disk.remove(_marker(url))
                disk.sync_dir()
            del self._degraded[url]
            self._remedies.pop(url, None)
        return count

    def _all(
        self,
        call: Callable[[Disk], None],
        *,
        at_once: bool = False,
        full_is_failure: bool = True,
    ) -> None:
        """Do it on every disk; those that fail are left out, unless all do."""
        with self._changing:
            disks = self.replicas()
            failed = self._failed(call, disks, at_once=at_once)
            if not full_is_failure:
                _raise_if_full(failed)
            if len(failed) == len(disks):
                raise next(iter(failed.values()))
            for url, error in failed.items():
                self._leave_out(url, self._told(url, error))

    def _failed(
        self, call: Callable[[Disk], None], disks: Sequence[Disk], *, at_once: bool
    ) -> dict[str, errors.StorageError]:
        if not at_once:
            outcomes = [(disk.url, _outcome(call, disk)) for disk in disks]
        else:
            others = [(disk.url, self._pool.submit(_outcome, call, disk)) for disk in disks[1:]]
            outcomes = [(disks[0].url, _outcome(call, disks[0]))] if disks else []
            outcomes += [(url, future.result()) for url, future in others]
        return {url: error for url, error in outcomes if error is not None}

    def _told(self, url: str, error: errors.StorageError) -> str:
        """What is wrong with a disk; what to do about it is kept."""
        if error.remedy:
            self._remedies[url] = error.remedy
        return error.message.removeprefix(f"{url}: ")

    def _leave_out(self, url: str, why: str) -> None:
        """Go on without a disk; the others remember it, before anything else is acknowledged."""
        _log.error("the log goes on without %s: %s", url, why)
        self._degraded[url] = why
        if self._left_out is not None:
            self._left_out(url, why)
        for disk in self.replicas():
            if _marker(url) not in self._names(disk):
                disk.create(_marker(url), 0)
            disk.sync_dir()

    def _find_stale(self, late: Mapping[str, str]) -> None:
        """Leave out what another disk says has missed something, or what can't be read."""
        names: dict[str, set[str]] = {}
        for url, disk in self._disks.items():
            try:
                names[url] = set(disk.list())
            except errors.StorageError as error:
                self._degraded[url] = self._told(url, error)
        if not names:
            raise errors.TierUnavailable(
                f"none of {self.url} can be read", url=self.url, remedy="check the disks"
            )
        for url in names:
            if any(_marker(url) in found for other, found in names.items() if other != url):
                self._degraded[url] = "it has missed writes, which a repair brings"
        if len(self._degraded) == len(self._disks):
            raise errors.TierUnavailable(
                f"each of {self.url} has missed writes of another",
                url=self.url,
                remedy="open the one that was in use last alone",
            )
        self._degraded.update(late)
        for url in [url for url in self._degraded if self._writing]:
            if url not in names or url in late:
                self._leave_out(url, self._degraded[url])

    def _first(self, call: Callable[[Disk], T]) -> T:
        found: errors.StorageError | None = None
        for disk in self.replicas():
            try:
                return call(disk)
            except errors.StorageError as error:
                # That a file is missing is said only if no disk has it
                found = error if found is None or isinstance(found, errors.ObjectMissing) else found
        assert found is not None
        raise found

    @staticmethod
    def _names(disk: Disk) -> Sequence[str]:
        try:
            return disk.list()
        except errors.StorageError as error:
            _log.warning("%s is not listed: %s", disk.url, error)
            return []


def _marker(url: str) -> str:
    """The name of the file that says: that disk has missed something."""
    # A home is named from any folder: relative paths mean the same disk.
    return f"{MARKER}{hash_of(str(Path(url).absolute()).encode()):016x}"


def _outcome(call: Callable[[Disk], None], disk: Disk) -> errors.StorageError | None:
    try:
        call(disk)
    except errors.StorageError as error:
        return error
    return None


def _raise_if_full(failed: Mapping[str, errors.StorageError]) -> None:
    for error in failed.values():
        if isinstance(error, errors.TierFull):
            raise error
