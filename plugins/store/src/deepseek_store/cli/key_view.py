"""The keys of a store for commands: as they are now, or as a snapshot has them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from deepseek_core import errors
from deepseek_store.cli.local.walk import FOLDER_MARK

if TYPE_CHECKING:
    from deepseek_store.store import ObjectInfo, Store


class KeyView:
    """One look at the keys of a store."""

    def __init__(self, store: Store, snapshot: str | None = None) -> None:
        self.store, self.snapshot = store, snapshot
        if snapshot is not None:
            _ = self._kept  # that there is none is told now

    def has(self, key: str) -> bool:
        """Whether there is an object of that key."""
        if self.snapshot is None:
            return self.store.exists(key)
        return key in self.store.parts.versions.snapshot(self.snapshot)

    def below(self, prefix: str) -> Iterator[str]:
        """Keys that begin so, in order."""
        if self.snapshot is None:
            self.store.parts.state.refresh()
            yield from self.store.parts.state.catalog.keys(prefix)
            return
        for key in self._kept[bisect_left(self._kept, prefix) :]:
            if not key.startswith(prefix):
                return
            yield key

    def is_folder(self, name: str) -> bool:
        """Whether something lies in a folder of that name; the root is always there."""
        return not name.strip("/") or next(self.below(f"{name.strip('/')}/"), None) is not None

    def is_empty(self) -> bool:
        """Whether there is no object at all."""
        return next(self.below(""), None) is None

    def children(self, folder: str) -> Iterator[str]:
        """What lies right in a folder (`""` or ending in `/`), in order; folders end in `/`."""
        if self.snapshot is None:
            yield from self.store.children(folder)
            return
        last = ""
        for key in self.below(folder):
            name, slash, _ = key[len(folder) :].partition("/")
            if name + slash != last:
                last = name + slash
                yield folder + last

    def info(self, key: str) -> ObjectInfo:
        """What is known of an object.

        Raises:
            ObjectMissing: there is none.
        """
        return self.store.stat(key, snapshot=self.snapshot)

    def look(self, key: str) -> ObjectInfo | None:
        """What is known of an object that was listed; None if it was deleted since."""
        try:
            return self.info(key)
        except errors.ObjectMissing:
            return None

    @cached_property
    def _kept(self) -> list[str]:
        assert self.snapshot is not None
        return sorted(self.store.parts.versions.snapshot(self.snapshot))


def is_folder_mark(key: str) -> bool:
    """Whether an object only keeps a folder that is empty, or has permissions of its own."""
    return key == FOLDER_MARK or key.endswith(f"/{FOLDER_MARK}")


def folder_of_mark(key: str) -> str:
    """The folder that a mark keeps."""
    return key.rpartition("/")[0]
