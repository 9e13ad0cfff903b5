"""One batch as the statements of one transaction, after what it expects was checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from deepseek_store.errors import GenerationMismatch
from deepseek_store.index import schema
from deepseek_store.index.port import NAMED, Params, Transaction
from deepseek_store.index.rows import Batch, SegmentRow, Version, VersionId

_VERSION_NAMES: Final = tuple(NAMED.findall(schema.PUT_VERSION))


def check_expected(transaction: Transaction, batch: Batch, url: str) -> None:
    """Refuse the batch unless every key has the generation that it is expected to have.

    Raises:
        GenerationMismatch: another one, or none.
    """
    ours = {version.id for version in batch.versions} if batch.expect else set()
    for key, expected in batch.expect.items():
        rows = transaction.run(schema.CURRENT, {"key": key})
        found = int(rows[0][0]) if rows and not rows[0][2] else 0
        # A version that is there already: this very batch was committed before.
        if found != expected and not (rows and (key, rows[0][0], rows[0][1]) in ours):
            raise GenerationMismatch(
                f"{key!r} is of generation {found}, not {expected}"
                if found
                else f"{key!r} does not exist, expected generation {expected}",
                url=url,
                found=found,
                remedy="read it again and decide again",
            )


def kept_by_snapshots(transaction: Transaction, versions: Sequence[VersionId]) -> set[VersionId]:
    """Versions that some snapshot has."""
    if not versions or not transaction.run(schema.ANY_SNAPSHOT):
        return set()
    kept: set[VersionId] = set()
    for key in {version[0] for version in versions}:
        rows = transaction.run(schema.MEMBERS_OF_KEY, {"key": key})
        kept.update((key, generation, writer) for generation, writer in rows)
    return kept.intersection(versions)


def write_batch(
    transaction: Transaction, batch: Batch, seq: int, forget: Sequence[VersionId], *, noted: bool
) -> None:
    """Everything in a batch but `forget`, in whose place comes what may really go.

    `noted`: others may want to know what was removed.
    """
    # What a later one of the same batch hides was never there.
    hidden = set(forget)
    new = [_version_row(each, seq) for each in batch.versions if each.id not in hidden]
    if new:
        transaction.run_rows(schema.PUT_VERSION, new)
    for sql, rows in _statements(batch, seq):
        if rows:
            transaction.run_many(sql, rows)
    removals = list(_removals(batch, forget))
    for sql, rows in _notes(batch, seq, forget) if noted else ():
        if rows:
            transaction.run_many(sql, rows)
    if not noted and any(rows for _, rows in removals):
        transaction.run_many(schema.TRIM_HEAD, [{"seq": seq}])
    for sql, rows in removals:
        if rows:
            transaction.run_many(sql, rows)


def _statements(batch: Batch, seq: int) -> Iterator[tuple[str, Sequence[Params]]]:
    yield schema.MOVE_VERSION, [_version_params(version, seq) for version in batch.moved]
    yield schema.PUT_SEGMENT, [_segment_params(segment, seq) for segment in batch.segments]
    yield (
        schema.APPLIED,
        [{"id": id_, "applied": offset, "seq": seq} for id_, offset in batch.applied.items()],
    )
    yield schema.PUT_STRIPE, [{**_params(stripe), "seq": seq} for stripe in batch.stripes]
    pins = batch.pins.items()
    yield schema.PUT_PIN, [{"key": key, "tier": t, "seq": seq} for key, t in pins if t is not None]
    yield schema.PUT_HEAT, [_params(heat) for heat in batch.heat]
    meta = batch.meta.items()
    yield schema.PUT_META, [{"key": key, "value": v} for key, v in meta if v is not None]
    yield schema.DROP_META, [{"key": key} for key, value in meta if value is None]


def _notes(
    batch: Batch, seq: int, forget: Sequence[VersionId]
) -> Iterator[tuple[str, Sequence[Params]]]:
    """What others will want to know of the removals; before they are done."""
    yield schema.NOTE_FORGOTTEN, [{**_version_id(version), "seq": seq} for version in forget]
    gone = [_removed("segment", seq, "", id_) for id_ in batch.drop_segments]
    gone += [_removed("stripe", seq, "", id_) for id_ in batch.drop_stripes]
    gone += [_removed("pin", seq, key) for key, tier in batch.pins.items() if tier is None]
    yield schema.NOTE_REMOVED, gone


def _removals(batch: Batch, forget: Sequence[VersionId]) -> Iterator[tuple[str, Sequence[Params]]]:
    yield schema.FORGET_VERSION, [_version_id(version) for version in forget]
    yield schema.DROP_SEGMENT, [{"id": id_} for id_ in batch.drop_segments]
    yield schema.DROP_STRIPE, [{"id": id_} for id_ in batch.drop_stripes]
    yield schema.DROP_PIN, [{"key": key} for key, tier in batch.pins.items() if tier is None]


def _version_row(version: Version, seq: int) -> tuple[object, ...]:
    """In the order of the parameters of `PUT_VERSION`."""
    return (
        version.key,
        version.generation,
        version.writer,
        version.move,
        version.nbytes,
        version.created_s,
        int(version.deleted),
        version.meta,
        version.extents,
        version.segment,
        version.offset,
        seq,
    )


def _version_params(version: Version, seq: int) -> Params:
    return dict(zip(_VERSION_NAMES, _version_row(version, seq), strict=True))


def _version_id(version: VersionId) -> Params:
    key, generation, writer = version
    return {"key": key, "generation": generation, "writer": writer}


def _segment_params(segment: SegmentRow, seq: int) -> Params:
    return {**_params(segment), "local": int(segment.local), "seq": seq}


def _params(row: attrs.AttrsInstance) -> dict[str, Any]:
    return attrs.asdict(row, recurse=False)


def _removed(kind: str, seq: int, key: str, generation: int = 0, writer: int = 0) -> Params:
    return {"seq": seq, "kind": kind, "key": key, "generation": generation, "writer": writer}
