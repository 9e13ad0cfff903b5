"""Looks at one segment of the log or one stripe, and says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import attrs

from deepseek_core import errors
from deepseek_store.check.faults import CheckUnit, Fault, Kind
from deepseek_store.home.version_records import sealed_of
from deepseek_store.index.rows import SegmentRow
from deepseek_store.log.copies import Sealed, judge
from deepseek_store.log.disk import Disk
from deepseek_store.log.segment import (
    HEADER_NBYTES,
    TRAILER_NBYTES,
    parse_segment_header,
    read_footer,
    sealed_name,
)
from deepseek_store.parts import Parts
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe

Throttle = Callable[[int], None]


def no_throttle(_nbytes: int) -> None:
    """Read as fast as it goes."""


class LogFiles:
    """Which files the log's disks have; asked of a disk once, and again for one that it lacks."""

    def __init__(self, disks: Sequence[Disk]) -> None:
        self._names: dict[str, set[str]] = {}
        for disk in disks:
            # A file that was removed or replaced behind our back is still there in a descriptor.
            disk.close()

    def has(self, disk: Disk, name: str) -> bool:
        """Whether the disk has a file of that name."""
        names = self._names.get(disk.url)
        if names is None or name not in names:
            names = self._names[disk.url] = set(disk.list())
        return name in names


@attrs.frozen(kw_only=True)
class Look:
    """How to look: at all bytes if `deep`, as fast as `throttle` lets."""

    deep: bool = True
    throttle: Throttle = no_throttle
    files: LogFiles


def look_at(parts: Parts, unit: CheckUnit, look: Look) -> list[Fault]:
    """What is wrong with a unit; nothing if it is no longer there."""
    if unit.where == "log":
        row = parts.state.segments.get(unit.number)
        return [] if row is None else check_segment(parts, row, look)
    stripe = parts.state.stripes.get(unit.number)
    return [] if stripe is None else check_fragments(parts, stripe, look)


def units_of(parts: Parts) -> list[CheckUnit]:
    """All that a whole pass looks at: sealed segments of the log, then stripes, by number."""
    rows = list(parts.state.segments.values())
    segments = sorted(row.id for row in rows if row.local and row.state == "sealed")
    return [
        *(CheckUnit("log", number) for number in segments),
        *(CheckUnit("stripe", number) for number in sorted(parts.state.stripes)),
    ]


def check_segment(parts: Parts, row: SegmentRow, look: Look) -> list[Fault]:
    """The faults of a sealed segment, of its file on every disk that should have it."""
    if not row.local or row.state != "sealed":
        return []
    found = []
    for disk in parts.disk.replicas():
        wrong = _look_at_file(disk, row, parts.config.store_id, look)
        if wrong is not None:
            kind, detail = wrong
            unit = CheckUnit("log", row.id)
            found.append(Fault(unit=unit, kind=kind, place=disk.url, detail=detail))
    return found


def _look_at_file(
    disk: Disk, row: SegmentRow, store_id: bytes, look: Look
) -> tuple[Kind, str] | None:
    name = sealed_name(row.id)
    try:
        if not look.files.has(disk, name):
            return "missing", "there is no such file"
        return _look_into(disk, row, store_id, look)
    except errors.ObjectMissing as error:
        return "missing", error.message
    except errors.StorageError as error:
        # An unreadable sector is an I/O error of a disk that answers otherwise.
        return "unreachable", error.message


def _look_into(disk: Disk, row: SegmentRow, store_id: bytes, look: Look) -> tuple[Kind, str] | None:
    name = sealed_name(row.id)
    nbytes = disk.size(name)
    if nbytes < row.nbytes:
        return "truncated", f"{nbytes} bytes of {row.nbytes}"
    if nbytes > row.nbytes:
        return "damaged", f"{nbytes - row.nbytes} bytes more than were written"
    if not look.deep:
        return _judge_ends(disk, name, row, store_id)
    look.throttle(nbytes)
    return judge(disk.read_at(name, 0, nbytes), sealed_of(row, store_id))


def _judge_ends(disk: Disk, name: str, row: SegmentRow, store_id: bytes) -> tuple[Kind, str] | None:
    head = disk.read_at(name, 0, HEADER_NBYTES)
    try:
        header = parse_segment_header(head, store_id=store_id, segment=row.id)
    except errors.StorageError as error:
        return "swapped", error.message
    tail = disk.read_at(name, row.nbytes - TRAILER_NBYTES, TRAILER_NBYTES)
    if header is None:
        return "damaged", "no segment header"
    if read_footer(tail, row.nbytes) is None:
        return "damaged", "it does not end in a footer"
    return None


def check_fragments(
    parts: Parts, stripe: Stripe, look: Look, only: Collection[int] | None = None
) -> list[Fault]:
    """The faults of a stripe's fragments, or of some of them."""
    store_id = parts.config.store_id

    def content(segment: int, data: memoryview) -> str:
        wrong = judge(data, Sealed(id=segment, store_id=store_id))
        return "" if wrong is None else wrong[1]

    found = parts.tiers.stripes.check(
        stripe, deep=look.deep, throttle=look.throttle, only=only, content=content
    )
    return [
        Fault(
            unit=CheckUnit("stripe", stripe.id),
            index=each.index,
            kind=each.kind,
            place=place_url(parts, stripe.fragments[each.index].place),
            detail=each.detail,
            generation=stripe.generation,
        )
        for each in found
    ]


def place_url(parts: Parts, place: Place) -> str:
    """A failure domain as people write it."""
    return parts.tiers.url_of(place)
