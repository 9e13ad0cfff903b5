"""All versions of all keys: the read path of a store.

Most are packed, as the database gave them; what has changed since lies above that in a dict, and is
folded into the packed ones when it has grown. A catalog may begin unloaded: then the database is
asked for single keys, until all are wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Final

from deepseek_store.index.chains import Chain, is_live, with_version
from deepseek_store.index.packed import PackedVersions, merged
from deepseek_store.index.rows import Batch, Changes, Version, VersionId
from deepseek_store.index.sorted_keys import SortedKeys
from deepseek_store.index.unloaded import Unloaded, VersionSource

_MOST_REMEMBERED: Final = 1 << 13
# Folding copies everything: rarely enough that it costs some microseconds a change.
_LEAST_FOLDED: Final = 1 << 14
_FOLDED_SHARE: Final = 16


class Catalog:
    """Versions by key, the current one first.

    Readers take no lock: what belongs to a key is one tuple, replaced whole. Writers take turns.
    """

    # A reader looks into `_changed`, then `_remembered` (what it found in the base before), then
    # `_base`. Who replaces them does so in the opposite order, with new dicts, so that nobody
    # remembers what an old base said in the time of a new one.

    def __init__(self) -> None:
        self._changed: dict[str, Chain] = {}
        self._remembered: dict[str, Chain] = {}
        self._base: PackedVersions | Unloaded = PackedVersions()
        self._keys: SortedKeys | None = None  # all keys in order, made by the first listing
        self._writing = threading.RLock()
        self._live = 0  # keys with an object: those that are not deleted
        self.clock = 0
        """The highest generation that was ever applied."""

    def get(self, key: str) -> Version | None:
        """The current version; None where there is none or it is a tombstone."""
        chain = self._changed.get(key)
        if chain is None:
            chain = self._remembered.get(key) or self._recall(key)
        if not chain or chain[0].deleted:
            return None
        return chain[0]

    def current(self, key: str) -> Version | None:
        """The current version, also if it is a tombstone."""
        chain = self.versions(key)
        return chain[0] if chain else None

    def find(self, version: VersionId) -> Version | None:
        """Find exactly this version, tombstone or not."""
        key, generation, writer = version
        for kept in self.versions(key):
            if kept.generation == generation and kept.writer == writer:
                return kept
        return None

    def versions(self, key: str) -> Chain:
        """All that are kept, tombstones too, the current one first."""
        chain = self._changed.get(key)
        return self._recall(key) if chain is None else chain

    def superseded(self) -> Iterator[Version]:
        """All versions that are not current: garbage, unless a snapshot has them."""
        base, changed = self._whole()
        if not base.single:
            for row, key in enumerate(base.keys):
                if not base.is_current(row) and key not in changed:
                    yield base.at(row)
        for chain in changed.values():
            yield from chain[1:]

    def tombstones(self) -> Iterator[Version]:
        """The current versions that say that a key is deleted."""
        base, changed = self._whole()
        for row in base.deleted_rows():
            if base.is_current(row) and base.keys[row] not in changed:
                yield base.at(row)
        for chain in changed.values():
            if chain and chain[0].deleted:
                yield chain[0]

    def all_versions(self) -> Iterator[Version]:
        """Every version of every key, in no order: what a segment's live bytes are summed from."""
        base, changed = self._whole()
        for row, key in enumerate(base.keys):
            if key not in changed:
                yield base.at(row)
        for chain in changed.values():
            yield from chain

    def __len__(self) -> int:
        self._whole()
        return self._live

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    def keys(self, prefix: str = "", after: str = "") -> Iterator[str]:
        """Keys of objects in order, those greater than `after` that begin with `prefix`.

        What is put or deleted meanwhile may or may not be among them.
        """
        past = bool(after) and after >= prefix
        return self._objects(prefix, after if past else prefix, past=past)

    def children(self, prefix: str = "", delimiter: str = "/") -> Iterator[str]:
        """Names right below a prefix, in order; one that has more below it ends in `delimiter`.

        What lies in such a folder is skipped, not walked through.
        """
        following = delimiter[:-1] + chr(ord(delimiter[-1]) + 1)
        objects = self._objects(prefix, prefix, past=False)
        while (key := next(objects, None)) is not None:
            name, found, _ = key[len(prefix) :].partition(delimiter)
            yield prefix + name + found
            if found:
                objects = self._objects(prefix, prefix + name + following, past=False)

    def packed(self) -> PackedVersions:
        """All that it holds now, in columns."""
        with self._writing:
            self._whole()
            self._fold()
            assert isinstance(self._base, PackedVersions)
            return self._base

    def apply(self, version: Version) -> bool:
        """Take in a version; False if it was known, with this move or a later one."""
        with self._writing:
            return self._apply(version)

    def move(self, version: Version) -> bool:
        """Take in a later move of a version, if that version is still here."""
        with self._writing:
            return self.find(version.id) is not None and self._apply(version)

    def forget(self, key: str, generation: int, writer: int) -> bool:
        """Drop a version; False if it was not here."""
        with self._writing:
            return self._forget(key, generation, writer)

    def catch_up(self, changes: Changes) -> None:
        """Take in what `Index.changes_since` told; a `reload` is for `Index.load`."""
        with self._writing:
            self.clock = max(self.clock, changes.clock)
            if self._waits():
                self._count(changes.versions)
                return
            for key, generation, writer in changes.forgotten:
                self._forget(key, generation, writer)
            for version in changes.versions:
                self._apply(version)

    def follow(self, batch: Batch, forgotten: Iterable[VersionId]) -> None:
        """Take in a batch that was committed, of whose `forget` these did go."""
        with self._writing:
            if self._waits():
                self._count(batch.versions)
                return
            for version in batch.versions:
                self._apply(version)
            for version in batch.moved:
                self.move(version)
            for name in forgotten:
                self._forget(*name)

    def replace(self, versions: PackedVersions, clock: int = 0) -> None:
        """Hold these instead of all that was here.

        A reader meanwhile sees the old content or the new one.
        """
        with self._writing:
            self._set(versions, {})
            self.clock = max(self.clock, clock, max(versions.generations, default=0))

    def defer(self, source: VersionSource, clock: int, *, alone: bool) -> None:
        """Hold what a database has instead of all that was here, and load it when that pays.

        `alone`: what others know of does not change.
        """
        with self._writing:
            self._set(Unloaded(source, alone=alone), {})
            self.clock = max(self.clock, clock)

    def _recall(self, key: str) -> Chain:
        remembered = self._remembered
        found = remembered.get(key)
        if found is not None:
            return found
        base = self._base
        if isinstance(base, Unloaded) and base.is_tired:
            base = self._load()
        chain = base.chain(key)
        if chain:
            if len(remembered) >= _MOST_REMEMBERED:
                remembered.clear()
            remembered[key] = chain
        return chain

    def _waits(self) -> bool:
        """Whether the database tells it all, and will be asked later."""
        return isinstance(self._base, Unloaded) and self._base.is_tired and not self._changed

    def _count(self, versions: Iterable[Version]) -> None:
        self.clock = max([self.clock, *(version.generation for version in versions)])

    def _whole(self) -> tuple[PackedVersions, dict[str, Chain]]:
        """The packed versions, and what has changed since."""
        with self._writing:
            return self._load(), dict(self._changed)

    def _load(self) -> PackedVersions:
        with self._writing:
            if isinstance(self._base, PackedVersions):
                return self._base
            packed, clock = self._base.load()
            self._set(packed, self._changed)
            self.clock = max(self.clock, clock, max(packed.generations, default=0))
            return packed

    def _fold(self) -> None:
        if self._changed and isinstance(self._base, PackedVersions):
            base = merged(self._base, self._changed)
            keys = self._keys
            self._set(base, {})
            self._keys = keys

    def _set(self, base: PackedVersions | Unloaded, changed: dict[str, Chain]) -> None:
        self._base = base
        self._remembered = {}
        self._changed = changed
        self._keys = None
        if isinstance(base, PackedVersions):
            hidden = sum(is_live(base.chain(key)) for key in changed)
            self._live = base.count_live() - hidden + sum(map(is_live, changed.values()))

    def _objects(self, prefix: str, start: str, *, past: bool) -> Iterator[str]:
        base = self._base
        if isinstance(base, Unloaded) and not self._changed:
            for page in base.pages(start, after=past, prefix=prefix):
                yield from page
            return
        for key in self._sorted_keys().iterate(start, after=past):
            if not key.startswith(prefix):
                return
            if self.get(key) is not None:
                yield key

    def _sorted_keys(self) -> SortedKeys:
        keys = self._keys
        if keys is not None:
            return keys
        with self._writing:
            base = self._load()
            if self._keys is None:
                new = [key for key, chain in self._changed.items() if chain and key not in base]
                self._keys = SortedKeys([*base.unique_keys(), *new])
            return self._keys

    def _apply(self, version: Version) -> bool:
        key = version.key
        self.clock = max(self.clock, version.generation)
        old = self.versions(key)  # from an index that may have it already
        new = with_version(old, version) if old else (version,)
        if new is old:
            return False
        if not old and self._keys is not None:
            self._keys.add(key)
        self._store(key, old, new)
        return True

    def _forget(self, key: str, generation: int, writer: int) -> bool:
        old = self.versions(key)
        new = tuple(v for v in old if v.generation != generation or v.writer != writer)
        if len(new) == len(old):
            return False
        self._store(key, old, new)
        if not new and self._keys is not None:
            self._keys.discard(key)
        return True

    def _store(self, key: str, old: Chain, new: Chain) -> None:
        if new or key in self._base:
            self._changed[key] = new
        else:
            del self._changed[key]
        self._live += is_live(new) - is_live(old)
        base = self._base
        if isinstance(base, PackedVersions):
            most = max(_LEAST_FOLDED, len(base) // _FOLDED_SHARE)
            if len(self._changed) > most:
                self._fold()
