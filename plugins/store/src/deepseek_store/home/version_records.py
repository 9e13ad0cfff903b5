"""Versions and segments of the index as the log has them, and back."""

from __future__ import annotations

import attrs

from deepseek_store.index.rows import SegmentRow, Version
from deepseek_store.log.copies import Sealed
from deepseek_store.log.records import Buffer, Kind, Placed, Record


def version_of(placed: Placed) -> Version:
    """The version that a PUT or DELETE record stands for."""
    record = placed.record
    deleted = record.kind is Kind.DELETE
    if record.manifest:
        extents = bytes(record.payload)
    else:
        # No bytes, no extent: nothing would keep its segment.
        extents = placed.packed_extent if record.object_nbytes else b""
    return Version(
        key=record.key,
        generation=record.generation,
        writer=record.writer,
        move=record.move,
        nbytes=0 if deleted else record.object_nbytes,
        created_s=record.created_s,
        deleted=deleted,
        meta=record.meta,
        extents=extents,
        segment=placed.segment,
        offset=placed.offset,
    )


def sealed_of(row: SegmentRow, store_id: bytes) -> Sealed:
    """A sealed segment of the index, as the log knows it."""
    return Sealed(id=row.id, nbytes=row.nbytes, store_id=store_id)


def moved_record(version: Version, kind: Kind, payload: Buffer, offset: int = 0) -> Record:
    """A record of a version that goes elsewhere: the same version, moved once more.

    `offset`: which part of the object the payload of a SHARD is.
    """
    return Record(
        kind=kind,
        key=version.key,
        generation=version.generation,
        writer=version.writer,
        move=version.move + 1,
        created_s=version.created_s,
        object_offset=offset,
        object_nbytes=version.nbytes,
        meta=b"" if kind is Kind.SHARD else version.meta,
        payload=payload,
    )


def record_back(version: Version) -> Record:
    """The record by which a version that was moved lies again where it did."""
    moved = attrs.evolve(version, move=version.move + 1)
    return attrs.evolve(moved_record(moved, Kind.PUT, version.extents), manifest=True)
