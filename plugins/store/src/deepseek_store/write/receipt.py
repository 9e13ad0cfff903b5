"""What a put acknowledges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import xxhash

from deepseek_store.errors import Corrupt
from deepseek_store.log.records import Extent
from deepseek_store.write.buffers import bytes_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@attrs.frozen(slots=True)
class Piece:
    """One shard as it was written: its length, and the xxh3-64 of its bytes."""

    nbytes: int
    xxh3: int


@attrs.frozen(kw_only=True, slots=True)
class Receipt:
    """What a put acknowledges: these bytes, under this generation, survive a crash.

    `pieces` are the shards that were written, in order; together they are `nbytes` long.
    """

    key: str
    generation: int
    nbytes: int
    shards: int
    pieces: tuple[Piece, ...] = ()

    def facts(self) -> dict[str, Any]:
        """All but the pieces, as a dictionary."""
        return attrs.asdict(self, filter=attrs.filters.exclude("pieces"))

    def matches(self, data: ReadableBuffer) -> bool:
        """Whether these bytes are what was written, by their number and hashes.

        Raises:
            NotBytes: it has no bytes.
        """
        view = memoryview(bytes_of(data))
        if len(view) != self.nbytes:
            return False
        at = 0
        for piece in self.pieces:
            if xxhash.xxh3_64_intdigest(view[at : at + piece.nbytes]) != piece.xxh3:
                return False
            at += piece.nbytes
        return True


def pieces_of(key: str, extents: Sequence[Extent], nbytes: int) -> tuple[Piece, ...]:
    """Lengths and hashes of what was written, which has to be `nbytes` long.

    Raises:
        Corrupt: it is not; nothing is to be acknowledged.
    """
    written = sum([extent.nbytes for extent in extents])
    if written != nbytes:
        raise Corrupt(
            f"{key[:200]!r} has {nbytes} bytes, and {written} were written",
            url="log",
            remedy="put it again",
        )
    return tuple([Piece(extent.nbytes, extent.xxh3) for extent in extents])
