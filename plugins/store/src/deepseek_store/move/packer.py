"""Fills segments with objects to the last byte: how data is written anew when it moves. Pure.

A piece may be cut where a segment ends, so that all fragments of a stripe have one length and
nothing is padded. Pieces are shards: each has its own hash and is read alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from deepseek_store.home.version_records import moved_record
from deepseek_store.index.rows import Version
from deepseek_store.log import records as rec
from deepseek_store.log.records import Buffer, Extent, Kind, Placed, Record
from deepseek_store.log.segment import SegmentHeader, SegmentLayout, growth_nbytes, segment_nbytes
from deepseek_store.planning.sizing import SPAN_NBYTES, Sizes


def _to_cut(at: int, sizes: Sizes) -> int:
    """Bytes from here to where the next shard begins."""
    shard_nbytes = sizes.of(at // SPAN_NBYTES)
    return shard_nbytes - at % shard_nbytes


class _Source:
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


# What a segment takes without any record, alignment counted: headers, mark, footer, trailer.
EMPTY_NBYTES: Final = segment_nbytes([]) + 16
# Below it a piece is more header than content: the rest of a segment is left empty then.
_LEAST_PIECE_NBYTES: Final = 4096


@attrs.frozen(kw_only=True)
class Packed:
    """A full segment: its bytes, and the versions whose last record it holds."""

    id: int
    content: bytes
    min_generation: int
    versions: tuple[Version, ...]


class Packer:
    """Takes objects, gives full segments of at most `segment_nbytes`.

    `ids` gives the numbers of new segments, in the order in which they fill.
    """

    def __init__(
        self,
        *,
        store_id: bytes,
        writer: int,
        segment_nbytes: int,
        ids: Iterator[int],
        created_s: float,
    ) -> None:
        self._store_id, self._writer, self._created_s = store_id, writer, created_s
        self._most, self._ids = segment_nbytes, ids
        self._layout: SegmentLayout | None = None
        self._parts: list[Buffer] = []
        self._versions: list[Version] = []
        self._used_nbytes = 0

    def add(self, version: Version, chunks: Iterable[Buffer], sizes: Sizes) -> Iterator[Packed]:
        """Write an object's bytes, which come in chunks of any length; full segments come out.

        The version that comes out with the last of them has `move` raised and its new extents.
        """
        left = version.nbytes
        shard_nbytes = sizes.of(0)
        source = _Source(chunks)
        inline = moved_record(version, Kind.PUT, b"")
        fits = left + sum(growth_nbytes(inline)) <= self._left_nbytes or self._layout is None
        if left <= shard_nbytes and (fits or not self._worth_cutting(version)):
            if not fits:
                yield from self.flush()
            placed = self._place(attrs.evolve(inline, payload=source.take(left)))
            self._finish(version, placed, [placed.extent] if version.nbytes else [])
            return
        extents: list[Extent] = []
        while left:
            room = self._room(version)
            if room < min(_LEAST_PIECE_NBYTES, left):
                yield from self.flush()
                continue
            at = version.nbytes - left
            payload = source.take(min(_to_cut(at, sizes), left, room))
            piece = moved_record(version, Kind.SHARD, payload, offset=at)
            extents.append(self._place(piece).extent)
            left -= len(payload)
        manifest = attrs.evolve(
            moved_record(version, Kind.PUT, rec.pack_extents(extents)), manifest=True
        )
        if not self._fits(manifest):
            yield from self.flush()
        self._finish(version, self._place(manifest), extents)

    def flush(self) -> Iterator[Packed]:
        """The segment under way, as full as it is."""
        layout, self._layout = self._layout, None
        if layout is None:
            return
        self._parts.append(layout.mark())
        layout.commit()
        self._parts.append(layout.footer())
        content = b"".join(self._parts)
        info = layout.info(len(content), sealed=True)
        versions, self._parts, self._versions = tuple(self._versions), [], []
        self._used_nbytes = 0
        yield Packed(
            id=layout.id,
            content=content,
            min_generation=info.min_generation,
            versions=versions,
        )

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

    def _place(self, record: Record) -> Placed:
        if self._layout is None:
            header = SegmentHeader(
                store_id=self._store_id,
                segment=next(self._ids),
                writer=self._writer,
                created_s=self._created_s,
            )
            self._layout, self._parts = SegmentLayout(header), [header.to_bytes()]
        self._used_nbytes += sum(growth_nbytes(record))
        return self._layout.place(rec.prepare(record), self._parts)

    def _fits(self, record: Record) -> bool:
        """Whether there is room for a record; an empty segment takes any."""
        return self._layout is None or sum(growth_nbytes(record)) <= self._left_nbytes

    def _worth_cutting(self, version: Version) -> bool:
        return self._room(version) >= _LEAST_PIECE_NBYTES

    def _room(self, version: Version) -> int:
        """Payload that one more piece may have."""
        return self._left_nbytes - sum(growth_nbytes(moved_record(version, Kind.SHARD, b""))) - 8

    @property
    def _left_nbytes(self) -> int:
        return self._most - EMPTY_NBYTES - self._used_nbytes
