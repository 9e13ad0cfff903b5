"""Finds the version of an object: as it is now, or as a snapshot has it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.home.state import State
from deepseek_store.index.rows import Version


class VersionLookup:
    """Looks versions up; snapshots are read from the index once. Safe to use from any thread."""

    def __init__(self, state: State, *, home: Path) -> None:
        self._state, self._home = state, home
        self._snapshots: dict[str, Mapping[str, Version]] = {}
        self._lock = threading.Lock()

    def find(self, key: str, snapshot: str | None = None) -> Version:
        """The version of an object.

        Raises:
            ObjectMissing: there is no such object.
            InputError: there is no such snapshot.
        """
        version = self._state.catalog.get(key) if snapshot is None else self._kept(snapshot, key)
        if version is None:
            raise errors.ObjectMissing(
                f"there is no object {key[:200]!r}",
                url=f"ds:{self._home}",
                remedy=command("ls", self._home),
            )
        return version

    def snapshot(self, name: str) -> Mapping[str, Version]:
        """All objects of a snapshot by their keys, where they lay when it was read.

        Raises:
            InputError: there is no snapshot of that name.
        """
        with self._lock:
            if name not in self._snapshots:
                self._snapshots[name] = self._load(name)
            return self._snapshots[name]

    def forget(self, name: str) -> None:
        """Do not keep the versions of a snapshot in memory any more."""
        with self._lock:
            self._snapshots.pop(name, None)

    def _kept(self, name: str, key: str) -> Version | None:
        version = self.snapshot(name).get(key)
        # It may have moved since the snapshot was read.
        return None if version is None else self._state.catalog.find(version.id) or version

    def _load(self, name: str) -> Mapping[str, Version]:
        versions = self._state.index.snapshot_versions(name)
        if not versions and name not in {row.name for row in self._state.index.snapshots()}:
            raise errors.InputError(
                f"there is no snapshot {name!r}", remedy=command("snapshots", self._home)
            )
        return {version.key: version for version in versions if not version.deleted}
