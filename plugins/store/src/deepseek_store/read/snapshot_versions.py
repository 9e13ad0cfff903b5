"""Looks objects up as a snapshot has them."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from deepseek_core import errors
from deepseek_store.home.state import State
from deepseek_store.index.rows import Version


class SnapshotVersions:
    """The versions of snapshots, read from the index once; safe to use from several threads."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known: dict[str, Mapping[str, Version]] = {}
        self._lock = threading.Lock()

    def find(self, name: str, key: str) -> Version | None:
        """An object as a snapshot has it; None if there was none.

        Raises:
            InputError: there is no snapshot of that name.
        """
        version = self.all(name).get(key)
        # It may have moved since the snapshot was read.
        return None if version is None else self._state.catalog.find(version.id) or version

    def all(self, name: str) -> Mapping[str, Version]:
        """All objects of a snapshot by their keys, where they lay when it was read.

        Raises:
            InputError: there is no snapshot of that name.
        """
        with self._lock:
            if name not in self._known:
                self._known[name] = self._load(name)
            return self._known[name]

    def forget(self, name: str) -> None:
        """Do not keep its versions in memory any more."""
        with self._lock:
            self._known.pop(name, None)

    def _load(self, name: str) -> Mapping[str, Version]:
        versions = self._state.index.snapshot_versions(name)
        if not versions and name not in {row.name for row in self._state.index.snapshots()}:
            raise errors.InputError(
                f"there is no snapshot {name!r}", remedy="ds-sdk store snapshots HOME"
            )
        return {version.key: version for version in versions if not version.deleted}
