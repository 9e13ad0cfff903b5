"""Finds when a device became slower or faster, and what older runs would take now.

Runs come in the order of time, of several sizes. One that is far off disturbs nothing; several
in a row, all on one side, tell that the device changed, whatever their sizes: then all that was
measured before is moved by as much. It is the counting rule of control charts ("so many points in
a row beyond a limit", Western Electric 1956), with levels by lower medians.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median, median_low
from typing import Final, NamedTuple

_IN_A_ROW: Final = 3  # runs that are no accident
_FOUNDED: Final = 2  # older runs of a size that make its level more than an accident
_NEWEST: Final = 9  # older runs of a size that make its level
_LEAST_DRIFT: Final = 0.3  # in log seconds: a factor of 1.35
_SCATTERS: Final = 2.2  # standard deviations of single runs that each of them exceeds
_FOUR_IN_FIVE: Final = 1.812  # standard deviations of a run that four in five steps keep to
_UNLIKE: Final = 0.15  # how far a size's drift may be from another's, as a part of it

Run = tuple[int, float]
"""Batch size and log seconds."""


class Aligned(NamedTuple):
    """Runs of one size as they would be now, and the variance of what is not known of it."""

    logs: list[float]
    variance: float


class _Drift(NamedTuple):
    """A change of the device: its first run, and the levels of the sizes known before."""

    first: int
    levels: dict[int, float]


class _Change(NamedTuple):
    """What a drift did to log seconds, and how many runs tell."""

    first: int
    shift: float
    num_runs: int


def limit_of(groups: Mapping[int, Sequence[float]], deviations: Sequence[float]) -> float | None:
    """How far off a run tells of a drift; None if too few are to look any further.

    `deviations` are how far all runs are off the lower medians of their sizes, sorted.
    """
    if len(deviations) < _IN_A_ROW + _FOUNDED or deviations[-_IN_A_ROW] < 0.75 * _LEAST_DRIFT:
        return None
    # From one run to the next, since a drift is but one of these steps.
    steps = sorted([abs(b - a) for logs in groups.values() for a, b in pairwise(logs)])
    scatter = steps[4 * (len(steps) - 1) // 5] / _FOUR_IN_FIVE
    # What the farthest of so many normal ones keeps to (Donoho and Johnstone 1994).
    if deviations[-_IN_A_ROW] < scatter * math.sqrt(2 * math.log(len(deviations))):
        return None
    return max(_LEAST_DRIFT, _SCATTERS * scatter)


def aligned(runs: Sequence[Run], limit: float) -> dict[int, Aligned]:
    """The runs of each size, older ones moved by the drifts since; `runs` come oldest first."""
    changes = _changes(runs, limit)
    moved: dict[int, list[float]] = {}
    for number, (batch, log) in enumerate(runs):
        shift = sum([change.shift for change in changes if number < change.first])
        moved.setdefault(batch, []).append(log + shift)
    if not changes:
        return {batch: _own(logs, 0.0, limit) for batch, logs in moved.items()}
    newest = [batch for batch, _ in runs[changes[-1].first :]]
    return {
        batch: _own(*_shared(logs, newest.count(batch), changes[-1]), limit)
        for batch, logs in moved.items()
    }


def _changes(runs: Sequence[Run], limit: float) -> list[_Change]:
    watch = _Watch(limit)
    for run in runs:
        watch.see(run)
    ends = [drift.first for drift in watch.drifts[1:]] + [len(runs)]
    found = []
    for (first, levels), end in zip(watch.drifts, ends, strict=False):
        moves = [log - levels[batch] for batch, log in runs[first:end] if batch in levels]
        found.append(_Change(first, median(moves), len(moves)))
    return found


def _shared(logs: list[float], newest: int, last: _Change) -> Aligned:
    """What counts of a size after a drift: its runs since, or else how the others moved."""
    doubt = _doubt(last.shift, last.num_runs)
    if newest >= _IN_A_ROW:
        return Aligned(logs[-newest:], doubt)
    return Aligned(logs, doubt + (0.0 if newest else (_UNLIKE * last.shift) ** 2))


def _own(logs: list[float], variance: float, limit: float) -> Aligned:
    """The same, if the newest runs of this size left the older ones though others' did not."""
    count = _own_row(logs, limit)
    if count == 0:
        return Aligned(logs, variance)
    old, new = logs[:-count], logs[-count:]
    return Aligned(new, variance + _doubt(median(new) - median(old), count))


def _own_row(logs: Sequence[float], limit: float) -> int:
    """How many of the newest runs left the older ones though other sizes' did not."""
    for count in range(min(len(logs) - _FOUNDED, _NEWEST), _IN_A_ROW - 1, -1):
        old, new = median(logs[:-count]), logs[-count:]
        if min(new) > old + limit or max(new) < old - limit:
            return count
    return 0


def _doubt(shift: float, count: int) -> float:
    """Variance of a change that so many runs tell of: it may be over again."""
    return (shift / (2 * (count - 1))) ** 2


class _Watch:
    """Looks at runs one by one; `drifts` are those found, oldest first.

    `known` are the runs of each size as they would be since the last drift. `row` are the newest
    runs from the first one on that may be after another drift, `moves` how far they are off, for
    those of sizes that have a level; `quiet` counts those of new sizes after the last of them.
    """

    def __init__(self, limit: float) -> None:
        self.drifts: list[_Drift] = []
        self._limit, self._number = limit, 0
        self._known: dict[int, list[float]] = {}
        self._row: list[Run] = []
        self._moves: list[float] = []
        self._quiet = 0

    def see(self, run: Run) -> None:
        """Take the next run."""
        self._number += 1
        if self._row and run[0] not in self._known:
            self._row.append(run)
            self._quiet += 1
            if self._quiet == _IN_A_ROW:
                self._end_row()
            return
        level = self._level(run[0])
        off = 0.0 if level is None else run[1] - level
        if abs(off) <= self._limit or (self._moves and off * self._moves[0] < 0):
            self._end_row()
        self._row.append(run)
        if abs(off) <= self._limit:
            self._end_row()
        else:
            self._stray(off)

    def _stray(self, off: float) -> None:
        self._moves.append(off)
        self._quiet = 0
        if len(self._moves) == _IN_A_ROW:
            self._turn()
            self._end_row()

    def _turn(self) -> None:
        """Believe that the row is after a drift."""
        found = {batch: self._level(batch) for batch in self._known}
        levels = {batch: level for batch, level in found.items() if level is not None}
        self.drifts.append(_Drift(self._number - len(self._row), levels))
        shift = median(self._moves)
        for batch, logs in self._known.items():
            self._known[batch] = [log + shift for log in logs]

    def _end_row(self) -> None:
        for batch, log in self._row:
            self._known.setdefault(batch, []).append(log)
        self._row, self._moves, self._quiet = [], [], 0

    def _level(self, batch: int) -> float | None:
        """What a size took, if runs agree on it: one alone may be wild."""
        logs = self._known.get(batch, [])[-_NEWEST:]
        if len(logs) < _FOUNDED:
            return None
        level = median_low(logs)
        agreed = sum([abs(log - level) <= self._limit for log in logs])
        return level if agreed >= _FOUNDED else None
