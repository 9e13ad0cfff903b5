"""One log on several disks: every file is on each, and one disk may fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.log.copies import Sealed
from deepseek_store.log.disk import Disk, read_verified
from deepseek_store.log.missed_marks import MARKER, MissedMarks, has_marks, mark_of
from deepseek_store.log.records import Buffer, Extent
from deepseek_store.log.resync import level
from deepseek_store.log.segment import parse_name
from deepseek_store.log.union import LogIndex, United, unite

_log = logging.getLogger(__name__)
_NONE: Final[Mapping[str, str]] = {}
_REOPEN: Final = "close the store in all processes, and open it again"
T = TypeVar("T")


class MirroredDisk(Disk):
    """Writes to all disks; a call returns when all have done it, and reads the first that can.

    A disk that fails is left out (`degraded` says why) until `resync`. The others keep a marker of
    that, so it is not trusted after a restart either. `late` are disks that are known to have
    missed something; without `writing` nothing is noted.

    Disks that were away in turn, with writes in between, have each missed something: no one has
    all (`is_crossed`). To be read, all count; before anything is written they must be united.

    Raises:
        InputError: fewer than two disks, or one twice.
        TierUnavailable: none of the disks can be read.
    """

    def __init__(
        self, disks: Sequence[Disk], *, late: Mapping[str, str] = _NONE, writing: bool = True
    ) -> None:
        self.url = ", ".join(disk.url for disk in disks)
        self._disks = {disk.url: disk for disk in disks}  # by URL, that of the home first
        if len(self._disks) != len(disks) or len(disks) < 2:
            raise errors.InputError(f"a mirrored log needs disks that differ, not {self.url!r}")
        self.home = disks[0].home
        self._degraded: dict[str, str] = {}  # URL of a disk that is left out -> why
        self._remedies: dict[str, str] = {}  # URL of a disk that is left out -> what to do
        # (URL, why) of warnings that were logged, so that each is logged once
        self._said: set[tuple[str, str]] = set()
        # called with a segment whose copy turned out to be bad
        self._bad_copy: Callable[[int, errors.StorageError], None] | None = None
        self._left_out: Callable[[str, str], None] | None = None  # called when a disk is left out
        # Held by each change, so that a disk that is brought up to date misses none.
        self._changing = threading.RLock()
        self._pool = ThreadPoolExecutor(len(disks) - 1, thread_name_prefix="ds-mirror")
        self._writing, self._late = writing, late
        self.is_crossed = False
        self._find_stale()

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
        """Map the file on the first disk that can."""
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
            self._refuse_crossed(target)
            count = level(sources, target, known or (lambda _number: None))
            self._unmark(target)
            self._said.discard((url, self._degraded.pop(url)))
            self._remedies.pop(url, None)
        return count

    def lacks_nothing(self) -> bool:
        """Whether no disk is left out, by us or by another process."""
        return not self._degraded and not any(has_marks(self._names(d)) for d in self.replicas())

    def look_again(self) -> None:
        """Find out again who has missed what: another process may have brought it into order."""
        self._degraded.clear()
        self._find_stale()

    def unite(self, index: LogIndex) -> United:
        """Give all disks that are there what any of them has, and use them again.

        Nobody else may write to the log meanwhile.

        Raises:
            TierUnavailable, TierFull: no disk takes what it has missed.
        """
        with self._changing:
            ordered = sorted(self.replicas(), key=_newest, reverse=True)
            marks = MissedMarks(self._all_disks, self._listed())
            suspects = [disk.url for disk in ordered if marks.is_named_by_old(disk)]
            united = unite(ordered, index, suspects)
            self.is_crossed = False
            for url, error in united.failed.items():
                self._degraded[url] = self._told(url, error)
            for url, why in self.degraded.items():
                self._leave_out(url, why)
            for disk in self.replicas():
                self._unmark(disk)
        _log.warning("the log is level on %s", ", ".join(disk.url for disk in self.replicas()))
        return united

    def follow_newest(self) -> None:
        """Use those disks alone that were written to last, as others do who have the log open."""
        newest = max(map(_newest, self.replicas()))
        self.is_crossed = False
        for disk in self.replicas():
            if _newest(disk) < newest:
                self._note_late(disk)

    @property
    def _all_disks(self) -> Sequence[Disk]:
        return list(self._disks.values())

    def _listed(self) -> dict[str, Sequence[str]]:
        """The files of each disk that can be read."""
        names: dict[str, Sequence[str]] = {}
        for disk in self._all_disks:
            with suppress(errors.StorageError):
                names[disk.url] = disk.list()
        return names

    def _refuse_crossed(self, target: Disk) -> None:
        """What a disk has alone goes into the index too, which is done where a store is opened."""
        names = self._listed()
        marks = MissedMarks(self._all_disks, names)
        if all(marks.is_named(self._disks[url]) for url in names):
            self._remedies[target.url] = _REOPEN
            raise errors.TierUnavailable(
                f"{target.url} has writes that the disks in use have missed",
                url=target.url,
                remedy=_REOPEN,
            )

    def _unmark(self, target: Disk) -> None:
        """Forget, on all disks that can be read, that one has missed something."""
        names = self._listed()
        marks = MissedMarks(self._all_disks, names)
        for url in names:
            with suppress(errors.StorageError):
                for name in marks.naming(target, on=url):
                    self._disks[url].remove(name)
                self._disks[url].sync_dir()

    def _all(
        self,
        call: Callable[[Disk], None],
        *,
        at_once: bool = False,
        full_is_failure: bool = True,
    ) -> None:
        """Do it on every disk; those that fail are left out, unless all do."""
        with self._changing:
            if self.is_crossed:
                raise self._not_united()
            disks = self.replicas()
            failed = self._failed(call, disks, at_once=at_once)
            if not full_is_failure:
                _raise_if_full(failed)
            if len(failed) == len(disks):
                raise next(iter(failed.values()))
            for url, error in failed.items():
                self._leave_out(url, self._told(url, error))

    def _not_united(self) -> errors.TierUnavailable:
        return errors.TierUnavailable(
            f"each of {self.url} has missed writes of another, and they are not united yet",
            url=self.url,
            remedy=_REOPEN,
        )

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
        if (url, why) not in self._said:
            self._said.add((url, why))
            _log.error("the log goes on without %s: %s", url, why)
        self._degraded[url] = why
        if self._left_out is not None:
            self._left_out(url, why)
        for disk in self.replicas():
            if mark_of(self._disks[url]) not in self._names(disk):
                disk.create(mark_of(self._disks[url]), 0)
            disk.sync_dir()

    def _find_stale(self) -> None:
        """Leave out what another disk says has missed something, or what can't be read."""
        names: dict[str, Sequence[str]] = {}
        for url, disk in self._disks.items():
            try:
                names[url] = disk.list()
            except errors.StorageError as error:
                self._degraded[url] = self._told(url, error)
        if not names:
            raise errors.TierUnavailable(
                f"none of {self.url} can be read", url=self.url, remedy="check the disks"
            )
        marks = MissedMarks(self._all_disks, names)
        fresh = [self._disks[url] for url in names if url not in self._late]
        missed = [disk for disk in fresh if marks.is_named(disk)]
        self.is_crossed = bool(fresh) and len(missed) == len(fresh)
        self._degraded.update(self._late)
        if self.is_crossed:
            if not self._said:
                _log.error("each of %s has missed writes of another", self.url)
            self._said.add((self.url, ""))
            return
        for disk in missed:
            self._note_late(disk)
        old = {disk.url for disk in missed if marks.is_named_by_old(disk)}
        for url, why in self.degraded.items():
            if self._writing and (url not in names or url in old or url in self._late):
                self._leave_out(url, why)

    def _note_late(self, disk: Disk) -> None:
        self._degraded[disk.url] = "it has missed writes, which a repair brings"
        self._remedies[disk.url] = command("repair", disk.home)

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


def _newest(disk: Disk) -> int:
    """The highest segment that a disk has; they are counted in the order of time."""
    numbers = (found[0] for name in disk.list() if (found := parse_name(name)) is not None)
    return max(numbers, default=0)


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
