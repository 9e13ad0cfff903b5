"""What the log of a store has, and its index has not: read from the segments."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from deepseek_store.home.state import State
from deepseek_store.home.version_records import version_of
from deepseek_store.index.rows import Batch, SegmentRow, Version
from deepseek_store.log.records import Kind, segments_in
from deepseek_store.log.recovery import Recovered
from deepseek_store.log.segment import SegmentInfo


def known_segments(state: State) -> list[int]:
    """Sealed segments of the log that the index has applied."""
    return [row.id for row in state.segments.values() if row.state == "sealed" and row.local]


def synced_ends(state: State) -> dict[int, int]:
    """How far the index has come in each segment."""
    return {row.id: row.applied for row in state.segments.values()}


def catch_up(state: State, recovered: Recovered, segments: Sequence[SegmentInfo]) -> None:
    """Put into the index what these segments have and it has not."""
    versions: list[Version] = []
    rows: list[SegmentRow] = []
    for info in segments:
        known = state.segments.get(info.id)
        if known is not None and known.state == "sealed":
            continue
        rows.append(segment_row(info))
        if info.sealed:  # else its writer lives, and tells of it itself
            versions += lacking(state, recovered, info.id)
    if rows:
        state.commit(Batch(versions=versions, segments=rows, durable=True))


def drop_empty(state: State, present: Collection[int], writer_alive: Callable[[int], bool]) -> None:
    """Forget segments that dead writers left open, of which there is no file and no need."""
    empty = {
        row.id
        for row in state.segments.values()
        if row.state == "active" and row.id not in present and not writer_alive(row.writer)
    }
    if not empty:
        return
    for version in state.catalog.all_versions():
        empty -= {version.segment, *segments_in(version.extents)}
    if empty:
        state.commit(Batch(drop_segments=sorted(empty)))


def lacking(state: State, recovered: Recovered, segment: int) -> list[Version]:
    """The versions of a segment that the index has not applied."""
    known = state.segments.get(segment)
    applied = 0 if known is None else known.applied
    return [
        version_of(placed)
        for placed in recovered.placed(segment)
        if placed.offset >= applied and placed.record.kind in (Kind.PUT, Kind.DELETE)
    ]


def segment_row(info: SegmentInfo) -> SegmentRow:
    """A segment of the log as the index keeps it, all of it applied."""
    return SegmentRow(
        id=info.id,
        writer=info.writer,
        state="sealed" if info.sealed else "active",
        nbytes=info.nbytes,
        min_generation=info.min_generation,
        created_s=info.created_s,
        applied=info.nbytes if info.sealed else 0,
    )
