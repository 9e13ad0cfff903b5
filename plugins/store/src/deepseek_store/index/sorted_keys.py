"""Texts in order, read without a lock while one thread adds to them.

Chunks are never changed, only replaced: whoever iterates has whole ones in hand.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

# An insertion copies one chunk: 256 pointers are copied in 0.3 us.
_CHUNK: Final = 256
_LARGEST: Final = 2 * _CHUNK


class SortedKeys:
    """A sorted set of texts; one writer at a time, any number of readers."""

    __slots__ = ("_chunks", "_firsts")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        ordered = sorted(keys)
        self._set([ordered[i : i + _CHUNK] for i in range(0, len(ordered), _CHUNK)])

    def add(self, key: str) -> None:
        """Put a text in its place, unless it is there."""
        if not self._chunks:
            self._set([[key]])
            return
        at = max(0, bisect_right(self._firsts, key) - 1)
        chunk = self._chunks[at]
        i = bisect_left(chunk, key)
        if i < len(chunk) and chunk[i] == key:
            return
        self._replace(at, [*chunk[:i], key, *chunk[i:]])

    def discard(self, key: str) -> None:
        """Take a text out, if it is there."""
        at = bisect_right(self._firsts, key) - 1
        chunk = self._chunks[at] if at >= 0 else []
        i = bisect_left(chunk, key)
        if i < len(chunk) and chunk[i] == key:
            self._replace(at, chunk[:i] + chunk[i + 1 :])

    def iterate(self, start: str, *, after: bool = False) -> Iterator[str]:
        """The texts from `start` on, or those after it."""
        # _firsts may belong to an older split than _chunks: so search the chunks themselves.
        chunks = self._chunks
        at = max(0, bisect_right(chunks, start, key=_first) - 1)
        side = bisect_right if after else bisect_left
        for i in range(at, len(chunks)):
            chunk = chunks[i]
            if i > at:
                yield from chunk
            else:
                yield from chunk[side(chunk, start) :]

    def _replace(self, at: int, chunk: list[str]) -> None:
        # A chunk replaced in place keeps its range, so a reader under way misses nothing.
        if not chunk or len(chunk) > _LARGEST:
            halves = [chunk[:_CHUNK], chunk[_CHUNK:]] if chunk else []
            self._set([*self._chunks[:at], *halves, *self._chunks[at + 1 :]])
        else:
            self._chunks[at] = chunk
            self._firsts[at] = chunk[0]

    def _set(self, chunks: list[list[str]]) -> None:
        self._chunks = chunks
        self._firsts = [chunk[0] for chunk in chunks]


def _first(chunk: list[str]) -> str:
    return chunk[0]
