"""Which range a moment lies in: ranges of a thread nest, as a stack of calls does.

Of several that hold a moment, the innermost is the one that began last (of two that began at once,
the one that ended first). Ranges that overlap without nesting, as those of `nvtx.start_range`, are
allowed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepseek_observe.timeline.record import Column


class Nest(NamedTuple):
    """Ranges by thread, then in order of their start; `parents` are places in it, -1 for none.

    `rows` says which of the given ranges each is.
    """

    threads: Column
    starts: Column
    ends: Column
    parents: Column
    rows: Column


def nest(starts: Column, ends: Column, threads: Column) -> Nest:
    """Find what each range began within."""
    order = np.lexsort((-ends, starts, threads))
    sorted_ = threads[order], starts[order], ends[order]
    parents: list[int] = []
    open_: list[int] = []  # places of ranges that may still run, the last begun on top
    thread_of_open = None
    ends_list: list[int] = sorted_[2].tolist()
    for place, (thread, start) in enumerate(
        zip(sorted_[0].tolist(), sorted_[1].tolist(), strict=True)
    ):
        if thread != thread_of_open:
            open_.clear()
            thread_of_open = thread
        while open_ and ends_list[open_[-1]] <= start:
            open_.pop()
        parents.append(open_[-1] if open_ else -1)
        open_.append(place)
    return Nest(*sorted_, np.array(parents, np.int64), order)


def innermost(within: Nest, times: Column, threads: Column) -> Column:
    """The row of the innermost range at each moment on its thread, -1 where there is none."""
    if not len(within.starts):
        return np.full(len(times), -1, np.int64)
    place = _last_begun(within, times, threads)
    while True:
        over = (place >= 0) & (within.ends[place] <= times)
        if not over.any():
            break
        place[over] = within.parents[place[over]]
    return np.where(place >= 0, within.rows[place], -1)


def _last_begun(within: Nest, times: Column, threads: Column) -> Column:
    """The place of the last range of the thread that began at the moment or before; -1 for none."""
    found = np.full(len(times), -1, np.int64)
    names, firsts = np.unique(within.threads, return_index=True)
    bounds = np.append(firsts, len(within.threads))
    for number, thread in enumerate(names.tolist()):
        mine = np.flatnonzero(threads == thread)
        first, last = int(bounds[number]), int(bounds[number + 1])
        begun = np.searchsorted(within.starts[first:last], times[mine], side="right")
        found[mine] = np.where(begun > 0, first + begun - 1, -1)
    return found
