"""Repairs what care has found: from a mirror, a stripe, or what of it is still right.

Nothing is given up silently: what can't be repaired stays as it is, and its objects are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import attrs

from deepseek_core import errors
from deepseek_store.check.check_units import LogFiles, Look, check_fragments, check_segment
from deepseek_store.check.faults import Fault, Outcome, Unit
from deepseek_store.errors import SegmentGone, Unrecoverable
from deepseek_store.home.state import stripe_row
from deepseek_store.index.rows import Batch, SegmentRow, Version, VersionId
from deepseek_store.log.disk import Disk
from deepseek_store.log.mirrored import MirroredDisk
from deepseek_store.log.records import unpack_extents
from deepseek_store.log.recovery import copy_file, put_in_place
from deepseek_store.log.segment import sealed_name
from deepseek_store.parts import Parts
from deepseek_store.stripes.stripe import Stripe
from deepseek_store.stripes.stripe_io import superseded


@attrs.frozen(kw_only=True)
class Mended:
    """What became of a unit's faults; `lost` are keys of objects that no copy is left of."""

    faults: tuple[Fault, ...]
    lost: tuple[str, ...] = ()


def mend(
    parts: Parts, unit: Unit, faults: Sequence[Fault], look: Look, *, unreachable: bool = True
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
    """Bring mirrors of the log that were left out up to date; how many files they took."""
    count = 0
    if isinstance(parts.disk, MirroredDisk):
        for url in parts.disk.degraded:
            # It is still out of order: the log goes on without it, as before.
            with suppress(errors.StorageError):
                count += parts.disk.resync(url)
    return count


def _ended(faults: Iterable[Fault], outcome: Outcome, why: str = "") -> tuple[Fault, ...]:
    return tuple(
        attrs.evolve(
            fault,
            outcome=outcome,
            detail=f"{fault.detail}; {why}".strip("; ") if why else fault.detail,
        )
        for fault in faults
    )


def _mend_segment(parts: Parts, unit: Unit, faults: Sequence[Fault], look: Look) -> Mended:
    row = parts.state.segments.get(unit.number)
    if row is None or not row.local or row.state != "sealed":
        return Mended(faults=_ended(faults, "gone"))
    fresh = attrs.evolve(look, files=LogFiles(parts.disk.replicas()))
    faults = check_segment(parts, row, fresh)
    if not faults:
        return Mended(faults=())
    bad = {fault.place for fault in faults}
    targets = [disk for disk in parts.disk.replicas() if disk.url in bad]
    good = next((disk for disk in parts.disk.replicas() if disk.url not in bad), None)
    if good is not None:
        for disk in targets:
            copy_file(good, disk, sealed_name(row.id))
        return Mended(faults=_ended(faults, "repaired", f"copied from {good.url}"))
    data = _from_stripe(parts, row)
    if data is not None:
        for disk in targets:
            write_file(disk, sealed_name(row.id), data)
        return Mended(faults=_ended(faults, "repaired", "copied from its stripe"))
    return _salvaged(parts, faults, frozenset((row.id,)))


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


def write_file(disk: Disk, name: str, data: bytes) -> None:
    """Make a file of the log these bytes, whole or not at all, and durably."""
    partial = f"copy-{name}"
    disk.remove(partial)
    disk.create(partial, len(data))
    disk.write_at(partial, 0, [data])
    disk.sync(partial)
    put_in_place(disk, partial, name)


def _mend_stripe(
    parts: Parts, unit: Unit, faults: Sequence[Fault], look: Look, unreachable: bool
) -> Mended:
    stripe = parts.state.stripes.get(unit.number)
    if stripe is None:
        return Mended(faults=_ended(faults, "gone"))
    if any(fault.generation != stripe.generation for fault in faults):
        faults = check_fragments(parts, stripe, look)
    away = [fault for fault in faults if fault.kind == "unreachable"]
    hurt = [fault for fault in faults if unreachable or fault.kind != "unreachable"]
    left = () if unreachable else _ended(away, "waiting")
    if not hurt:
        return Mended(faults=left)
    try:
        _rebuild(parts, stripe, hurt, look)
    except Unrecoverable as error:
        if _only_away(parts, stripe, faults):
            return Mended(faults=_ended(faults, "waiting", error.message))
        inside = frozenset(each.segment for each in stripe.fragments[: stripe.width])
        return _salvaged(parts, faults, inside)
    return Mended(faults=(*_ended(hurt, "repaired"), *left))


def _rebuild(parts: Parts, stripe: Stripe, faults: Sequence[Fault], look: Look) -> None:
    """Write fragments anew, switch the index durably, and only then let go of the old ones."""
    parts.tiers.own()
    new = parts.tiers.stripes.repair(
        stripe,
        [fault.fragment for fault in faults],
        parts.tiers.places(stripe.temperature),
        throttle=look.throttle,
    )
    parts.tiers.own()
    parts.state.commit(Batch(stripes=[stripe_row(new)], durable=True))
    # What can't be deleted now is an orphan, which gc finds.
    parts.tiers.stripes.delete_fragments(superseded(stripe, new))


def _only_away(parts: Parts, stripe: Stripe, faults: Sequence[Fault]) -> bool:
    """Whether all of it would be there again if what can't be reached came back."""
    lost = {fault.index for fault in faults if fault.kind != "unreachable"}
    gone = [index for index in lost if index is not None]
    return parts.tiers.stripes.decodable(stripe, [*gone, *stripe.lost])


def _salvaged(parts: Parts, faults: Sequence[Fault], segments: frozenset[int]) -> Mended:
    lost = salvage(parts, segments)
    if lost:
        why = f"{len(lost)} objects are lost with it; what is left is written anew"
        return Mended(faults=_ended(faults, "lost", why), lost=lost)
    return Mended(faults=_ended(faults, "repaired", "all that lives in it is written anew"))


def salvage(parts: Parts, segments: frozenset[int]) -> tuple[str, ...]:
    """Write anew what can still be read of these segments; the keys of what can't be.

    A lost object stays in the index, so that whoever reads it is told, not "there is none".
    """
    seen = _visible(parts)
    lost = set()
    for version in list(parts.state.catalog.all_versions()):
        if version.id in seen and not _rescue(parts, version, segments):
            lost.add(version.key)
    return tuple(sorted(lost))


def _visible(parts: Parts) -> set[VersionId]:
    """All versions that somebody can see, tombstones among them."""
    catalog = parts.state.catalog
    hidden = {version.id for version in catalog.superseded()}
    hidden -= parts.state.index.snapshot_members()
    return {version.id for version in catalog.all_versions()} - hidden


def _rescue(parts: Parts, version: Version, segments: frozenset[int]) -> bool:
    """Bring a version out of segments that are damaged; False if it can't be read any more."""
    extents = unpack_extents(version.extents)
    if not any(extent.segment in segments for extent in extents):
        if version.segment in segments:
            parts.writer.relink(version)
        return True
    try:
        pieces = [parts.reader.read(extent) if extent.nbytes else b"" for extent in extents]
    except (errors.StorageError, SegmentGone):
        return False
    parts.writer.rewrite(version, pieces)
    return True
