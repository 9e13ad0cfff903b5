"""Makes a disk that was left out of a mirrored log equal to the others, by what verifies.

The disks in use have all that was acknowledged, but bits may have rotted there meanwhile, or files
may be gone; the one that comes back may have just those. So each file is judged on every disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from deepseek_core import errors
from deepseek_store.log.copies import Sealed, judge, merge, patched, read_copy, write_copy
from deepseek_store.log.disk import Disk
from deepseek_store.log.file_copies import copy_file
from deepseek_store.log.missed_marks import MARKER, MissedMarks
from deepseek_store.log.scan import scan
from deepseek_store.log.segment import active_name, parse_name, sealed_name

_CHUNK: Final = 4 << 20


def level(sources: Sequence[Disk], target: Disk, known: Callable[[int], Sealed | None]) -> int:
    """Give `target` the files that the sources have, and them what only it has right.

    How many files the target took. `known`: a segment as the index has it, None: it was collected.
    What nobody needs any more is removed from the target last.
    """
    have = {name for disk in sources for name in disk.list() if not name.startswith(MARKER)}
    there = {name for name in target.list() if not name.startswith(MARKER)}
    sealed = {number for name in have for number in _sealed(name)}
    only_there = {number for name in there - have for number in _sealed(name)}
    kept = {number for number in only_there if known(number) is not None}
    count = 0
    for number in sorted(sealed | kept):
        segment = known(number) or Sealed(id=number)
        count += _level_segment([*sources, target], segment, active_name(number) in there)
    for name in sorted(have - {sealed_name(number) for number in sealed}):
        count += _level_open(sources, target, name)
    for name in there - have - {sealed_name(number) for number in kept}:
        target.remove(name)
    target.sync_dir()
    return count


def bring_new(source: Disk, target: Disk) -> None:
    """Give `target` the segments of which it has no file at all, as they are on `source`.

    Raises:
        TierUnavailable, TierFull: not all of them could be copied.
    """
    marks = MissedMarks([source, target], {target.url: target.list()})
    if marks.is_named_by_old(source):
        return  # it may have what was collected since, and nothing is left that hides it
    there = {parsed[0] for name in target.list() if (parsed := parse_name(name)) is not None}
    for name in source.list():
        parsed = parse_name(name)
        if parsed is not None and parsed[0] not in there:
            copy_file(source, target, name)


def _sealed(name: str) -> list[int]:
    parsed = parse_name(name)
    return [parsed[0]] if parsed is not None and parsed[1] else []


def _level_segment(disks: Sequence[Disk], segment: Sealed, was_open: bool) -> int:
    """Make a sealed segment right on all disks, or as good as it gets; whether the last took it."""
    found = [read_copy(disk, segment) for disk in disks]
    right = next((data for data, wrong in found if wrong is None), None)
    if right is None:
        right = _best(disks[-1], segment, [data for data, _ in found if data], was_open)
    for disk, (data, _) in zip(disks[:-1], found, strict=False):
        if data != right:
            with suppress(errors.StorageError):  # a check finds it again, and says so
                write_copy(disk, segment, right)
    if found[-1][0] == right:
        return 0
    write_copy(disks[-1], segment, right)
    return 1


def _best(target: Disk, segment: Sealed, copies: list[bytes], was_open: bool) -> bytes:
    """What the damaged copies give together, that of a file which missed its sealing too.

    Raises:
        TierUnavailable: no copy can be read at all.
    """
    if was_open:
        # Its space was reserved: it is longer than it ever got to be.
        name, nbytes = active_name(segment.id), segment.nbytes or max(map(len, copies), default=0)
        copies = [*copies, target.read_at(name, 0, nbytes)]
    if not copies:
        raise errors.TierUnavailable(
            f"segment {segment.id:016x} can't be read on any disk of the log",
            url=target.url,
            remedy="check the disks and their mounts",
        )
    return next((data for data in copies if judge(data, segment) is None), merge(copies, segment))


def _level_open(sources: Sequence[Disk], target: Disk, name: str) -> int:
    """Copy a file that is still written to; where it is damaged, the target may have had it."""
    source = next(disk for disk in sources if name in disk.list())
    parsed = parse_name(name)
    if _is_same(source, target, name):
        return 0
    if parsed is not None:
        _mend_open(source, target, name, parsed[0])
    copy_file(source, target, name)
    return 1


def _mend_open(source: Disk, target: Disk, name: str, segment: int) -> None:
    data = source.read_at(name, 0, source.size(name))
    end = scan(data, segment=segment).end

    def damaged(data: bytes) -> list[tuple[int, int]]:
        found = scan(data, segment=segment, synced=end)
        return [(fault.offset, fault.offset + fault.nbytes) for fault in found.faults]

    if not damaged(data) or name not in target.list():
        return
    other = target.read_at(name, 0, target.size(name)).ljust(len(data), b"\0")
    better = patched(data, [other], damaged)
    for start, stop in damaged(data):
        if better[start:stop] != data[start:stop]:
            source.write_at(name, start, [better[start:stop]])
    source.sync(name)


def _is_same(source: Disk, target: Disk, name: str) -> bool:
    if name not in target.list() or source.size(name) != target.size(name):
        return False
    nbytes = source.size(name)
    return all(
        source.read_at(name, offset, _CHUNK) == target.read_at(name, offset, _CHUNK)
        for offset in range(0, nbytes, _CHUNK)
    )
