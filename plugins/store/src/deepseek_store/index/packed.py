"""Versions in the order of their keys, in columns: some 200 bytes each, and quick to load."""

from __future__ import annotations

import math
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from operator import lt
from typing import Any, Final, Self

from deepseek_store.index.rows import Version

CHUNK: Final = 500
"""Rows that are best taken in at once: few enough to stay in the processor's caches."""


class PackedVersions:
    """Rows by key, generation and writer; filled from front to back, then never changed.

    `keys` has the key of each row. `segments`, `offsets`, `nbytes` and `created_s` are columns of
    64 bits, `deleted` one of bytes; `extents` and `metas` are joined.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.generations, self.writers, self.moves = array("q"), array("q"), array("q")
        self.nbytes, self.segments, self.offsets = array("q"), array("q"), array("q")
        self.created_s = array("d")
        self.deleted = bytearray()
        self.extents, self.metas = Joined(), Joined()
        self.single = True
        """Whether no key has two rows."""

    @classmethod
    def of(cls, versions: Iterable[Version]) -> Self:
        """These versions, which may come in any order."""
        packed = cls()
        ordered = sorted(versions, key=lambda v: (v.key, v.generation, v.writer))
        rows = [_row(version) for version in ordered]
        for start in range(0, len(rows), CHUNK):
            packed.add_rows(rows[start : start + CHUNK])
        return packed

    def add_rows(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows of `schema.VERSIONS`, all of them after those that are here.

        Raises:
            TypeError, ValueError: a field that no version has, or the order is another.
        """
        keys, generations, writers, moves, nbytes, created_s, deleted, metas, extents, *places = (
            zip(*rows, strict=True)
        )
        numbers = (writers, moves, nbytes, *places)
        if not all(keys) or "\0" in "".join(keys):
            raise ValueError("a key is empty, or holds a NUL")
        if min(generations) < 1 or min(map(min, numbers)) < 0:
            raise ValueError("a number is out of range")
        if not math.isfinite(sum(created_s)) and not all(map(math.isfinite, created_s)):
            raise ValueError("a time is not a number")
        self._check_order(keys, generations, writers)
        self.keys += keys
        columns = (self.writers, self.moves, self.nbytes, self.segments, self.offsets)
        try:
            self.generations.frombytes(struct.pack(f"{len(keys)}q", *generations))
            for column, values in zip(columns, numbers, strict=True):
                column.frombytes(struct.pack(f"{len(keys)}q", *values))
            self.created_s.frombytes(struct.pack(f"{len(keys)}d", *created_s))
        except struct.error as error:
            raise ValueError(str(error)) from error
        self.deleted += bytes(deleted)
        self.extents.add(extents)
        self.metas.add(metas)

    def add_slice(self, other: PackedVersions, start: int, stop: int) -> None:
        """Add rows of another one, all of them after those that are here."""
        if start == stop:
            return
        self.keys += other.keys[start:stop]
        for mine, theirs in zip(self._columns(), other._columns(), strict=True):
            mine.extend(theirs[start:stop])
        self.deleted += other.deleted[start:stop]
        self.extents.add_slice(other.extents, start, stop)
        self.metas.add_slice(other.metas, start, stop)
        self.single = self.single and other.single

    def at(self, row: int) -> Version:
        """The version in a row."""
        return Version(
            key=self.keys[row],
            generation=self.generations[row],
            writer=self.writers[row],
            move=self.moves[row],
            nbytes=self.nbytes[row],
            created_s=self.created_s[row],
            deleted=self.deleted[row] == 1,
            meta=self.metas[row],
            extents=self.extents[row],
            segment=self.segments[row],
            offset=self.offsets[row],
        )

    def chain(self, key: str) -> tuple[Version, ...]:
        """The versions of a key, the current one first."""
        rows = self.rows_of(key)
        return tuple(self.at(row) for row in reversed(rows)) if rows else ()

    def rows_of(self, key: str) -> range:
        """The rows of a key; the last one is current."""
        keys = self.keys
        start = stop = bisect_left(keys, key)
        while stop < len(keys) and keys[stop] == key:
            stop += 1
        return range(start, stop)

    def is_current(self, row: int) -> bool:
        """Whether no later version of its key is here."""
        return row + 1 == len(self.keys) or self.keys[row + 1] != self.keys[row]

    def unique_keys(self) -> Iterable[str]:
        """Each key once, in order."""
        return self.keys if self.single else dict.fromkeys(self.keys)

    def count_live(self) -> int:
        """Keys whose current version is not a tombstone."""
        deleted = sum(1 for row in self.deleted_rows() if self.is_current(row))
        keys = len(self.keys) if self.single else len(set(self.keys))
        return keys - deleted

    def deleted_rows(self) -> Iterator[int]:
        """The rows of tombstones."""
        row = self.deleted.find(1)
        while row >= 0:
            yield row
            row = self.deleted.find(1, row + 1)

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: str) -> bool:
        return bool(self.rows_of(key))

    def _columns(self) -> tuple[array[Any], ...]:
        return (self.generations, self.writers, self.moves, self.nbytes, self.segments,
                self.offsets, self.created_s)  # fmt: skip

    def _check_order(
        self, keys: Sequence[str], generations: Sequence[int], writers: Sequence[int]
    ) -> None:
        before = self.keys[-1] if self.keys else ""
        if before < keys[0] and all(map(lt, keys, islice(keys, 1, None))):
            return
        self.single = False
        rows = list(zip(keys, generations, writers, strict=True))
        if self.keys:
            rows.insert(0, (before, self.generations[-1], self.writers[-1]))
        if not all(map(lt, rows, islice(rows, 1, None))):
            raise ValueError("the rows are in no order")


