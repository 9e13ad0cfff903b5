"""The versions that the records of a segment tell of, as a rebuild wants them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from deepseek_store.home.version_records import version_of
from deepseek_store.index.rows import Version
from deepseek_store.log.records import Kind, Placed, segments_in
from deepseek_store.log.segment import footer_rows

_PUT: Final = int(Kind.PUT)
_DELETE: Final = int(Kind.DELETE)


class Told(NamedTuple):
    """What the records of a segment say: versions, and the highest numbers that they name."""

    versions: list[Version]
    clock: int = 0
    segment: int = 0


def told_by_footer(data: bytes) -> Told:
    """From a footer, without a record for each entry: a rebuild costs what this costs.

    Raises:
        Corrupt: it is not a footer, or it is damaged.
        ForeignStore: of a later format.
    """
    segment, rows = footer_rows(data)
    versions: list[Version] = []
    clock = highest = 0
    for kind, manifest, key, generation, writer, move, created_s, nbytes, meta, where, at in rows:
        clock = max(clock, generation)
        if kind not in (_PUT, _DELETE):
            continue
        if manifest:
            highest = max(highest, *segments_in(where), 0)
        deleted = kind == _DELETE
        versions.append(
            Version(
                key=key,
                generation=generation,
                writer=writer,
                move=move,
                nbytes=0 if deleted else nbytes,
                created_s=created_s,
                deleted=deleted,
                meta=meta,
                extents=where if manifest or nbytes else b"",
                segment=segment,
                offset=at,
            )
        )
    return Told(versions, clock, highest)


def told_by(placed: Iterable[Placed]) -> Told:
    """From records that were read one by one."""
    versions: list[Version] = []
    clock = highest = 0
    for one in placed:
        record = one.record
        clock = max(clock, record.generation)
        if record.kind in (Kind.PUT, Kind.DELETE):
            versions.append(version_of(one))
            if record.manifest:
                highest = max(highest, *segments_in(versions[-1].extents), 0)
    return Told(versions, clock, highest)
