"""The log's writing end: group commit into the active segment.

Who appends and finds nobody writing writes for all that wait (the leader); the others sleep until
their group is on disk. While one group is on its way the next one gathers by itself, so there is no
timer and no thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.errors import StoreClosed
from deepseek_store.log import records as rec
from deepseek_store.log.appends import Append, fresh, release
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import Buffer, Kind, Placed, Record
from deepseek_store.log.reserve import Purpose, Reserve
from deepseek_store.log.segment import (
    HEADER_NBYTES,
    SegmentHeader,
    SegmentInfo,
    SegmentLayout,
    active_name,
    check_store_id,
    new_name,
    sealed_name,
)

_log = logging.getLogger(__name__)
_MOST_GROUP_NBYTES: Final = 16 << 20
# A waiting appender is woken; this only bounds the harm if the one who should do it was interrupted
_LOOK_AGAIN_S: Final = 0.25
# Of the time of a flush: so long a leader may wait for those whose last append has just ended. Else
# two halves of the threads take turns, and each flush carries one half.
_GATHER_SHARE: Final = 0.125
_LONGEST_FLUSH_S: Final = 0.02
_SMALLER: Final = 4  # on a disk that is nearly full, a segment is by so much
_MOST_TAKEN: Final = 1000


class Journal:
    """Appends records to the log; safe to use from any number of threads.

    `next_segment` gives a new id, unique in the store, each time; `clock` the seconds since the
    epoch. `on_group` is called for each group once it is on disk, in the order of the log, before
    the appends return; `on_seal` for each segment that is sealed; `on_written` for what was written
    and is not on disk yet, and `on_lost` if it never will be, for its disk failed. A group holds
    the records of up to `max_group` appends; a leader waits `linger_s` for more of them, or an
    eighth of the time of a flush where several threads append (one alone never waits for others).
    Where a disk is full, deletes and moves may have what `reserve` keeps; other records may not.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        store_id: bytes,
        writer: int,
        segment_nbytes: int,
        next_segment: Callable[[], int],
        clock: Callable[[], float],
        on_group: Callable[[list[Placed]], None] = lambda placed: None,
        on_seal: Callable[[SegmentInfo], None] = lambda info: None,
        on_written: Callable[[Sequence[Placed]], None] = lambda placed: None,
        on_lost: Callable[[Sequence[Placed]], None] = lambda placed: None,
        reserve: Reserve | None = None,
        max_group: int = 32,
        linger_s: float = 0.0,
    ) -> None:
        if segment_nbytes < HEADER_NBYTES or max_group < 1:
            raise errors.InputError("a segment and a group have to hold something")
        self._disk, self._store_id, self._writer = disk, check_store_id(store_id), writer
        self._segment_nbytes, self._max_group = segment_nbytes, max_group
        self._linger_s = linger_s
        self._next_segment, self._clock = next_segment, clock
        self._on_group, self._on_seal = on_group, on_seal
        self._on_written, self._on_lost = on_written, on_lost
        # records since the last flush; those that went with a disk that failed
        self._unsynced = self._lost = 0
        self._reserve = reserve
        # appends that wait, in their order; the leader takes the next group from the front
        self._queue: deque[Append] = deque()
        # held by the one thread that writes: the leader of the moment
        self._lead = threading.Lock()
        self._expected = 1  # appends that the next group may have, as the last one had
        self._flush_s = 0.0  # how long the last flush took
        self._gathering: threading.Lock | None = None  # on it the leader waits for more appends
        # of the active segment; None: the next append begins one
        self._layout: SegmentLayout | None = None
        # bytes that the active segment may take; less on a disk that is nearly full
        self._room_nbytes = 0
        self._dirty = False  # whether something is written and not flushed
        # segment whose disk failed -> where what counts in it ends
        self._abandoned: dict[int, int] = {}
        self._closed = False

    @property
    def active(self) -> int | None:
        """Id of the segment that is being written; None between two of them."""
        layout = self._layout
        return None if layout is None else layout.id

    def append(
        self, records: Sequence[Record], *, durable: bool = True, makes_room: bool = False
    ) -> list[Placed]:
        """Write records, all or none; on disk when it returns, unless `durable` is False.

        Those that are not are on disk, and count, with the next durable append or seal after them.
        `makes_room`: on a full disk they may have all that is kept back, for they free more.

        Raises:
            TierFull, TierUnavailable: nothing is acknowledged; or the pieces that a manifest names
                were lost meanwhile, by such an error.
            StoreClosed: after `close`.
        """
        mine = Append(records, durable=durable, makes_room=makes_room)
        try:
            self._queue.append(mine)
            gate = self._gathering
            if gate is not None and len(self._queue) >= self._wanted:
                release(gate)
            while not mine.done:
                if self._lead.locked():
                    mine.wait(self._lead, _LOOK_AGAIN_S)
                else:
                    self._lead_for(mine)
        except BaseException:
            self._withdraw(mine)
            raise
        if mine.error is not None:
            raise fresh(mine.error) from mine.error.__cause__
        return mine.placed

    def flush(self) -> None:
        """Make what was appended without `durable` durable.

        Raises:
            TierFull, TierUnavailable: it is not.
            TierUnavailable: some of it was lost since the last flush, when the disk failed.
        """
        try:
            self.append(())
        except errors.StorageError:
            self._lost = 0  # told by this error
            raise
        lost, self._lost = self._lost, 0
        if lost:
            raise errors.TierUnavailable(
                f"{lost} records that nobody waited for were lost when a segment failed",
                url=self._disk.url,
                remedy="put again what was put since the last flush",
            )

    def seal(self) -> SegmentInfo | None:
        """End the active segment; the next append begins another. None: there was nothing in it.

        Raises:
            TierFull, TierUnavailable: it is given up at its last good mark.
        """
        try:
            with self._lead:
                self._tidy()
                return self._seal()
        finally:
            self._rouse_next()

    def close(self) -> None:
        """Seal, and take no more; idempotent."""
        try:
            with self._lead:
                if not self._closed:
                    self._closed = True
                    self._tidy()
                    self._seal()
        finally:
            self._rouse_next()

    # `with` on the lock itself: of all ways to take it only that one has no gap in which an
    # interrupt would leave it taken.
    def _lead_for(self, mine: Append) -> None:
        try:
            with self._lead:
                if self._dirty:
                    self._tidy()
                if not mine.done:
                    self._lead_group()
        finally:
            self._rouse_next()

    def _withdraw(self, mine: Append) -> None:
        """The one who appends was interrupted: nobody may write it any more, or be writing it."""
        try:
            with self._lead, suppress(ValueError):
                self._queue.remove(mine)
        finally:
            self._rouse_next()

    def _tidy(self) -> None:
        """What a leader that was interrupted has left behind."""
        if self._dirty:
            self._abandon("its writer was interrupted")

    def _rouse_next(self) -> None:
        if self._queue:
            with suppress(IndexError):  # done meanwhile
                self._queue[0].rouse()

    def _lead_group(self) -> None:
        """Write what waits, and tell everyone how it went."""
        group: list[Append] = []
        try:
            if self._expected > 1 or self._linger_s:
                self._gather()
            group = self._next_group()
            placed = self._write(group)
            if placed:
                self._on_group(placed)
        except Exception as error:  # noqa: BLE001 - told to all whose records these are
            if self._dirty:
                self._abandon(str(error))
            self._finish(group or list(self._queue)[:1], error)
        else:
            self._finish(group)

    def _gather(self) -> None:
        """Wait a little for as many as there lately were, if they were several."""
        longest_s = self._linger_s
        if self._expected > 1:
            longest_s = max(longest_s, self._flush_s * _GATHER_SHARE)
        if longest_s and len(self._queue) < self._wanted:
            gate = threading.Lock()
            gate.acquire()
            self._gathering = gate
            if len(self._queue) < self._wanted:
                gate.acquire(timeout=longest_s)
            self._gathering = None

    def _finish(self, group: Sequence[Append], error: Exception | None = None) -> None:
        for one in group:
            if not one.done:
                one.finish(error)
        self._drop_done()
        self._expected = min(len(group) + len(self._queue), self._max_group)

    @property
    def _wanted(self) -> int:
        return self._max_group if self._linger_s else self._expected

    def _drop_done(self) -> None:
        while self._queue and self._queue[0].done:
            self._queue.popleft()

    def _next_group(self) -> list[Append]:
        """The first of those that wait, as many as fit into the segment; at least one.

        They stay in the queue until they are done: an interrupted leader loses nobody.
        """
        self._drop_done()
        if self._closed:
            raise StoreClosed("the log is closed", url=self._disk.url)
        group: list[Append] = []
        body = table = 0
        for one in list(self._queue)[: self._max_group]:
            is_first = body == 0
            body, table = body + one.body_nbytes, table + one.table_nbytes
            if is_first:
                self._make_room(body, table, one.purpose)
            elif body > _MOST_GROUP_NBYTES or not self._fits(body, table):
                break
            group.append(one)
        return group

    def _fits(self, body_nbytes: int, table_nbytes: int) -> bool:
        layout = self._layout
        return layout is None or (
            layout.nbytes_with(body_nbytes, table_nbytes) <= self._room_nbytes
        )

    def _make_room(self, body_nbytes: int, table_nbytes: int, purpose: Purpose) -> None:
        """See that there is an active segment which takes so much.

        One that has space does not help while the index needs what was kept back.
        """
        if body_nbytes and self._reserve is not None and self._reserve.is_lent:
            self._reserve.require(purpose, log_nbytes=0)
        if self._layout is not None and not self._fits(body_nbytes, table_nbytes):
            try:
                self._seal()
            except errors.StorageError as error:
                # What counts in it is safe. If the disk is gone, the next segment will say so.
                _log.warning("%s; going on in another segment", error)
        if self._layout is None and body_nbytes:
            # Many short segments would be left by what makes space, a little after the other.
            least_nbytes = self._segment_nbytes // _SMALLER if purpose == "room" else 0
            begin = partial(self._begin, body_nbytes, table_nbytes, least_nbytes)
            if self._reserve is None:
                begin()
                return
            self._reserve.require(purpose, log_nbytes=max(self._segment_nbytes, body_nbytes))
            if purpose == "objects":
                begin()
            else:
                self._reserve.lend(begin, purpose=purpose)

    def _begin(self, body_nbytes: int, table_nbytes: int, least_nbytes: int) -> None:
        """A new segment: it gets its name when it has its header, so others know whose it is."""
        header = SegmentHeader(
            store_id=self._store_id,
            segment=self._free_number(),
            writer=self._writer,
            created_s=self._clock(),
        )
        layout = SegmentLayout(header)
        least = max(least_nbytes, layout.nbytes_with(body_nbytes, table_nbytes))
        name = new_name(layout.id, self._writer)
        try:
            room = self._create(name, least)
            self._disk.write_at(name, 0, [header.to_bytes()])
            self._disk.rename(name, active_name(layout.id))
            name = active_name(layout.id)  # ours only now: it may have been somebody else's
            self._disk.sync_dir()
        except errors.StorageError:
            self._remove(name)
            raise
        self._room_nbytes, self._layout = room, layout

    def _free_number(self) -> int:
        """The next number of which there is no file, whatever the one who counts may think."""
        for _ in range(_MOST_TAKEN):
            number = self._next_segment()
            if not any(self._has(name(number)) for name in (sealed_name, active_name)):
                return number
            _log.error("segment %016x is there already: its number is passed over", number)
        raise errors.TierUnavailable(
            f"{_MOST_TAKEN} segments were there already",
            url=self._disk.url,
            remedy=command("rebuild", self._disk.home),
        )

    def _has(self, name: str) -> bool:
        """Whether a disk that answers has a file of that name; one that does not is left out."""
        for disk in self._disk.replicas():
            with suppress(errors.StorageError):
                disk.size(name)
                return True
        return False

    def _create(self, name: str, least_nbytes: int) -> int:
        """A file with space for a segment; on a disk that is nearly full, for part of one."""
        room = max(self._segment_nbytes, least_nbytes)
        while True:
            try:
                self._disk.create(name, room)
            except errors.TierFull:
                if least_nbytes >= room:
                    raise
                room = max(room // _SMALLER, least_nbytes)
            else:
                return room

    def _write(self, group: Sequence[Append]) -> list[Placed]:
        """Write a group, and sync it if one of them is durable; the records that count now."""
        layout = self._layout
        if layout is None:
            return []
        parts: list[Buffer] = []
        name, offset = active_name(layout.id), layout.cursor
        durable = False
        before = len(layout.open)
        self._dirty = True
        for one in group:
            if self._abandoned and (lost := self._lost_piece(one)):
                one.finish(lost)
                continue
            one.placed = [layout.place(ready, parts) for ready in one.ready]
            durable = durable or one.durable
        durable = durable and bool(layout.open)
        placed: list[Placed] = []
        if durable:
            parts.append(layout.mark())
        if parts:
            self._disk.write_at(name, offset, parts)
        if not durable:
            self._tell_written(layout.open[before:])
        if durable:
            start_s = time.perf_counter()
            self._disk.sync(name)
            self._flush_s = min(time.perf_counter() - start_s, _LONGEST_FLUSH_S)
            placed = layout.commit()
            self._unsynced = 0
        self._dirty = False
        return placed

    def _tell_written(self, placed: Sequence[Placed]) -> None:
        if placed:
            self._unsynced += sum([one.record.kind is not Kind.SHARD for one in placed])
            self._on_written(placed)

    def _lost_piece(self, one: Append) -> Exception | None:
        """The error of a manifest that names pieces which went with an abandoned segment."""
        for ready in one.ready:
            if not ready.record.manifest:
                continue
            for extent in rec.unpack_extents(ready.record.payload):
                end = self._abandoned.get(extent.segment)
                if end is not None and extent.offset + extent.nbytes > end:
                    return errors.TierUnavailable(
                        f"pieces of {ready.record.key!r} were lost when segment"
                        f" {extent.segment:016x} failed",
                        url=self._disk.url,
                        remedy="put the object again",
                    )
        return None

    def _seal(self) -> SegmentInfo | None:
        layout = self._layout
        if layout is None:
            return None
        if layout.is_empty and not layout.open:
            self._layout = None
            self._disk.remove(active_name(layout.id))
            return None
        self._dirty = True
        try:
            placed = self._mark_open(layout)
            info = self._seal_file(layout)
        except Exception as error:
            self._abandon(str(error))
            raise
        self._layout, self._dirty = None, False
        if placed:
            self._on_group(placed)
        self._on_seal(info)
        return info

    def _mark_open(self, layout: SegmentLayout) -> list[Placed]:
        """Make records without a mark count: on disk before the footer tells of them."""
        if not layout.open:
            return []
        name, offset = active_name(layout.id), layout.cursor
        self._disk.write_at(name, offset, [layout.mark()])
        self._disk.sync(name)
        self._unsynced = 0
        return layout.commit()

    def _seal_file(self, layout: SegmentLayout) -> SegmentInfo:
        footer = layout.footer()
        name, nbytes = active_name(layout.id), layout.end + len(footer)
        self._disk.write_at(name, layout.end, [footer])
        self._disk.truncate(name, nbytes)
        self._disk.sync(name)
        self._disk.rename(name, sealed_name(layout.id))
        self._disk.sync_dir()
        return layout.info(nbytes, sealed=True)

    def _abandon(self, reason: str) -> None:
        """Give the active segment up at its last good mark, and seal that part if possible.

        After a failed sync nobody knows what is on disk, and a second sync that succeeds tells
        nothing about the first one's bytes (PostgreSQL's "fsyncgate", 2018): that space is not
        written again, and what was in it is cut off.
        """
        layout = self._layout
        if layout is not None:
            lost = layout.rewind()
            self._abandoned[layout.id] = layout.end
            self._lost, self._unsynced = self._lost + self._unsynced, 0
            self._on_lost(lost)
            self._layout = None
            self._dirty = False
            _log.warning("segment %016x is given up at %d: %s", layout.id, layout.end, reason)
            try:
                self._end_abandoned(layout)
            except errors.StorageError as error:
                _log.warning("segment %016x is not sealed: %s", layout.id, error)
        self._dirty = False

    def _end_abandoned(self, layout: SegmentLayout) -> None:
        name = active_name(layout.id)
        if layout.is_empty:
            self._disk.remove(name)
            return
        self._disk.truncate(name, layout.end)
        self._on_seal(self._seal_file(layout))

    def _remove(self, name: str) -> None:
        with suppress(errors.StorageError):
            self._disk.remove(name)
