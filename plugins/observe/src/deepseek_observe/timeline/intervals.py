"""Arithmetic on intervals of int64 nanoseconds: unions, and who overlaps whom. No loops over rows.

An interval is [start, end). A *set* is a pair of arrays (starts, ends), disjoint and in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deepseek_observe.timeline.record import Column


class Set(NamedTuple):
    """Disjoint intervals in order, none empty; neighbors do not touch."""

    starts: Column
    ends: Column

    @property
    def total(self) -> int:
        """Nanoseconds of all of them."""
        return int((self.ends - self.starts).sum())


def union(starts: Column, ends: Column) -> Set:
    """What any of these intervals covers; empty and backward ones cover nothing."""
    some = ends > starts
    starts, ends = starts[some], ends[some]
    if not len(starts):
        return Set(starts, ends)
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    first = np.empty(len(starts), bool)
    first[0] = True
    np.greater(starts[1:], reach[:-1], out=first[1:])
    last = np.append(np.flatnonzero(first)[1:] - 1, len(starts) - 1)
    return Set(starts[first], reach[last])


def clipped(one: Set, begin: int, end: int) -> Set:
    """The part of a set within [begin, end)."""
    starts, ends = np.maximum(one.starts, begin), np.minimum(one.ends, end)
    some = ends > starts
    return Set(starts[some], ends[some])


def gaps(one: Set, begin: int, end: int) -> Set:
    """What of [begin, end) a set leaves uncovered."""
    inside = clipped(one, begin, end)
    starts = np.concatenate([[begin], inside.ends])
    ends = np.concatenate([inside.starts, [end]])
    some = ends > starts
    return Set(starts[some], ends[some])


def partition(sets: Sequence[Set], begin: int, end: int) -> Column:
    """Nanoseconds of [begin, end) in each state: bit n of a state says that set n covers it.

    All 2^n states together are end - begin, to the nanosecond.
    """
    inside = [clipped(one, begin, end) for one in sets]
    times = np.concatenate([np.array([begin, end]), *(part for one in inside for part in one)])
    changes = np.concatenate(
        [np.zeros(2, np.int64)]
        + [
            np.full(len(part), sign << bit)
            for bit, one in enumerate(inside)
            for part, sign in ((one.starts, 1), (one.ends, -1))
        ]
    )
    order = np.argsort(times, kind="stable")
    states = np.cumsum(changes[order])[:-1]
    lengths = np.diff(times[order])
    # Where several points share a time, states between them last no time and may be no real ones.
    some = lengths > 0
    found = np.zeros(1 << len(sets), np.int64)
    np.add.at(found, states[some], lengths[some])
    return found


def covered_within(one: Set, begin: Column, end: Column) -> Column:
    """Nanoseconds of each [begin, end) that a set covers; a backward one has none."""
    before = np.concatenate([[0], np.cumsum(one.ends - one.starts)])

    def until(times: Column) -> Column:
        place = np.searchsorted(one.starts, times, side="right")
        over = np.zeros(len(times), np.int64)
        some = place > 0
        last = place[some] - 1
        over[some] = np.maximum(one.ends[last] - times[some], 0)
        return before[place] - over

    found: Column = np.maximum(until(end) - until(begin), 0)
    return found
