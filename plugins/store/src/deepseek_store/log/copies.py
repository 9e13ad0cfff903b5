"""Copies of a sealed segment on several disks: the checksum decides which one is right.

Right copies are alike to the byte. So where none is right, what one has lost can be taken from
another that has it, piece by piece, and the result is judged like any other copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import attrs

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.errors import Corrupt
from deepseek_store.log.disk import Disk
from deepseek_store.log.file_copies import COPY, put_in_place
from deepseek_store.log.records import Buffer, Placed
from deepseek_store.log.scan import Scan, scan
from deepseek_store.log.segment import footer_padding, sealed_name

Wrong = tuple[Literal["swapped", "damaged", "truncated", "missing", "unreachable"], str]
"""What is wrong with a copy, and in words."""

_ROUNDS: Final = 64
Span = tuple[int, int]
"""From an offset up to another one."""


@attrs.frozen(kw_only=True)
class Sealed:
    """A sealed segment: its number, its length as the index has it (None: not known), its store."""

    id: int
    nbytes: int | None = None
    store_id: bytes | None = None

    @property
    def name(self) -> str:
        """Name of its file."""
        return sealed_name(self.id)


def judge(data: Buffer, segment: Sealed) -> Wrong | None:
    """What is wrong with the bytes of a sealed segment; None if nothing is."""
    nbytes = memoryview(data).nbytes
    if segment.nbytes is not None and nbytes < segment.nbytes:
        return "truncated", f"{nbytes} bytes of {segment.nbytes}"
    if segment.nbytes is not None and nbytes > segment.nbytes:
        return "damaged", f"{nbytes - segment.nbytes} bytes more than were written"
    try:
        found = scan(data, segment=segment.id, store_id=segment.store_id)
    except errors.StorageError as error:
        return "swapped", error.message
    return _judge_scan(found, data)


def _judge_scan(found: Scan, data: Buffer) -> Wrong | None:
    if found.faults:
        first = found.faults[0]
        more = f" and {len(found.faults) - 1} more" if len(found.faults) > 1 else ""
        return "damaged", f"at {first.offset}: {first.reason}{more}"
    if not found.sealed or found.end != len(data):
        return "damaged", "it does not end in a footer"
    if stain := _stained(data, found.placed):
        return "damaged", f"at {stain}: padding that is not zero"
    return None


def _stained(data: Buffer, placed: Sequence[Placed]) -> int | None:
    """Where padding is not zero: no hash of a record covers that."""
    padded = [(one.payload_offset + one.payload_nbytes, one.end) for one in placed]
    for start, stop in (*padded, footer_padding(data)):
        if start < stop and any(data[start:stop]):
            return start
    return None


def read_copy(disk: Disk, segment: Sealed) -> tuple[bytes, Wrong | None]:
    """A copy as it lies on one disk, and what is wrong with it."""
    try:
        data = disk.read_at(segment.name, 0, disk.size(segment.name) + 1)
    except errors.ObjectMissing as error:
        return b"", ("missing", error.message)
    except errors.StorageError as error:
        return b"", ("unreachable", error.message)
    return data, judge(data, segment)


def right_copy(
    disks: Iterable[Disk], segment: Sealed, told: Callable[[int, errors.StorageError], None]
) -> Right:
    """The bytes of a segment as they were written, from whatever disk has them.

    `told` of every copy before it that is not right, and why.

    Raises:
        TierUnavailable: no copy is right, and a disk that may have one does not answer.
        Corrupt: no copy is right, nor can one be put together.
    """
    home: Path | str = "HOME"
    copies: list[bytes] = []
    met: list[errors.StorageError] = []
    for disk in disks:
        home = disk.home
        data, wrong = read_copy(disk, segment)
        if wrong is None:
            return Right(data, disk.url)
        met.append(_error_of(disk, segment, wrong))
        told(segment.id, met[-1])
        if wrong[0] not in ("missing", "unreachable", "swapped"):
            copies.append(data)
    merged = merge(copies, segment)
    if len(copies) > 1 and judge(merged, segment) is None:
        return Right(merged, "what is right of each copy")
    raise _no_copy(segment, met, home)


class Right(NamedTuple):
    """The bytes of a segment that were verified, and where they come from."""

    data: bytes
    source: str


def _error_of(disk: Disk, segment: Sealed, wrong: Wrong) -> errors.StorageError:
    message = f"segment {segment.id:016x} on {disk.url} is {wrong[0]}: {wrong[1]}"
    if wrong[0] == "missing":
        return errors.ObjectMissing(message, url=disk.url)
    if wrong[0] == "unreachable":
        remedy = "check that disk and its mount"
        return errors.TierUnavailable(message, url=disk.url, remedy=remedy)
    return Corrupt(message, url=disk.url, remedy=command("repair", disk.home))


def _no_copy(
    segment: Sealed, met: Sequence[errors.StorageError], home: Path | str
) -> errors.StorageError:
    told = "; ".join(error.message for error in met)
    away = next((error for error in met if isinstance(error, errors.TierUnavailable)), None)
    what = f"no copy of segment {segment.id:016x} is right: {told}"
    if away is not None:
        return errors.TierUnavailable(what, url=away.url, remedy=away.remedy)
    url = met[0].url if met else "log"
    return Corrupt(what, url=url, remedy=f"save what is left of it: {command('repair', home)}")


def merge(copies: Sequence[bytes], segment: Sealed) -> bytes:
    """The best that damaged copies give together; it may still be damaged."""
    nbytes = segment.nbytes or max(map(len, copies), default=0)
    whole = attrs.evolve(segment, nbytes=nbytes)
    fitted = [data[:nbytes].ljust(nbytes, b"\0") for data in copies]
    made = [patched(data, fitted, lambda d: _damaged(d, whole)) for data in fitted]
    return min(made, key=lambda data: _nbytes_in(_damaged(data, whole)), default=b"")


def _damaged(data: bytes, segment: Sealed) -> list[Span]:
    """Where the bytes of a sealed segment are damaged."""
    try:
        found = scan(data, segment=segment.id, store_id=segment.store_id)
    except errors.StorageError:
        return [(0, len(data))]
    spans = [(fault.offset, fault.offset + fault.nbytes) for fault in found.faults]
    if not found.sealed or found.end != len(data):
        spans.append((min(found.end, len(data) - 1), len(data)))
    if (stain := _stained(data, found.placed)) is not None:
        spans.append((stain, stain + 8))
    return spans


def patched(
    data: bytes, others: Sequence[bytes], damaged: Callable[[bytes], Sequence[Span]]
) -> bytes:
    """The data, with its damaged places as another copy has them wherever that makes it better."""
    for _ in range(_ROUNDS):
        spans = damaged(data)
        tried = (
            data[: span[0]] + other[span[0] : span[1]] + data[span[1] :]
            for span in spans
            for other in others
            if len(other) >= span[1] and other[span[0] : span[1]] != data[span[0] : span[1]]
        )
        worst = _nbytes_in(spans)
        better = next((each for each in tried if _nbytes_in(damaged(each)) < worst), None)
        if better is None:
            break
        data = better
    return data


def _nbytes_in(spans: Sequence[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def write_copy(disk: Disk, segment: Sealed, data: bytes) -> None:
    """Make a segment's file these bytes; as `write_file`."""
    write_file(disk, segment.name, data)


def write_file(disk: Disk, name: str, data: bytes, *, over: bool = False) -> None:
    """Make a file these bytes, whole or not at all, durably; and read it back.

    What was there stays until the new file is on the disk and was read back. `over`: all that
    counts in it is known to be in the new one.

    Raises:
        Corrupt: what the disk returns is not what was written.
        TierFull, TierUnavailable: it can't be written; what was there is as it was.
    """
    partial = f"{COPY}{name}"
    disk.remove(partial)
    try:
        disk.create(partial, len(data))
        disk.write_at(partial, 0, [data])
        disk.sync(partial)
        if disk.read_at(partial, 0, len(data) + 1) != data:
            raise Corrupt(
                f"{partial} on {disk.url} is not what was written",
                url=disk.url,
                remedy="check that disk",
            )
        put_in_place(disk, partial, name, over=over)
    except errors.StorageError:
        disk.remove(partial)
        raise


def read_back(disk: Disk, written: Iterable[Placed]) -> None:
    """Verify on every disk what was written, before what it replaces may go.

    Raises:
        Corrupt: a disk returns other bytes.
        TierUnavailable: it returns none.
    """
    for one in written:
        for each in disk.replicas():
            each.read_extent(one.extent, active=True)
