"""What the log has and the index has not yet: of each key as little as will be needed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

import attrs

from deepseek_store.index.rows import SegmentRow, Version, VersionId


@attrs.frozen(kw_only=True)
class Due:
    """What the next transaction has to write."""

    versions: Sequence[Version]
    applied: dict[int, int]
    sealed: Sequence[SegmentRow]


class Backlog:
    """Versions on their way into the index; safe to use from several threads.

    One that is hidden before its transaction begins is left out of it, so overwriting a key again
    and again costs one row a transaction. What was begun stays until it is `done`: the index may
    have it, and a snapshot may name it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[VersionId, Version] = {}  # not begun: may still be left out
        self._newest: dict[str, Version] = {}  # by key: the newest version under way
        self._begun: dict[VersionId, Version] = {}  # in a transaction
        self._applied: dict[int, int] = {}
        self._sealed: list[SegmentRow] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._begun)

    def add(self, versions: Iterable[Version], applied: Mapping[int, int]) -> set[VersionId]:
        """A group that is on disk; which versions are hidden now, and were never in the index."""
        with self._lock:
            hidden = {found for version in versions if (found := self._add(version))}
            self._applied.update(applied)
        return hidden

    def add_seal(self, row: SegmentRow) -> None:
        """A segment that is complete."""
        with self._lock:
            self._sealed.append(row)
            self._applied.pop(row.id, None)

    def begin(self) -> Due:
        """All that waits, and what was begun before and did not succeed."""
        with self._lock:
            # In this order: an interrupt in between must lose nothing.
            self._newest = {}
            self._begun.update(self._waiting)
            self._waiting = {}
            return Due(
                versions=list(self._begun.values()),
                applied=dict(self._applied),
                sealed=list(self._sealed),
            )

    def done(self, due: Due) -> None:
        """It is in the index."""
        with self._lock:
            self._begun = {}
            del self._sealed[: len(due.sealed)]
            for segment, end in due.applied.items():
                if self._applied.get(segment) == end:
                    del self._applied[segment]

    def _add(self, version: Version) -> VersionId | None:
        # A move of a version that the index has must get there, whatever hides the version.
        before = None if version.move else self._newest.get(version.key)
        if before is None or before.order == version.order:
            if not version.move:
                self._newest[version.key] = version
            self._waiting[version.id] = version
            return None
        if version.order < before.order:
            return version.id
        self._newest[version.key] = self._waiting[version.id] = version
        self._waiting.pop(before.id, None)
        return before.id


def newest(versions: Iterable[Version]) -> dict[str, Version]:
    """The newest version of each key."""
    found: dict[str, Version] = {}
    for version in versions:
        before = found.get(version.key)
        if before is None or before.order < version.order:
            found[version.key] = version
    return found
