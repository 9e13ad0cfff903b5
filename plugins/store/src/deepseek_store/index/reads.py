"""Rows as they come back from the database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from deepseek_store.index import schema
from deepseek_store.index.port import Transaction
from deepseek_store.index.rows import Changes, SegmentRow, StripeRow, Version


def read_versions(rows: Iterable[Sequence[Any]]) -> Iterator[Version]:
    """Versions from rows of `schema.VERSIONS` and its like."""
    for key, generation, writer, move, nbytes, created_s, deleted, meta, extents, seg, at in rows:
        yield Version(
            key=key,
            generation=generation,
            writer=writer,
            move=move,
            nbytes=nbytes,
            created_s=created_s,
            deleted=deleted == 1,
            meta=meta,
            extents=extents,
            segment=seg,
            offset=at,
        )


def read_heat(rows: Sequence[Sequence[Any]]) -> dict[str, tuple[float, float]]:
    """Rate and time by key, from rows of `schema.HEAT` and its like."""
    if not rows:
        return {}
    keys, rates, at_s = zip(*rows, strict=True)
    if min(rates) < 0 or not math.isfinite(sum(rates) + sum(at_s)):
        raise ValueError("a heat is not a number")
    return dict(zip(keys, zip(rates, at_s, strict=True), strict=True))


def read_segments(rows: Iterable[Sequence[Any]]) -> list[SegmentRow]:
    """Segments from rows of `schema.SEGMENTS` and its like."""
    names = [field.name for field in attrs.fields(SegmentRow)]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [SegmentRow(**{**fields, "local": fields["local"] == 1}) for fields in found]


def read_stripes(rows: Iterable[Sequence[Any]]) -> list[StripeRow]:
    """Stripes from rows of `schema.STRIPES` and its like."""
    names = [field.name for field in attrs.fields(StripeRow)]
    return [StripeRow(**dict(zip(names, row, strict=True))) for row in rows]


def read_changes(transaction: Transaction, seq: int, now: int, clock: int) -> Changes:
    """What the commits after `seq` up to `now` left behind."""
    since = {"seq": seq, "now": now}
    removed: dict[str, list[tuple[str, int, int]]] = {}
    for kind, key, generation, writer in transaction.run(schema.REMOVED_SINCE, since):
        removed.setdefault(kind, []).append((key, generation, writer))
    pins: dict[str, str | None] = {key: None for key, _, _ in removed.get("pin", ())}
    pins.update((key, tier) for key, tier in transaction.run(schema.PINS_SINCE, since))
    return Changes(
        seq=now,
        clock=clock,
        versions=tuple(read_versions(transaction.run(schema.VERSIONS_SINCE, since))),
        forgotten=tuple(removed.get("version", ())),
        segments=read_segments(transaction.run(schema.SEGMENTS_SINCE, since)),
        dropped_segments=tuple(id_ for _, id_, _ in removed.get("segment", ())),
        stripes=read_stripes(transaction.run(schema.STRIPES_SINCE, since)),
        dropped_stripes=tuple(id_ for _, id_, _ in removed.get("stripe", ())),
        pins=pins,
    )
