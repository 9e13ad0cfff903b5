"""Brings what the log has into the index: at once in a shared store, else a moment later.

The log is the truth, so an exclusive store acknowledges when the log is on disk, and writes its
index in batches behind that; after a crash it reads the rest of the log again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs

from deepseek_core import DeepSeekError
from deepseek_store.errors import GenerationMismatch, IndexUnavailable
from deepseek_store.home.state import State
from deepseek_store.home.version_records import version_of
from deepseek_store.index.rows import Batch, SegmentRow, Version, VersionId
from deepseek_store.log import records as rec
from deepseek_store.log.records import Kind, Placed
from deepseek_store.log.segment import SegmentInfo
from deepseek_store.write.expectations import Expectations

_LOG: Final = logging.getLogger(__name__)
_PAUSE_S: Final = 0.02
_RETRY_S: Final = 0.5
_MOST_BEHIND: Final = 200_000


class Committer:
    """Takes groups of the log in; `at_once` makes a group's writers wait for the index."""

    def __init__(self, state: State, *, writer: int, at_once: bool) -> None:
        self._state, self._writer, self._at_once = state, writer, at_once
        self.expectations = Expectations()
        self._pending: list[Version] = []
        self._applied: dict[int, int] = {}
        self._sealed: list[SegmentRow] = []
        self._lock = threading.Lock()
        self._committing = threading.Lock()
        self._wake, self._end = _Bell(), _Bell()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.error: DeepSeekError | None = None

    @property
    def behind(self) -> int:
        """How many versions are in the log and not yet in the index."""
        return len(self._pending)

    def take(self, placed: Sequence[Placed]) -> None:
        """A group that is on disk; after this readers see it.

        Raises:
            IndexUnavailable: in a shared store, the database does not answer: nobody sees it yet.
        """
        versions = [version_of(one) for one in placed if one.record.kind is not Kind.SHARD]
        last = placed[-1]
        end = last.end + rec.HEADER_NBYTES  # the group's mark
        if self._at_once:
            self._commit_now(versions, {last.segment: end})
            return
        if self.error is not None and len(self._pending) > _MOST_BEHIND:
            raise IndexUnavailable(
                f"the index can't be written: {self.error}",
                url=self._state.index.url,
                remedy=self.error.remedy,
            )
        # First: an interrupt in between must not show what the index never hears of.
        with self._lock:
            self._pending += versions
            self._applied[last.segment] = end
        apply = self._state.catalog.apply
        for version in versions:
            apply(version)
        self._rouse()

    def _commit_now(self, versions: Sequence[Version], applied: dict[int, int]) -> None:
        free, claimed = self.expectations.split(versions)
        if claimed and free:
            # First: a claim may expect what was put without waiting for the disk, in this group.
            self._state.commit(self._batch(free, {}))
            free = []
        for claim, theirs in claimed:
            try:
                self._state.commit(attrs.evolve(self._batch(theirs, {}), expect=claim.expect))
            except GenerationMismatch as mismatch:
                claim.refusal = mismatch
        # Last: what is applied is not looked at again after a crash.
        self._state.commit(self._batch(free, applied))

    def take_seal(self, info: SegmentInfo) -> None:
        """A segment of ours that is complete."""
        row = SegmentRow(
            id=info.id,
            writer=info.writer,
            state="sealed",
            nbytes=info.nbytes,
            min_generation=info.min_generation,
            created_s=info.created_s,
            applied=info.nbytes,
        )
        if self._at_once:
            self._state.commit(Batch(segments=[row]))
            return
        self._state.segments[row.id] = row
        with self._lock:
            self._sealed.append(row)
            self._applied.pop(row.id, None)
        self._rouse()

    def flush(self) -> None:
        """Write all that is pending.

        Raises:
            StorageError: the index can't be written; what was pending still is.
        """
        with self._committing:
            with self._lock:
                versions, sealed = list(self._pending), list(self._sealed)
                applied = dict(self._applied)
            if not versions and not applied and not sealed:
                return
            self._state.commit(self._batch(versions, applied, sealed))
            # Only now: an interrupt may fall anywhere, and twice in the index does no harm.
            with self._lock:
                del self._pending[: len(versions)], self._sealed[: len(sealed)]
                for segment, end in applied.items():
                    if self._applied.get(segment) == end:
                        del self._applied[segment]
            self.error = None

    def close(self) -> None:
        """Write the rest, and end the thread."""
        self._closed = True
        self._end.ring()
        self._wake.ring()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _batch(
        self,
        versions: Sequence[Version],
        applied: dict[int, int],
        sealed: Sequence[SegmentRow] = (),
    ) -> Batch:
        new = [
            SegmentRow(id=number, writer=self._writer, state="active")
            for number in applied
            if number not in self._state.segments
        ]
        return Batch(
            versions=versions,
            segments=[*new, *sealed],
            applied=applied,
            forget=[old for version in versions for old in self._hidden(version)],
        )

    def _hidden(self, new: Version) -> list[VersionId]:
        """What nobody sees any more once this version is there; the index keeps snapshots'.

        Only what is older than this one: a newer one may not be on disk yet.
        """
        chain = self._state.catalog.versions(new.key)
        return [old.id for old in chain if old.order < new.order]

    def _rouse(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closed:
                    thread = threading.Thread(target=self._work, name="ds-index", daemon=True)
                    thread.start()
                    self._thread = thread  # only now: one that an interrupt kept back is no use
        self._wake.ring()

    def _work(self) -> None:
        while not self._closed:
            self._wake.wait()
            pause_s = _PAUSE_S
            try:
                self.flush()
            except DeepSeekError as error:
                if self.error is None:
                    _LOG.error("the index is behind the log: %s", error)
                self.error, pause_s = error, _RETRY_S
                self._wake.ring()
            # Gathers what comes meanwhile into one transaction.
            self._end.wait(pause_s)


class _Bell:
    """Wakes one who waits. An `Event` that an interrupt falls into stays locked for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Once is enough until somebody has waited for it."""
        with suppress(RuntimeError):  # it has been rung
            self._lock.release()

    def wait(self, timeout_s: float = -1) -> None:
        """Until it is rung, or was since the last time."""
        self._lock.acquire(timeout=timeout_s)
