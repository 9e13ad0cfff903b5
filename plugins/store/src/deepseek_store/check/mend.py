"""Repairs what care has found: from a mirror, a stripe, or what of it is still right.

Nothing is given up silently: what can't be repaired stays as it is, and its objects are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from typing import Literal

import attrs

from deepseek_core import errors
from deepseek_store.check.check_units import LogFiles, Look, check_fragments, check_segment
from deepseek_store.check.faults import CheckUnit, Fault, Outcome
from deepseek_store.errors import SegmentGone, Unrecoverable
from deepseek_store.home.locks import RECOVERY_LOCK, wait_for_lock
from deepseek_store.home.state import stripe_row
from deepseek_store.home.version_records import record_back, sealed_of
from deepseek_store.index.rows import Batch, SegmentRow, Version, VersionId
from deepseek_store.log.copies import Right, Sealed, judge, read_back, right_copy, write_copy
from deepseek_store.log.disk import Disk
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.records import unpack_extents
from deepseek_store.parts import Parts
from deepseek_store.stripes.stripe import Stripe
from deepseek_store.stripes.stripe_io import superseded


@attrs.frozen(kw_only=True)
class Mended:
    """What became of a unit's faults; `lost` are keys of objects that no copy is left of.

    `emptied`: it is damaged still, but nobody needs it any more; the collector may have it.
    """

    faults: tuple[Fault, ...]
    lost: tuple[str, ...] = ()
    emptied: bool = False


def mend(
    parts: Parts, unit: CheckUnit, faults: Sequence[Fault], look: Look, *, unreachable: bool = True
) -> Mended:
    """Repair a unit. `unreachable`: give fragments that can't be reached another place, too.

    Several may repair at once, in all processes: a unit is looked at again when it is its turn.
    """
    try:
        with parts.exclusive, parts.state.index.exclusive(f"repair:{unit.where}:{unit.number:x}"):
            parts.state.refresh()
            if unit.where == "log":
                return _mend_segment(parts, unit, faults, look)
            return _mend_stripe(parts, unit, faults, look, unreachable)
    except errors.StorageError as error:
        return Mended(faults=_ended(faults, "waiting", str(error)))


def revive_mirrors(parts: Parts) -> int:
    """Bring mirrors of the log that were left out up to date; how many files they took.

    While another process writes to the log they stay left out, for it would not write to them.
    """
    disk = parts.disk
    if not isinstance(disk, MirroredDisk) or not disk.degraded:
        return 0
    count = 0
    # Nobody opens it meanwhile, who would go by what the disks' marks say now.
    with closing(wait_for_lock(parts.opened.home / RECOVERY_LOCK)):
        if parts.opened.shared and parts.state.has_others():
            return 0
        for url in disk.degraded:
            # It is still out of order: the log goes on without it, as before.
            with suppress(errors.StorageError), parts.exclusive:
                count += disk.resync(url, lambda number: _in_log(parts, number))
    return count


def _in_log(parts: Parts, number: int) -> Sealed | None:
    """A sealed segment that the log should have; None if it was collected, or never sealed."""
    row = parts.state.segments.get(number)
    if row is None or not row.local or row.state != "sealed":
        return None
    return sealed_of(row, parts.config.store_id)


def _ended(faults: Iterable[Fault], outcome: Outcome, why: str = "") -> tuple[Fault, ...]:
    return tuple(
        attrs.evolve(
            fault,
            outcome=outcome,
            detail=f"{fault.detail}; {why}".strip("; ") if why else fault.detail,
        )
        for fault in faults
    )


def _mend_segment(parts: Parts, unit: CheckUnit, faults: Sequence[Fault], look: Look) -> Mended:
    row = parts.state.segments.get(unit.number)
    if row is None or not row.local or row.state != "sealed":
        return Mended(faults=_ended(faults, "gone"))
    # Only what was read completely and verified may be copied over what was not.
    fresh = attrs.evolve(look, deep=True, files=LogFiles(parts.disk.replicas()))
    faults = check_segment(parts, row, fresh)
    if not faults:
        return Mended(faults=())
    right = _right(parts, row)
    if right is None:
        return _salvaged(parts, faults, frozenset((row.id,)))
    by_place = {disk.url: disk for disk in parts.disk.replicas()}
    segment = sealed_of(row, parts.config.store_id)
    return Mended(
        faults=tuple(_put_right(by_place[fault.place], segment, right, fault) for fault in faults)
    )


def _put_right(disk: Disk, segment: Sealed, right: Right, fault: Fault) -> Fault:
    try:
        write_copy(disk, segment, right.data)
    except errors.StorageError as error:
        return _ended((fault,), "waiting", str(error))[0]
    return _ended((fault,), "repaired", f"copied from {right.source}")[0]


def _right(parts: Parts, row: SegmentRow) -> Right | None:
    """A segment's bytes from a disk, or from its stripe; None where none of them is right."""
    segment = sealed_of(row, parts.config.store_id)
    try:
        return right_copy(parts.disk.replicas(), segment, lambda _number, _error: None)
    except errors.StorageError:
        data = _from_stripe(parts, row)
    if data is None or judge(data, segment) is not None:
        return None
    return Right(data, "its stripe")


