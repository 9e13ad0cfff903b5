"""Makes disks of a log level of which each has missed something: each gets what any of them has.

A number stands for one segment for ever. So a segment that a disk lacks is one that it has missed,
and of two states of it the one with more records that verify is the later one: the other was cut
off where its disk left. Nothing is replaced before what replaces it was read back and verified.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

import attrs

from deepseek_core import errors
from deepseek_store.log.copies import Sealed, Span, merge, patched, write_file
from deepseek_store.log.disk import Disk
from deepseek_store.log.file_copies import ends_of, set_aside
from deepseek_store.log.records import Placed
from deepseek_store.log.scan import Scan, scan
from deepseek_store.log.segment import active_name, parse_name, sealed_name

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class LogIndex:
    """What an index says of the segments of a log; by default there is none that could.

    `find` gives a sealed segment of the log that it knows, `is_dropped` says of which the file may
    go. `again` has it take in all records of a segment once more. `store_id`: whose they are.
    """

    is_there: bool = False
    find: Callable[[int], Sealed | None] = lambda _number: None
    is_dropped: Callable[[int], bool] = lambda _number: False
    again: Callable[[int], None] = lambda _number: None
    store_id: bytes | None = None


@attrs.frozen(kw_only=True)
class _State:
    """A file of a segment as one disk has it, and what its bytes say."""

    url: str
    sealed: bool
    data: bytes
    scan: Scan

    @property
    def order(self) -> tuple[int, bool, int]:
        """The later and the sounder, the higher."""
        return len(self.scan.placed), self.sealed, -len(self.scan.faults)

    def is_in(self, other: _State) -> bool:
        """Whether all its records are in another state, at their places."""
        return set(map(_name_of, self.scan.placed)) <= set(map(_name_of, other.scan.placed))


@attrs.frozen(kw_only=True)
class United:
    """What a disk (by its url) was `given`, by segment, and why some `failed` to take all."""

    given: frozenset[tuple[int, str]] = frozenset()
    failed: Mapping[str, errors.StorageError] = attrs.field(factory=dict)


def unite(disks: Sequence[Disk], index: LogIndex, suspects: Collection[str] = ()) -> United:
    """Give each disk the segments of all.

    `suspects` are urls of disks that may have segments which were removed long ago: of those only
    what the index knows is taken, and the rest put aside.

    Raises:
        TierUnavailable, TierFull: no disk takes them all.
    """
    work = _Union(disks, index, suspects)
    for number in sorted(work.numbers):
        if not index.is_dropped(number):
            work.level(number)
    for disk in work.targets:
        disk.sync_dir()
    return United(given=frozenset(work.given), failed=work.failed)


class _Union:
    """One pass over all segments; a disk that fails is no target any more."""

    def __init__(self, disks: Sequence[Disk], index: LogIndex, suspects: Collection[str]) -> None:
        self.targets = list(disks)  # those that can be brought up to date
        self.failed: dict[str, errors.StorageError] = {}  # URL -> why it was left out
        self.given: set[tuple[int, str]] = set()  # (segment, URL): written there
        self._disks, self._index = disks, index
        # segment -> URL -> for each file of it there, whether it is sealed
        self._files: dict[int, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        for disk in disks:
            self._find(disk, is_suspect=index.is_there and disk.url in suspects)

    @property
    def numbers(self) -> Collection[int]:
        """All segments that any disk has."""
        return self._files

    def level(self, number: int) -> None:
        """Give one segment to all disks that have it not, or not as whole as another has it."""
        files = self._files[number]
        if self._is_level(number, files):
            return
        states = self._read(number, files)
        if not states:
            self._drop_lacking(number, files)
            return
        best = self._best(number, states)
        if not best.scan.placed and not best.scan.faults and not best.sealed:
            return  # nothing in it was acknowledged
        known = self._index.find(number)
        if known is not None and not (best.sealed and len(best.data) == known.nbytes):
            self._index.again(number)
        for disk in list(self.targets):
            self._try(disk, number, best, [each for each in states if each.url == disk.url])

    def _find(self, disk: Disk, *, is_suspect: bool) -> None:
        for name in disk.list():
            parsed = parse_name(name)
            if parsed is None:
                continue
            number, is_sealed = parsed
            unknown = self._index.find(number) is None and not self._index.is_dropped(number)
            if is_suspect and unknown:
                set_aside(disk, name)
            else:
                self._files[number][disk.url].append(is_sealed)

    def _is_level(self, number: int, files: Mapping[str, list[bool]]) -> bool:
        """Whether all disks have it sealed, with one header and footer, as the index knows it."""
        if any(files.get(disk.url) != [True] for disk in self.targets):
            return False
        name, known = sealed_name(number), self._index.find(number)
        try:
            sizes = {disk.size(name) for disk in self.targets}
            ends = {ends_of(disk, name) for disk in self.targets}
        except errors.StorageError:
            return False
        if known is not None and known.nbytes is not None:
            sizes.add(known.nbytes)
        return len(sizes) == len(ends) == 1 and None not in ends

    def _read(self, number: int, files: Mapping[str, list[bool]]) -> list[_State]:
        found = []
        for disk in self._disks:
            for is_sealed in files.get(disk.url, ()):
                name = (sealed_name if is_sealed else active_name)(number)
                try:
                    data = disk.read_at(name, 0, disk.size(name))
                    scanned = scan(data, segment=number, store_id=self._index.store_id)
                except errors.StorageError as error:
                    _log.error("%s on %s is not used: %s", name, disk.url, error)
                    continue
                found.append(_State(url=disk.url, sealed=is_sealed, data=data, scan=scanned))
        return found

    def _best(self, number: int, states: Sequence[_State]) -> _State:
        """The latest state, its damage as far as possible repaired from the others."""
        best = max(states, key=lambda state: state.order)
        end = len(best.data) if best.sealed else best.scan.end
        data, store_id = best.data[:end], self._index.store_id
        others = [each.data[:end].ljust(end, b"\0") for each in states if each is not best]
        if best.scan.faults and others:
            if best.sealed:
                data = merge([data, *others], Sealed(id=number, nbytes=end, store_id=store_id))
            else:
                data = patched(data, others, lambda made: self._damaged(number, made))
        scanned = scan(data, segment=number, store_id=store_id)
        return attrs.evolve(best, data=data, scan=scanned)

    def _damaged(self, number: int, data: bytes) -> list[Span]:
        found = scan(data, segment=number, store_id=self._index.store_id, synced=len(data))
        return [(fault.offset, fault.offset + fault.nbytes) for fault in found.faults]

    def _drop_lacking(self, number: int, files: Mapping[str, list[bool]]) -> None:
        """No disk can read it: those that have no file of it are not level."""
        for disk in list(self.targets):
            if disk.url not in files:
                self.targets.remove(disk)
                self.failed[disk.url] = errors.TierUnavailable(
                    f"segment {number:016x} can't be read on the disk that has it", url=disk.url
                )

    def _try(self, disk: Disk, number: int, best: _State, there: Sequence[_State]) -> None:
        try:
            if _give(disk, number, best, there):
                self.given.add((number, disk.url))
        except errors.StorageError as error:
            self.targets.remove(disk)
            self.failed[disk.url] = error
            if not self.targets:
                raise


def _name_of(placed: Placed) -> tuple[int, str, int, int]:
    return placed.offset, placed.record.key, placed.record.generation, placed.xxh3


def _give(disk: Disk, number: int, best: _State, there: Sequence[_State]) -> bool:
    """Let a disk have a segment in that state alone, durably; whether it was written."""
    name = (sealed_name if best.sealed else active_name)(number)
    mine = {state.sealed: state for state in there}
    same = mine.get(best.sealed)
    # One that is open has its space reserved behind what counts.
    end = None if best.sealed else len(best.data)
    is_new = same is None or same.data[:end] != best.data
    if is_new:
        _log.warning("%s gets segment %016x", disk.url, number)
        write_file(disk, name, best.data, over=same is not None and same.is_in(best))
    if (other := mine.get(not best.sealed)) is not None:
        other_name = (active_name if best.sealed else sealed_name)(number)
        if other.is_in(best):
            disk.remove(other_name)
        else:
            set_aside(disk, other_name)
    return is_new
