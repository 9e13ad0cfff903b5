"""What a device ran most, and what it moved: sums by name, and by kind of copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import numpy as np

from deepseek_observe.profile.breakdown import Window
from deepseek_observe.timeline.classes import WORK, Class
from deepseek_observe.timeline.record import Column, Timeline, distinct

_TOP: Final = 10


@attrs.frozen(kw_only=True)
class Work:
    """All works of one name on a device: how many, and nanoseconds in all and of the longest."""

    name: str
    kind: str
    count: int
    total_ns: int
    longest_ns: int


@attrs.frozen(kw_only=True)
class Moved:
    """All copies of one way, as "HtoD (Pageable -> Device)", or all exchanges of one kernel.

    `nbytes` is None where it is unknown. `bytes_per_s` is over the time of these alone; of an
    exchange it is the bus bandwidth of nccl-tests, in whose time is the wait for the slowest rank.
    """

    way: str
    count: int
    total_ns: int
    nbytes: int | None
    bytes_per_s: float | None


def inside(timeline: Timeline, rows: Column, window: Window) -> Column:
    """Rows that begin in a window."""
    starts = timeline.starts[rows]
    return rows[(starts >= window.begin_ns) & (starts < window.end_ns)]


def top(timeline: Timeline, device: int, window: Window, num: int = _TOP) -> tuple[Work, ...]:
    """The names that took the most time, the longest first; times of one name are added up."""
    rows = inside(timeline, timeline.where(*WORK, device=device), window)
    names, place = np.unique(timeline.names[rows], return_inverse=True)
    lengths = timeline.durations[rows]
    totals = np.bincount(place, lengths, len(names)).astype(np.int64)
    counts = np.bincount(place, minlength=len(names))
    longest = np.zeros(len(names), np.int64)
    np.maximum.at(longest, place, lengths)
    first = np.zeros(len(names), np.int64)
    first[place[::-1]] = rows[::-1]
    order = np.argsort(-totals, kind="stable")[:num]
    return tuple(
        Work(
            name=timeline.texts[names[n]],
            kind=Class(int(timeline.classes[first[n]])).name.lower(),
            count=int(counts[n]),
            total_ns=int(totals[n]),
            longest_ns=int(longest[n]),
        )
        for n in order.tolist()
    )


def way_of(name: str) -> str:
    """The way of a copy: its name, as Memcpy HtoD (Pinned -> Device), without the first word."""
    return name.removeprefix("Memcpy ").strip() or name


def kind_of(name: str) -> str:
    """The kind of an exchange: the name of its kernel without its types and arguments."""
    return name.partition("(")[0].partition("<")[0].removeprefix("void ").strip() or name


def copies(timeline: Timeline, device: int, window: Window) -> tuple[Moved, ...]:
    """Copies and fills by their way, the longest time first."""
    return _moved(timeline, timeline.where(Class.COPY, Class.FILL, device=device), window, way_of)


def exchanges(timeline: Timeline, device: int, window: Window) -> tuple[Moved, ...]:
    """Exchanges by their kernel, the longest time first."""
    return _moved(timeline, timeline.where(Class.COMMUNICATION, device=device), window, kind_of)


def _moved(
    timeline: Timeline, rows: Column, window: Window, called: Callable[[str], str]
) -> tuple[Moved, ...]:
    rows = inside(timeline, rows, window)
    names = timeline.names[rows]
    found = []
    for name in distinct(names).tolist():
        mine = rows[names == name]
        total = int(timeline.durations[mine].sum())
        sizes = timeline.nbytes[mine]
        nbytes = int(sizes.sum()) if len(sizes) and (sizes >= 0).all() else None
        found.append(
            Moved(
                way=called(timeline.texts[name]), count=len(mine), total_ns=total, nbytes=nbytes,
                bytes_per_s=nbytes / total * 1e9 if nbytes is not None and total else None,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda one: -one.total_ns))
