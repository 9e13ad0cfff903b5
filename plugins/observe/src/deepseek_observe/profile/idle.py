"""Why a device was idle: each gap between its works, by what kept the next work from beginning.

A gap ends where a work begins, and that work was launched by a call of the host:

- The call came after the gap had begun: the device waited for the host until then. What the thread
  of the call did meanwhile says why: it read data, it waited for the device (after which it began
  to prepare what could have been queued before), it was in a copy that blocks, or in its own code.
  From the call on, the rest is the launch itself.
- The call had come before: the work waited in its queue, for an event of another stream (a
  dependency), or for a few microseconds as every launch does.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final

import attrs
import numpy as np

from deepseek_observe.profile.breakdown import Window
from deepseek_observe.timeline.classes import WORK, Class
from deepseek_observe.timeline.intervals import Set, covered_within, gaps, union
from deepseek_observe.timeline.record import Column, Timeline, distinct

LAUNCH_NS: Final = 10_000
"""A gap of a queued work up to this is that of any launch."""
LOADER: Final = re.compile(
    r"data[ _]?loader|dataset|prefetch|\bload_?batch|next_batch", re.IGNORECASE
)
"""Names of ranges in which data are read, as frameworks and people write them."""


class Cause(enum.Enum):
    """Why nothing ran."""

    LOADER = "data loader"
    SYNC = "synchronization"
    COPY = "blocking copy"
    HOST = "host"
    LAUNCH = "launch"
    DEPENDENCY = "dependency"
    QUEUE = "queue"
    UNKNOWN = "unknown"
    OTHERS = "other devices"
    EMPTY = "nothing to do"


@attrs.frozen(kw_only=True, eq=False)
class Idle:
    """The gaps of a device: [start, end), the row that ended each, and nanoseconds by cause.

    Of a gap the causes add up to its length. The last gap of a window may end with no row, -1.
    """

    starts: Column
    ends: Column
    rows: Column
    by_cause: Mapping[Cause, Column]

    @property
    def totals(self) -> dict[Cause, int]:
        """Nanoseconds of all gaps by cause; what is 0 is left out."""
        found = {cause: int(column.sum()) for cause, column in self.by_cause.items()}
        return {cause: total for cause, total in found.items() if total}


def idle(timeline: Timeline, device: int, window: Window) -> Idle:
    """Find the gaps of a device in a window, and their causes."""
    works = timeline.where(*WORK, device=device)
    busy = union(timeline.starts[works], timeline.ends[works])
    starts, ends = gaps(busy, window.begin_ns, window.end_ns)
    rows = _next(timeline, works, ends)
    lengths = ends - starts
    calls = np.where(rows >= 0, timeline.launches[rows], -1)
    called = np.where(calls >= 0, timeline.starts[calls], 0)
    late = (calls >= 0) & (called > starts)
    queued = (calls >= 0) & ~late
    host = np.where(late, np.minimum(called, ends) - starts, 0)
    waits = queued & (lengths > LAUNCH_NS) & _waited(timeline, device, rows, starts, ends)
    found = _of_host(timeline, calls, starts, host)
    found[Cause.LAUNCH] = np.where(late, lengths - host, 0) + np.where(
        queued & (lengths <= LAUNCH_NS), lengths, 0
    )
    found[Cause.DEPENDENCY] = np.where(waits, lengths, 0)
    found[Cause.QUEUE] = np.where(queued & ~waits & (lengths > LAUNCH_NS), lengths, 0)
    found[Cause.UNKNOWN] = np.where(calls < 0, lengths, 0)
    return Idle(starts=starts, ends=ends, rows=rows, by_cause=found)


def idle_of_plan(timeline: Timeline, device: int, window: Window) -> Idle:
    """Find the gaps of a device of a plan: other devices had work then, or none had any."""
    works = timeline.where(*WORK, device=device)
    every = timeline.where(*WORK)
    starts, ends = gaps(_set(timeline, works), window.begin_ns, window.end_ns)
    others = covered_within(_set(timeline, every), starts, ends)
    return Idle(
        starts=starts,
        ends=ends,
        rows=_next(timeline, works, ends),
        by_cause={Cause.OTHERS: others, Cause.EMPTY: ends - starts - others},
    )


def _next(timeline: Timeline, works: Column, ends: Column) -> Column:
    """The work that begins where a gap ends; -1 for none."""
    begun = np.searchsorted(timeline.starts[works], ends)
    known = begun < len(works)
    found = np.full(len(ends), -1, np.int64)
    found[known] = works[begun[known]]
    return np.where(known & (timeline.starts[found] == ends), found, -1)


def _waited(timeline: Timeline, device: int, rows: Column, starts: Column, ends: Column) -> Column:
    """Whether the stream of a work waited for an event within the gap before it."""
    syncs = timeline.where(Class.SYNC, device=device)
    found = np.zeros(len(rows), bool)
    for stream in distinct(timeline.streams[syncs]).tolist():
        mine = syncs[timeline.streams[syncs] == stream]
        after = np.sort(timeline.ends[mine])
        here = (rows >= 0) & (timeline.streams[rows] == stream)
        # One that ended after the gap had begun, and by its end.
        until = np.searchsorted(after, ends, side="right")
        found |= here & (until > np.searchsorted(after, starts, side="right"))
    return found


def _of_host(
    timeline: Timeline, calls: Column, starts: Column, lengths: Column
) -> dict[Cause, Column]:
    """What the launching threads did for so long after the gaps had begun."""
    names = (Cause.LOADER, Cause.SYNC, Cause.COPY, Cause.HOST)
    found = {cause: np.zeros(len(starts), np.int64) for cause in names}
    loads = np.array([LOADER.search(text) is not None for text in timeline.texts], bool)
    copies = np.array(["emcpy" in text for text in timeline.texts], bool)
    threads = np.where(calls >= 0, timeline.streams[calls], -1)
    for thread in distinct(threads[lengths > 0]).tolist():
        mine = np.flatnonzero((threads == thread) & (lengths > 0))
        begin, end = starts[mine], starts[mine] + lengths[mine]
        ranges = timeline.where(Class.RANGE, Class.OPERATION)
        ranges = ranges[(timeline.streams[ranges] == thread) & loads[timeline.names[ranges]]]
        waits = timeline.where(Class.WAIT)
        waits = waits[timeline.streams[waits] == thread]
        launches = timeline.where(Class.LAUNCH)
        launches = launches[
            (timeline.streams[launches] == thread) & copies[timeline.names[launches]]
        ]
        loader = covered_within(_set(timeline, ranges), begin, end)
        # A wait that was on when the device ran dry: the host had queued nothing behind it.
        dry = (covered_within(_set(timeline, waits), begin, begin + 1) > 0) & (loader == 0)
        both = covered_within(_set(timeline, np.concatenate([ranges, launches])), begin, end)
        copy = np.where(dry, 0, both - loader)
        sync = np.where(dry, end - begin, 0)
        found[Cause.LOADER][mine] = loader
        found[Cause.SYNC][mine] = sync
        found[Cause.COPY][mine] = copy
        found[Cause.HOST][mine] = end - begin - loader - sync - copy
    return found


def _set(timeline: Timeline, rows: Column) -> Set:
    return union(timeline.starts[rows], timeline.ends[rows])