def _from_stripe(parts: Parts, row: SegmentRow) -> bytes | None:
    """A segment's bytes from the stripe that it is in; None where there is none, or it is lost."""
    stripe = None if row.stripe is None else parts.state.stripes.get(row.stripe)
    if stripe is None or row.fragment is None:
        return None
    fragment = stripe.fragments[row.fragment]
    if fragment.xxh3 is None:
        return None
    try:
        return parts.tiers.stripes.read_verified(
            stripe, row.fragment, 0, fragment.nbytes, xxh3=fragment.xxh3
        )
    except errors.StorageError:
        return None


def _mend_stripe(
    parts: Parts, unit: CheckUnit, faults: Sequence[Fault], look: Look, unreachable: bool
) -> Mended:
    stripe = parts.state.stripes.get(unit.number)
    if stripe is None:
        return Mended(faults=_ended(faults, "gone"))
    if any(fault.generation != stripe.generation for fault in faults):
        faults = check_fragments(parts, stripe, look)
    away = [fault for fault in faults if fault.kind == "unreachable"]
    hurt = [fault for fault in faults if unreachable or fault.kind != "unreachable"]
    left = () if unreachable else _ended(away, "waiting")
    rotten = [fault for fault in hurt if fault.kind == "corrupt-segment"]
    hurt = [fault for fault in hurt if fault.kind != "corrupt-segment"]
    if rotten:
        mended = _salvaged(parts, rotten, _segments(stripe, rotten))
        if hurt:
            more = _mend_stripe(parts, unit, [*hurt, *away], look, unreachable)
            return Mended(
                faults=(*mended.faults, *more.faults),
                lost=mended.lost + more.lost,
                emptied=mended.emptied or more.emptied,
            )
        return attrs.evolve(mended, faults=(*mended.faults, *left))
    if not hurt:
        return Mended(faults=left)
    try:
        _rebuild(parts, stripe, hurt, look)
    except Unrecoverable:
        inside = frozenset(each.segment for each in stripe.fragments[: stripe.width])
        return _salvaged(parts, faults, inside)
    return Mended(faults=(*_ended(hurt, "repaired"), *left))


def _segments(stripe: Stripe, faults: Iterable[Fault]) -> frozenset[int]:
    indexes = (fault.index for fault in faults if fault.index is not None)
    return frozenset(stripe.fragments[index].segment for index in indexes)


def _rebuild(parts: Parts, stripe: Stripe, faults: Sequence[Fault], look: Look) -> None:
    """Write fragments again, switch the index durably, and only then let go of the old ones."""
    parts.tiers.own()
    new = parts.tiers.stripes.repair(
        stripe,
        [fault.fragment for fault in faults],
        parts.tiers.places(stripe.tier),
        throttle=look.throttle,
    )
    parts.tiers.own()
    parts.state.commit(Batch(stripes=[stripe_row(new)], durable=True))
    # What can't be deleted now is an orphan, which gc finds.
    parts.tiers.stripes.delete_fragments(superseded(stripe, new))


def _salvaged(parts: Parts, faults: Sequence[Fault], segments: frozenset[int]) -> Mended:
    saved = salvage(parts, segments)
    if saved.lost:
        why = f"{len(saved.lost)} objects are lost with it; what is left is rewritten"
        return Mended(faults=_ended(faults, "lost", why), lost=saved.lost)
    if saved.waiting:
        why = f"{len(saved.waiting)} objects of it can't be reached; the others are rewritten"
        return Mended(faults=_ended(faults, "waiting", why))
    why = "all that lives in it is rewritten"
    return Mended(faults=_ended(faults, "repaired", why), emptied=True)


@attrs.frozen(kw_only=True)
class Salvaged:
    """What could not be rewritten: keys that are lost, and those that may be back."""

    lost: tuple[str, ...]
    waiting: tuple[str, ...] = ()


def salvage(parts: Parts, segments: frozenset[int]) -> Salvaged:
    """Rewrite what can still be read of these segments.

    A lost object stays in the index, so that whoever reads it is told, not "there is none".
    """
    seen = _visible(parts)
    found: dict[str, set[str]] = {"lost": set(), "waiting": set(), "saved": set()}
    for version in list(parts.state.catalog.all_versions()):
        if version.id in seen:
            found[_rescue(parts, version, segments)].add(version.key)
    return Salvaged(lost=tuple(sorted(found["lost"])), waiting=tuple(sorted(found["waiting"])))


def _visible(parts: Parts) -> set[VersionId]:
    """All versions that somebody can see, tombstones among them."""
    catalog = parts.state.catalog
    hidden = {version.id for version in catalog.superseded()}
    hidden -= parts.state.index.snapshot_members()
    return {version.id for version in catalog.all_versions()} - hidden


def _rescue(
    parts: Parts, version: Version, segments: frozenset[int]
) -> Literal["saved", "waiting", "lost"]:
    """Bring a version out of segments that are damaged, if it can still be read."""
    extents = unpack_extents(version.extents)
    if not any(extent.segment in segments for extent in extents):
        if version.segment in segments:
            parts.writer.relink(version)
        return "saved"
    try:
        pieces = [parts.reader.read(extent) if extent.nbytes else b"" for extent in extents]
    except errors.TierUnavailable:
        return "waiting"
    except (errors.StorageError, SegmentGone):
        return "lost"
    written = parts.writer.rewrite(version, pieces)
    try:
        read_back(parts.disk, written)
    except errors.StorageError:
        parts.writer.end_rewrites([record_back(version)])  # what could be read there still can
        raise
    return "saved"
