"""Brings what the log has into the index: at once in a shared store, else a moment later.

The log is the truth, so an exclusive store acknowledges when the log is on disk, and writes its
index in batches behind that; after a crash it reads the rest of the log again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import attrs

from deepseek_core import DeepSeekError, errors
from deepseek_store.errors import GenerationMismatch, IndexUnavailable
from deepseek_store.home.state import State
from deepseek_store.home.version_records import version_of
from deepseek_store.index.rows import FEW_VERSIONS, Batch, SegmentRow, Version, VersionId
from deepseek_store.log import records as rec
from deepseek_store.log.appends import fresh
from deepseek_store.log.records import Kind, Placed
from deepseek_store.log.segment import SegmentInfo
from deepseek_store.write.backlog import Backlog, newest
from deepseek_store.write.expectations import Expectations

_LOG: Final = logging.getLogger(__name__)
_PAUSE_S: Final = 0.02
_RETRY_S: Final = 0.5
_MOST_BEHIND: Final = 100_000
_VERSION_NBYTES: Final = 600  # of the reserve: twice what a version takes in the index
# So long a writer waits for an index that is too far behind the log.
_PATIENCE_S: Final = 20.0
_LOOK_AGAIN_S: Final = 0.005
_LONGEST_COMMIT_S: Final = 60.0


class Committer:
    """Takes groups of the log in; `at_once` makes a group's writers wait for the index.

    The thread that writes the index survives whatever goes wrong in it: `error` says what did last,
    and writers are refused once the index is too far behind.
    """

    def __init__(self, state: State, *, writer: int, at_once: bool) -> None:
        self._state, self._writer, self._at_once = state, writer, at_once
        self.expectations = Expectations()
        self._backlog = Backlog()
        # sealed segments that the database does not know yet
        self._untold: dict[int, SegmentRow] = {}
        self._committing = threading.Lock()  # held while a batch goes into the index
        self._starting = threading.Lock()  # held while the thread is started
        # `_wake` rings when there is work, `_end` when the thread is to end
        self._wake, self._end = _Bell(), _Bell()
        self._closed = False
        self._thread: threading.Thread | None = None
        self.error: DeepSeekError | None = None

    @property
    def behind(self) -> int:
        """How many versions are in the log and not yet in the index."""
        return len(self._backlog)

    def admit(self) -> None:
        """Wait while the index is too far behind for more to be written to the log.

        Raises:
            IndexUnavailable, TierFull: it does not come nearer.
        """
        reserve = self._state.reserve
        most = _MOST_BEHIND
        if reserve is not None:
            # Should the disk be full the next moment, the index needs no more than is kept for it.
            most = min(most, max(FEW_VERSIONS, reserve.whole_nbytes // _VERSION_NBYTES))
        if self.behind < most:
            return
        end_s = time.monotonic() + _PATIENCE_S
        while self.behind >= most:
            if self.error is not None:
                raise fresh(self.error)
            if time.monotonic() > end_s:
                raise IndexUnavailable(
                    f"the index is {self.behind} objects behind the log",
                    url=self._state.index.url,
                    remedy="write more slowly, or to a faster disk",
                )
            if not self._rouse():
                self.flush()
            time.sleep(_LOOK_AGAIN_S)

    def show(self, placed: Sequence[Placed]) -> None:
        """Let readers here see what is written and not on disk yet."""
        shown, catalog = self._state.shown, self._state.catalog
        for version in _versions(placed):
            before = shown.get(version.key)
            if before is None or before.order < version.order:
                shown[version.key] = version
            catalog.apply(version)
            # Both would be lost together: the older one is not needed any more.
            if before is not None and before.order != version.order:
                catalog.forget(*min(before, version, key=_order).id)

    def hide(self, placed: Sequence[Placed]) -> None:
        """What was written and never got to disk: readers see again what was before."""
        for version in _versions(placed):
            shown = self._state.shown.get(version.key)
            if shown is not None and shown.id == version.id:
                del self._state.shown[version.key]
                self._state.catalog.forget(*version.id)

    def take(self, placed: Sequence[Placed]) -> None:
        """A group that is on disk; after this readers see it.

        Raises:
            IndexUnavailable: in a shared store, the database does not answer: nobody sees it yet.
        """
        state = self._state
        versions = _versions(placed)
        if state.shown:
            # It is on disk now, too: also if an interrupt kept it from coming here.
            shown = {version.id: version for version in state.shown.values()}
            versions = list({**shown, **{version.id: version for version in versions}}.values())
        last = placed[-1]
        end = last.end + rec.HEADER_NBYTES  # the group's mark
        if self._at_once:
            self._commit_now(versions, {last.segment: end})
            state.shown.clear()
            return
        # First: an interrupt in between must not show what the index never hears of.
        hidden = self._backlog.add(versions, {last.segment: end})
        state.shown.clear()
        catalog = state.catalog
        for version in versions:
            if not hidden or version.id not in hidden:
                catalog.apply(version)
        for name in hidden:
            catalog.forget(*name)
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
        sealed = dict(self._untold)
        self._state.commit(self._batch(free, applied, list(sealed.values())))
        for number in sealed:
            del self._untold[number]

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
            self._untold[row.id] = row  # with the next group, if the database is away now
            self._state.commit(Batch(segments=[row]))
            del self._untold[row.id]
            return
        self._state.segments[row.id] = row
        self._backlog.add_seal(row)
        self._rouse()

    def flush(self) -> None:
        """Write all that is pending.

        Raises:
            StorageError: the index can't be written; what was pending still is.
        """
        with self._committing:
            due = self._backlog.begin()
            if due.versions or due.applied or due.sealed:
                self._commit_in_parts(due.versions, due.applied, due.sealed)
                # Only now: an interrupt may fall anywhere, and twice in the index does no harm.
                self._backlog.done(due)
            self.error = None

    def _commit_in_parts(
        self, versions: Sequence[Version], applied: dict[int, int], sealed: Sequence[SegmentRow]
    ) -> None:
        """In halves, where a full disk does not take all; what is applied comes last."""
        batch = self._batch(versions, applied, sealed)
        divisible = len(versions) > FEW_VERSIONS
        try:
            self._state.commit(attrs.evolve(batch, divisible=divisible))
        except errors.TierFull:
            if not divisible:
                raise
            middle = len(versions) // 2
            self._commit_in_parts(versions[:middle], {}, ())
            self._commit_in_parts(versions[middle:], applied, sealed)

    def close(self) -> None:
        """Write the rest, and end the thread."""
        self._closed = True
        self._end.ring()
        self._wake.ring()
        if self._thread is not None:
            self._thread.join(_LONGEST_COMMIT_S)
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
            forget=list(self._hidden(versions)),
        )

    def _hidden(self, versions: Sequence[Version]) -> Iterator[VersionId]:
        """What nobody sees any more once these are there; the index keeps snapshots'.

        Only what is older than they: a newer one may not be on disk yet.
        """
        last = newest(versions)
        for version in last.values():
            chain = self._state.catalog.versions(version.key)
            yield from (old.id for old in chain if old.order < version.order)
        # Those of this batch that the catalog has not seen.
        for version in versions:
            if version.order < last[version.key].order:
                yield version.id

    def _rouse(self) -> bool:
        """Wake the thread, which is started where it does not run; False if there can be none."""
        thread = self._thread
        if (thread is None or not thread.is_alive()) and not self._start():
            return False
        self._wake.ring()
        return True

    def _start(self) -> bool:
        with self._starting:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return not self._closed
            thread = threading.Thread(target=self._work, name="ds-index", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:  # no more threads: writers do its work
                self._note(error)
                return False
            self._thread = thread  # only now: one that an interrupt kept back is no use
            return True

    def _work(self) -> None:
        while not self._closed:
            self._wake.wait()
            pause_s = _PAUSE_S
            try:
                self.flush()
            except BaseException as error:  # noqa: BLE001 - kept for writers, who would wait for us
                pause_s = _RETRY_S
                self._note(error)
                self._wake.ring()
            # Gathers what comes meanwhile into one transaction.
            self._end.wait(pause_s)

    def _note(self, error: BaseException) -> None:
        """Keep what went wrong for those who write, and say it once."""
        before = self.error
        with suppress(Exception):  # no memory for even that: the next try will tell
            if not isinstance(error, DeepSeekError):
                error = IndexUnavailable(
                    f"the index can't be written: {type(error).__name__}: {error}",
                    url=self._state.index.url,
                    remedy="close the store and open it again; the log has all that was put",
                )
            self.error = error
            if before is None:
                _LOG.error("the index is behind the log: %s", error)


def _versions(placed: Iterable[Placed]) -> list[Version]:
    return [version_of(one) for one in placed if one.record.kind is not Kind.SHARD]


def _order(version: Version) -> tuple[int, int]:
    return version.order


class _Bell:
    """Wakes one who waits. An `Event` that an interrupt falls into stays locked for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Once is enough until somebody has waited for it."""
        if self._lock.locked():
            with suppress(RuntimeError):  # somebody else did
                self._lock.release()

    def wait(self, timeout_s: float = -1) -> None:
        """Until it is rung, or was since the last time."""
        self._lock.acquire(timeout=timeout_s)
