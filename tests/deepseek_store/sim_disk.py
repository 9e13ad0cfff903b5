"""A disk in memory that forgets what was not synced, as unkindly as a real one may.

Between two syncs a crash may keep any of the 512-byte sectors that were written, in any order, and
any of the changes of names. Not a mock: the same port, other promises at the plug.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import attrs

from deepseek_core import errors
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import Buffer

SECTOR = 512


@attrs.define(eq=False)
class Inode:
    """What a file has been promised to keep, what it reads as, and the changes in between."""

    durable: bytearray = attrs.field(factory=bytearray)
    now: bytearray = attrs.field(factory=bytearray)
    changes: list[tuple[int, bytes | None]] = attrs.field(factory=list)

    def change(self, offset: int, data: bytes | None) -> None:
        """Write, or (without data) set the length."""
        _change(self.now, offset, data)
        self.changes.append((offset, data))

    def sync(self) -> None:
        self.durable[:] = self.now
        self.changes.clear()

    def after_crash(self, rng: random.Random) -> Inode:
        """Any of the sectors that were written since the last sync, in any order."""
        kept = bytearray(self.durable)
        pieces = [piece for change in self.changes for piece in _sectors(*change)]
        likely = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        pieces = [piece for piece in pieces if rng.random() < likely]
        if rng.random() < 0.5:
            rng.shuffle(pieces)
        for offset, data in pieces:
            _change(kept, offset, data)
        return Inode(durable=kept, now=bytearray(kept))


class SimDisk(Disk):
    """Files in memory; `before` is called with each operation's name, as a place to cut the power.

    With `lies` the disk says that it synced and did nothing.
    """

    def __init__(self, url: str = "sim", *, lies: bool = False) -> None:
        self.url = url
        self.lies = lies
        self.before: Callable[[str], None] = lambda operation: None
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._renames: list[tuple[str | None, str | None, Inode]] = []

    def crash(self, rng: random.Random) -> SimDisk:
        """The disk as it may be found after a power failure right now; this one goes on."""
        names = dict(self._durable_names)
        likely = rng.choice((0.0, 0.5, 0.9, 1.0))
        for old, new, inode in self._renames:
            if rng.random() < likely:
                if old is not None:
                    names.pop(old, None)
                if new is not None:
                    names[new] = inode
        found = SimDisk(self.url)
        inodes = {id(inode): inode.after_crash(rng) for inode in names.values()}
        found._names = {name: inodes[id(inode)] for name, inode in names.items()}
        found._durable_names = dict(found._names)
        return found

    def create(self, name: str, nbytes: int) -> None:
        self.before("create")
        inode = Inode()
        inode.change(nbytes, None)
        self._names[name] = inode
        self._renames.append((None, name, inode))

    def write_at(self, name: str, offset: int, parts: Sequence[Buffer]) -> None:
        self._inode(name).change(offset, b"".join(parts))
        self.before("write_at")

    def sync(self, name: str) -> None:
        self.before("sync")
        inode = self._inode(name)
        if not self.lies:
            inode.sync()

    def sync_dir(self) -> None:
        self.before("sync_dir")
        self._durable_names = dict(self._names)
        self._renames = []

    def read_at(self, name: str, offset: int, nbytes: int) -> bytes:
        return bytes(self._inode(name).now[offset : offset + nbytes])

    def view(self, name: str) -> memoryview:
        return memoryview(bytes(self._inode(name).now))

    def size(self, name: str) -> int:
        return len(self._inode(name).now)

    def truncate(self, name: str, nbytes: int) -> None:
        self._inode(name).change(nbytes, None)
        self.before("truncate")

    def rename(self, old: str, new: str) -> None:
        if new in self._names:
            raise errors.TierUnavailable(f"{new} is there already", url=self.url)
        self.replace(old, new)

    def replace(self, old: str, new: str) -> None:
        inode = self._inode(old)
        del self._names[old]
        self._names[new] = inode
        self._renames.append((old, new, inode))
        self.before("rename")

    def remove(self, name: str) -> None:
        inode = self._names.pop(name, None)
        if inode is not None:
            self._renames.append((name, None, inode))
        self.before("remove")

    def list(self) -> list[str]:
        return sorted(self._names)

    def damage(self, name: str, offset: int, data: bytes) -> None:
        """Rot: other bytes than were written."""
        self._inode(name).now[offset : offset + len(data)] = data

    def _inode(self, name: str) -> Inode:
        inode = self._names.get(name)
        if inode is None:
            raise errors.ObjectMissing(f"no {name}", url=self.url)
        return inode


def _change(content: bytearray, offset: int, data: bytes | None) -> None:
    length = offset if data is None else max(len(content), offset + len(data))
    if length < len(content):
        del content[length:]
    content.extend(bytes(length - len(content)))
    if data is not None:
        content[offset : offset + len(data)] = data


def _sectors(offset: int, data: bytes | None) -> list[tuple[int, bytes | None]]:
    """A write in pieces that a disk keeps or loses whole; a length is one such piece."""
    if data is None:
        return [(offset, None)]
    pieces: list[tuple[int, bytes | None]] = []
    at = 0
    while at < len(data):
        step = SECTOR - (offset + at) % SECTOR
        pieces.append((offset + at, data[at : at + step]))
        at += step
    return pieces
