"""All versions of all keys in memory: the read path of a store."""

from __future__ import annotations

import gc
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from deepseek_store.index.rows import Changes, Version, VersionId
from deepseek_store.index.sorted_keys import SortedKeys

_Chain = tuple[Version, ...]
_EMPTY: Final[_Chain] = ()


class Catalog:
    """Versions by key, the current one first.

    Readers take no lock: what belongs to a key is one tuple, replaced whole. Writers take turns.
    """

    def __init__(self) -> None:
        self._chains: dict[str, _Chain] = {}
        self._keys = SortedKeys()
        self._writing = threading.Lock()
        self._live = 0
        self.clock = 0
        """The highest generation that was ever applied."""

    def get(self, key: str) -> Version | None:
        """The current version; None where there is none or it is a tombstone."""
        chain = self._chains.get(key)
        if chain is None or chain[0].deleted:
            return None
        return chain[0]

    def current(self, key: str) -> Version | None:
        """The current version, also if it is a tombstone."""
        chain = self._chains.get(key)
        return None if chain is None else chain[0]

    def find(self, version: VersionId) -> Version | None:
        """That very version, tombstone or not."""
        key, generation, writer = version
        for kept in self._chains.get(key, _EMPTY):
            if kept.generation == generation and kept.writer == writer:
                return kept
        return None

    def versions(self, key: str) -> tuple[Version, ...]:
        """All that are kept, tombstones too, the current one first."""
        return self._chains.get(key, _EMPTY)

    def superseded(self) -> Iterator[Version]:
        """All versions that are not current: garbage, unless a snapshot has them."""
        for chain in list(self._chains.values()):
            yield from chain[1:]

    def tombstones(self) -> Iterator[Version]:
        """The current versions that say that a key is deleted."""
        for chain in list(self._chains.values()):
            if chain[0].deleted:
                yield chain[0]

    def all_versions(self) -> Iterator[Version]:
        """Every version of every key, in no order: what a segment's live bytes are summed from."""
        for chain in list(self._chains.values()):
            yield from chain

    def __len__(self) -> int:
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
        start, past = prefix, False
        while (key := next(self._objects(prefix, start, past=past), None)) is not None:
            name, found, _ = key[len(prefix) :].partition(delimiter)
            yield prefix + name + found
            start, past = (prefix + name + following, False) if found else (key, True)

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
            for key, generation, writer in changes.forgotten:
                self._forget(key, generation, writer)
            for version in changes.versions:
                self._apply(version)

    def replace(self, versions: Iterable[Version], clock: int = 0) -> None:
        """Hold these instead of all that was here; fastest when they come in order of the key.

        A reader meanwhile sees the old content or the new one.
        """
        # 100,000 new objects would set off collections that find nothing: half of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            with self._writing:
                self._replace(versions)
                self.clock = max(self.clock, clock)
        finally:
            if collecting:
                gc.enable()

    def _objects(self, prefix: str, start: str, *, past: bool) -> Iterator[str]:
        for key in self._keys.iterate(start, after=past):
            if not key.startswith(prefix):
                return
            if self.get(key) is not None:
                yield key

    def _replace(self, versions: Iterable[Version]) -> None:
        chains: dict[str, _Chain] = {}
        for version in versions:
            key = version.key
            chains[key] = _with(chains[key], version) if key in chains else (version,)
        clock = max((chain[0].generation for chain in chains.values()), default=0)
        self._live = sum(not chain[0].deleted for chain in chains.values())
        self._keys = SortedKeys(chains)
        self._chains = chains
        self.clock = max(self.clock, clock)

    def _apply(self, version: Version) -> bool:
        key = version.key
        old = self._chains.get(key, _EMPTY)
        new = _with(old, version)
        if new is old:
            return False
        if not old:
            self._keys.add(key)
        self.clock = max(self.clock, version.generation)
        self._store(key, old, new)
        return True

    def _forget(self, key: str, generation: int, writer: int) -> bool:
        old = self._chains.get(key, _EMPTY)
        new = tuple(v for v in old if v.generation != generation or v.writer != writer)
        if len(new) == len(old):
            return False
        self._store(key, old, new)
        if not new:
            self._keys.discard(key)
        return True

    def _store(self, key: str, old: _Chain, new: _Chain) -> None:
        if new:
            self._chains[key] = new
        else:
            del self._chains[key]
        self._live += _is_live(new) - _is_live(old)


def _is_live(chain: _Chain) -> int:
    return int(bool(chain) and not chain[0].deleted)


def _with(chain: _Chain, version: Version) -> _Chain:
    """The chain with a version in its place; the same chain if it has it already."""
    if not chain or version.order > chain[0].order:
        return (version, *chain)
    at = bisect_left(chain, _descending(version), key=_descending)
    if at < len(chain) and chain[at].order == version.order:
        if version.move <= chain[at].move:
            return chain
        return (*chain[:at], version, *chain[at + 1 :])
    return (*chain[:at], version, *chain[at:])


def _descending(version: Version) -> tuple[int, int]:
    return -version.generation, -version.writer