class Joined:
    """Byte strings one after the other."""

    __slots__ = ("data", "ends")

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends = array("q", [0])
        """Where the one before each row ends, and where the last one does."""

    def add(self, values: Sequence[bytes]) -> None:
        """Add one for each row.

        Raises:
            TypeError: one of them is not a byte string.
        """
        start = len(self.data)
        self.data += b"".join(values)
        if len(self.data) == start:
            self.ends.extend(array("q", [start]) * len(values))
        else:
            ends = islice(accumulate(map(len, values), initial=start), 1, None)
            self.ends.frombytes(struct.pack(f"{len(values)}q", *ends))

    def add_slice(self, other: Joined, start: int, stop: int) -> None:
        """Add those of some rows of another."""
        low, shift = other.ends[start], len(self.data) - other.ends[start]
        self.data += other.data[low : other.ends[stop]]
        ends = other.ends[start + 1 : stop + 1]
        self.ends.extend(array("q", [end + shift for end in ends]) if shift else ends)

    def __getitem__(self, row: int) -> bytes:
        return bytes(self.data[self.ends[row] : self.ends[row + 1]])


def merged(base: PackedVersions, chains: Mapping[str, Sequence[Version]]) -> PackedVersions:
    """The rows of `base`, those of these keys replaced by the chains."""
    fresh = PackedVersions.of(version for chain in chains.values() for version in chain)
    whole = PackedVersions()
    done = taken = 0
    for key in sorted(chains):
        rows = base.rows_of(key)
        if rows.start > done:
            here = bisect_left(fresh.keys, key, taken)
            whole.add_slice(fresh, taken, here)
            whole.add_slice(base, done, rows.start)
            taken = here
        done = rows.stop
    whole.add_slice(fresh, taken, len(fresh))
    whole.add_slice(base, done, len(base))
    return whole


def _row(version: Version) -> tuple[Any, ...]:
    return (version.key, version.generation, version.writer, version.move, version.nbytes,
            version.created_s, int(version.deleted), version.meta, version.extents,
            version.segment, version.offset)  # fmt: skip
