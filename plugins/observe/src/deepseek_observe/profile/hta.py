"""The figures of HolisticTraceAnalysis 0.5.0, by its rules: for those who compare with it.

What differs from ours: whole microseconds; work launched by the last `ProfilerStep` or later is
left out; a device that waits for an event counts as computing; gaps are of streams, and negative
where work of a stream overlaps.
"""

from __future__ import annotations

import re
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_observe.timeline.classes import HOST, Class
from deepseek_observe.timeline.intervals import partition, union
from deepseek_observe.timeline.record import Column, Timeline

_US: Final = 1000
_DELAY_US: Final = 30  # below it a gap between two kernels is that of a launch
_KINDS: Final = ("COMPUTATION", "COMMUNICATION", "MEMORY")
_EXCHANGE: Final = re.compile("nccl.*Kernel")
_MEMORY: Final = ("Memcpy", "Memset", "dma")
_NO_COMPUTING: Final = ("Memcpy", "Sync")
_STEP: Final = "ProfilerStep"


def figures(timeline: Timeline) -> dict[str, Any]:
    """The temporal, overlap, kernel-type and idle-time breakdowns, in microseconds and percent."""
    rounded = _in_microseconds(timeline)
    rows = _kept(rounded)
    kinds = np.array([_kind(text) for text in rounded.texts], np.int64)[rounded.names[rows]]
    starts, ends = rounded.starts[rows], rounded.ends[rows]
    if not len(rows):
        return {"temporal": None, "overlap": None, "kernel_types": [], "idle": []}
    sets = [union(starts[kinds == n], ends[kinds == n]) for n in range(len(_KINDS))]
    begin, end = int(starts.min()), int(ends.max())
    states = (partition(sets, begin, end) // _US).tolist()
    busy = union(starts, ends).total // _US
    span = (end - begin) // _US
    compute = sets[0].total // _US
    told = sum(states[1:])
    return {
        "temporal": {
            "idle_time(us)": span - busy, "compute_time(us)": compute,
            "non_compute_time(us)": busy - compute, "kernel_time(us)": span,
        },
        "overlap": 100 * (states[3] + states[7]) * _US / sets[1].total if sets[1].total else None,
        "kernel_types": [
            {"kernel_type": _name(state), "sum": length, "percentage": 100 * length / told}
            for state, length in enumerate(states) if state and length
        ],
        "idle": _idle(rounded, rows[rounded.classes[rows] != Class.SYNC]),
    }  # fmt: skip


def _in_microseconds(timeline: Timeline) -> Timeline:
    """On the trace's own clock; where a start has a fraction, starts up and ends down to a whole.

    They are rounded from the float64 that it reads: a quarter of a microsecond off, where a trace
    counts from 1970.
    """
    starts, ends = timeline.starts + timeline.origin_ns, timeline.ends + timeline.origin_ns
    if (starts % _US).any():
        begin_us = _as_float(starts)
        end_us = begin_us + _as_float(ends - starts)
        starts = np.ceil(begin_us).astype(np.int64) * _US
        ends = np.floor(end_us).astype(np.int64) * _US
    return attrs.evolve(timeline, starts=starts, ends=ends, origin_ns=0)


def _as_float(times: Column) -> NDArray[np.float64]:
    """Nanoseconds -> the float64 nearest to their microseconds."""
    return (times // _US).astype(np.float64) + (times % _US) / _US


def _kept(timeline: Timeline) -> Column:
    """Rows of devices; where there are several steps, those launched before the last one."""
    works = np.flatnonzero(timeline.devices != HOST)
    steps = [row for row in timeline.where(Class.RANGE) if _STEP in timeline.text(row)]
    if len({timeline.text(row) for row in steps}) < 2:
        return works
    last = max(int(timeline.starts[row]) for row in steps)
    calls = timeline.launches[works]
    return works[(calls >= 0) & (timeline.starts[calls] < last)]


def _kind(name: str) -> int:
    """The place of its kind among `_KINDS`, -1 for what is none of them."""
    if _EXCHANGE.match(name):
        return 1
    if name.startswith(_MEMORY):
        return 2
    return -1 if any(part in name for part in _NO_COMPUTING) else 0


def _name(state: int) -> str:
    return " overlapping ".join(kind for bit, kind in enumerate(_KINDS) if state >> bit & 1)


def _idle(timeline: Timeline, rows: Column) -> list[dict[str, Any]]:
    """Gaps between neighbors of each stream, by who made them."""
    found = []
    for stream in dict.fromkeys(timeline.streams[rows].tolist()):
        mine = rows[timeline.streams[rows] == stream]
        mine = mine[np.argsort(timeline.starts[mine], kind="stable")]
        before = timeline.ends[mine][:-1]
        after, calls = mine[1:], timeline.launches[mine][1:]
        gaps = timeline.starts[after] - before
        host = (calls >= 0) & (timeline.starts[calls] > before)
        delay = ~host & (gaps < _DELAY_US * _US)
        for name, chosen in (
            ("host_wait", host), ("kernel_wait", delay), ("other", ~host & ~delay),
        ):  # fmt: skip
            # The first of a stream has no gap, and is among the others.
            if chosen.any() or name == "other":
                found.append(
                    {"stream": stream, "idle_category": name,
                     "idle_time": int(gaps[chosen].sum()) // _US}
                )  # fmt: skip
    return found
