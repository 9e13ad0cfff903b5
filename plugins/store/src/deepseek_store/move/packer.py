"""Fills segments with objects to the last byte: how data is rewritten when it moves. Pure.

A piece may be cut where a segment ends, so that all fragments of a stripe have one length and
nothing is padded. Pieces are shards: each has its own hash and is read alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from deepseek_store.errors import Corrupt
from deepseek_store.home.version_records import moved_record
from deepseek_store.index.rows import Version
from deepseek_store.log import records as rec
from deepseek_store.log.records import Buffer, Extent, Kind, Placed, Record
from deepseek_store.log.segment import SegmentHeader, SegmentLayout, growth_nbytes, segment_nbytes
from deepseek_store.planning.sizing import SPAN_NBYTES, Sizes

# What a segment takes without any record, alignment counted: headers, mark, footer, trailer.
_EMPTY_NBYTES: Final = segment_nbytes([]) + 16
# Below it a piece is more header than content: the rest of a segment is left empty then.
_LEAST_PIECE_NBYTES: Final = 4096


@attrs.frozen(kw_only=True)
class PackSource:
    """An object to pack: its version, its bytes in chunks of any length, and its shard sizes."""

    version: Version
    chunks: Iterable[Buffer]
    sizes: Sizes


@attrs.frozen(kw_only=True)
class SegmentForm:
    """What all segments of one packing have in common; `ids` gives their numbers in order."""

    store_id: bytes
    writer: int
    nbytes: int
    ids: Iterator[int]
    created_s: float


@attrs.frozen(kw_only=True)
class PackedSegment:
    """A full segment: its bytes, and the versions whose last record it holds.

    These have `move` raised, and their new extents.
    """

    id: int
    content: bytes
    min_generation: int
    versions: tuple[Version, ...]


def pack(
    sources: Iterable[PackSource], form: SegmentForm, damaged: Callable[[Version, Corrupt], None]
) -> Iterator[PackedSegment]:
    """Write objects one after the other into segments, each as full as it gets.

    `damaged` is told of an object whose bytes can't be read: it is left out, unless that raises.
    """
    packer = _Packer(form)
    for source in sources:
        try:
            yield from packer.add(source)
        except Corrupt as error:
            damaged(source.version, error)
    yield from packer.flush()


class _Packer:
    """The segment that fills now, and the versions that end in it."""

    def __init__(self, form: SegmentForm) -> None:
        self._form = form
        self._begin()

    def _begin(self) -> None:
        self._layout: SegmentLayout | None = None
        self._parts: list[Buffer] = []
        self._versions: list[Version] = []
        self._left_nbytes = self._form.nbytes - _EMPTY_NBYTES

    def add(self, source: PackSource) -> Iterator[PackedSegment]:
        version = source.version
        chunks = _Chunks(source.chunks)
        whole = moved_record(version, Kind.PUT, b"")
        fits = version.nbytes + _growth_nbytes(whole) <= self._left_nbytes or self._layout is None
        piece_nbytes = _growth_nbytes(moved_record(version, Kind.SHARD, b"")) + 8
        small = version.nbytes <= source.sizes.of(0)
        if small and (fits or self._left_nbytes - piece_nbytes < _LEAST_PIECE_NBYTES):
            if not fits:
                yield from self.flush()
            placed = self._place(attrs.evolve(whole, payload=chunks.take(version.nbytes)))
            self._finish(version, placed, [placed.extent] if version.nbytes else [])
            return
        extents: list[Extent] = []
        at = 0
        while at < version.nbytes:
            room = self._left_nbytes - piece_nbytes
            if room < min(_LEAST_PIECE_NBYTES, version.nbytes - at):
                yield from self.flush()
                continue
            nbytes = min(_to_cut(at, source.sizes), version.nbytes - at, room)
            piece = moved_record(version, Kind.SHARD, chunks.take(nbytes), offset=at)
            extents.append(self._place(piece).extent)
            at += nbytes
        manifest = attrs.evolve(whole, payload=rec.pack_extents(extents), manifest=True)
        if self._layout is not None and _growth_nbytes(manifest) > self._left_nbytes:
            yield from self.flush()
        self._finish(version, self._place(manifest), extents)

    def flush(self) -> Iterator[PackedSegment]:
        """The segment under way, as full as it is; then an empty one."""
        layout, parts, versions = self._layout, self._parts, tuple(self._versions)
        if layout is None:
            return
        parts.append(layout.mark())
        layout.commit()
        parts.append(layout.footer())
        content = b"".join(parts)
        lowest = layout.info(len(content), sealed=True).min_generation
        self._begin()
        yield PackedSegment(id=layout.id, content=content, min_generation=lowest, versions=versions)

    def _place(self, record: Record) -> Placed:
        if self._layout is None:
            header = SegmentHeader(
                store_id=self._form.store_id,
                segment=next(self._form.ids),
                writer=self._form.writer,
                created_s=self._form.created_s,
            )
            self._layout, self._parts = SegmentLayout(header), [header.to_bytes()]
        self._left_nbytes -= _growth_nbytes(record)
        return self._layout.place(rec.prepare(record), self._parts)

    def _finish(self, version: Version, placed: Placed, extents: list[Extent]) -> None:
        self._versions.append(
            attrs.evolve(
                version,
                move=version.move + 1,
                extents=rec.pack_extents(extents),
                segment=placed.segment,
                offset=placed.offset,
            )
        )


class _Chunks:
    """Bytes that come in chunks, taken in other lengths."""

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def take(self, nbytes: int) -> bytes:
        """The next bytes, copied: they outlive the chunk that they come from."""
        parts = []
        while nbytes:
            if not self._rest:
                self._rest = memoryview(next(self._chunks)).cast("B")
            parts.append(self._rest[:nbytes])
            self._rest = self._rest[nbytes:]
            nbytes -= len(parts[-1])
        return b"".join(parts)


def _growth_nbytes(record: Record) -> int:
    return sum(growth_nbytes(record))


def _to_cut(at: int, sizes: Sizes) -> int:
    """Bytes from here to where the next shard begins."""
    shard_nbytes = sizes.of(at // SPAN_NBYTES)
    return shard_nbytes - at % shard_nbytes
