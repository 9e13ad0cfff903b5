"""The port to a disk: all that the log does with files goes through these few calls.

What is written is safe after `sync` of the file; a name that is made, changed or removed is safe
after `sync_dir`. Until then a crash may keep any part of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.errors import Corrupt
from deepseek_store.log.records import Buffer, Extent, hash_of
from deepseek_store.log.segment import active_name, sealed_name

MARK: Final = "mark-"
"""How the names of files begin that say whose a folder is: they are not part of the log."""


class Disk(ABC):
    """A flat folder of segments. Safe to use from several threads.

    All may raise `TierFull` (no space) and `TierUnavailable` (an I/O error, or the folder is gone);
    what names a file that is not there raises `ObjectMissing`.
    """

    url: str
    home: Path | str = "HOME"
    """The folder of the store that it is of, for remedies."""
    identity: str = ""
    """What the store calls it, wherever it lies; by that the other disks of a log know it."""

    @abstractmethod
    def create(self, name: str, nbytes: int) -> None:
        """A new file with space for `nbytes`, that reads as zeros; a taken name is an error."""

    @abstractmethod
    def write_at(self, name: str, offset: int, parts: Sequence[Buffer]) -> None:
        """Write the parts one after the other, from `offset`."""

    @abstractmethod
    def sync(self, name: str) -> None:
        """Make what was written to a file, and its length, durable.

        After an error nobody knows what is on disk: the file must not be written to any more.
        """

    @abstractmethod
    def sync_dir(self) -> None:
        """Make the names of files durable."""

    @abstractmethod
    def read_at(self, name: str, offset: int, nbytes: int) -> bytes:
        """Bytes from `offset`; fewer where the file ends."""

    @abstractmethod
    def view(self, name: str) -> memoryview:
        """All bytes of a file that changes no more."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Length in bytes."""

    @abstractmethod
    def truncate(self, name: str, nbytes: int) -> None:
        """Cut a file, and give its space back."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Give a file another name; a taken one is an error: nothing is ever replaced."""

    @abstractmethod
    def replace(self, old: str, new: str) -> None:
        """Put a file in the place of one that is damaged: for `put_in_place`, and nobody else."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file; none of that name is no error."""

    @abstractmethod
    def list(self) -> list[str]:
        """Names of all files, sorted."""

    def close(self) -> None:
        """Let go of descriptors; idempotent."""

    def replicas(self) -> Sequence[Disk]:
        """Disks that hold the same files each, the most trusted one first."""
        return (self,)

    def lacks_nothing(self) -> bool:
        """Whether no disk of the log is left out, which may bring back what was removed."""
        return True

    def watch(
        self,
        bad_copy: Callable[[int, errors.StorageError], None],
        left_out: Callable[[str, str], None],
    ) -> None:
        """Have functions told of what a log on several disks goes on without.

        `bad_copy` gets a segment, and what was wrong with the copy of it that a read could not
        use; `left_out` the folder of a disk that is used no more, and why.
        """

    def read_extent(self, extent: Extent, *, active: bool = False) -> bytes:
        """A piece of an object, verified; `active`: its segment is likely still being written.

        Raises:
            Corrupt: these are not the bytes that were written.
            ObjectMissing: the segment is not here.
        """
        return read_verified((self,), extent, active=active)


def read_verified(
    disks: Sequence[Disk],
    extent: Extent,
    *,
    active: bool = False,
    told: Callable[[int, errors.StorageError], None] | None = None,
) -> bytes:
    """A piece of an object, from the first disk that has it right.

    `told` of the disks before it that had it not. Of several errors the one that leaves most hope
    is raised: a disk that does not answer may have the bytes.

    Raises:
        TierUnavailable: a disk does not answer, and none of the others has these bytes.
        Corrupt: none has these bytes.
        ObjectMissing: no disk has the segment.
    """
    met: list[errors.StorageError] = []
    for disk in disks:
        try:
            data = read_segment(disk, extent, active=active)
        except errors.StorageError as error:
            met.append(error)
            continue
        if len(data) == extent.nbytes and hash_of(data) == extent.xxh3:
            if met and told is not None:
                for wrong in met:
                    told(extent.segment, wrong)
            return data
        met.append(_corrupt(disk, extent))
    raise min(met, key=_hopelessness)


def _hopelessness(error: errors.StorageError) -> int:
    if isinstance(error, errors.TierUnavailable):
        return 0
    return 2 if isinstance(error, errors.ObjectMissing) else 1


def read_segment(disk: Disk, extent: Extent, *, active: bool = False) -> bytes:
    """Bytes of a segment, be it sealed or being written; unverified.

    A file that is looked for under the wrong name costs ten times a read, so `active` says which
    name comes first.

    Raises:
        ObjectMissing: the segment is not here.
    """
    names = [sealed_name, active_name]
    # Tried again in the end: it may have been sealed between the two.
    for name in (*(reversed(names) if active else names), sealed_name):
        try:
            return disk.read_at(name(extent.segment), extent.offset, extent.nbytes)
        except errors.ObjectMissing as error:
            missing = error
    raise missing


def _corrupt(disk: Disk, extent: Extent) -> Corrupt:
    return Corrupt(
        f"segment {extent.segment:016x} on {disk.url}: {extent.nbytes} bytes at {extent.offset}"
        " are not what was written",
        url=disk.url,
        remedy=command("scrub", disk.home, "--repair"),
    )
