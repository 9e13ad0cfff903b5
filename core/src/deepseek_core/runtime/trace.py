"""What ran when, as a Chrome trace that Perfetto opens.

Format: the Trace Event Format's `X` (complete), `C` (counter) and `M` (metadata) events.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from deepseek_core.contracts.files import whole_file

if TYPE_CHECKING:
    from deepseek_core.runtime.activity import Activity

# A stream may never end; what a trace viewer opens is bounded.
_KEEP: Final = 200_000


class Span(NamedTuple):
    """One task: a stage of batch number `sequence` on a device, in seconds of one clock."""

    stage: str
    device_id: str
    slot: int
    sequence: int
    batch: int
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.end_s - self.start_s


class Depth(NamedTuple):
    """How many tasks waited for a device from `at_s` on."""

    device_id: str
    at_s: float
    waiting: int


class Recorder:
    """Collects the newest spans and queue depths from any thread; `activity` hears of them, too."""

    def __init__(self, activity: Activity | None = None) -> None:
        self._spans: deque[tuple[str, str, int, int, int, float, float]] = deque(maxlen=_KEEP)
        self._depths: deque[Depth] = deque(maxlen=2 * _KEEP)
        self._activity = activity
        # Appending to a deque is atomic; a span is made of it when somebody asks.
        append = self._spans.append
        self.note: Callable[[tuple[str, str, int, int, int, float, float]], None] = append
        """Note a finished task: the fields of a `Span`."""
        if activity is not None:

            def note(span: tuple[str, str, int, int, int, float, float]) -> None:
                append(span)
                activity.note(span)

            self.note = note

    def queued(self, device_id: str, waiting: int) -> None:
        """Note how many tasks wait for a device now."""
        # Appending to a deque is atomic; this is called for every task.
        self._depths.append(Depth(device_id, time.perf_counter(), waiting))
        if self._activity is not None:
            self._activity.queued(device_id, waiting)

    @property
    def depths(self) -> tuple[Depth, ...]:
        """All queue depths by time."""
        return tuple(sorted(self._depths.copy(), key=lambda d: d.at_s))

    @property
    def spans(self) -> tuple[Span, ...]:
        """All spans by start."""
        spans = (Span(*fields) for fields in self._spans.copy())
        return tuple(sorted(spans, key=lambda s: s.start_s))

    def medians(self) -> dict[tuple[str, str], float]:
        """Median seconds by (stage, device)."""
        from statistics import median  # start-up: only reports need it

        groups: dict[tuple[str, str], list[float]] = {}
        for span in self.spans:
            groups.setdefault((span.stage, span.device_id), []).append(span.seconds)
        return {key: median(seconds) for key, seconds in groups.items()}


def occupancy(spans: Iterable[Span]) -> dict[str, float]:
    """Device -> share of the whole run in which one of its slots was busy (all slots: 1.0)."""
    spans = list(spans)
    if not spans:
        return {}
    whole_s = max(s.end_s for s in spans) - min(s.start_s for s in spans)
    busy: dict[str, float] = {}
    slots: dict[str, set[int]] = {}
    for span in spans:
        busy[span.device_id] = busy.get(span.device_id, 0.0) + span.seconds
        slots.setdefault(span.device_id, set()).add(span.slot)
    return {d: busy[d] / (whole_s * len(slots[d])) if whole_s else 0.0 for d in busy}


def chrome_trace(spans: Iterable[Span], depths: Iterable[Depth] = ()) -> dict[str, Any]:
    """A trace object: a thread for each device slot, a counter for each device's queue."""
    spans = list(spans)
    origin_s = min((s.start_s for s in spans), default=0.0)
    lanes = sorted({(s.device_id, s.slot) for s in spans})
    threads = {lane: index + 1 for index, lane in enumerate(lanes)}
    pid = os.getpid()
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": "ds-sdk run"}}
    ]
    events += [
        {
            "ph": "M",
            "name": "thread_name",
            "pid": pid,
            "tid": tid,
            "args": {"name": f"{lane[0]} slot {lane[1]}"},
        }
        for lane, tid in threads.items()
    ]
    events += [
        {
            "ph": "X",
            "name": s.stage,
            "cat": "task",
            "pid": pid,
            "tid": threads[s.device_id, s.slot],
            "ts": (s.start_s - origin_s) * 1e6,
            "dur": s.seconds * 1e6,
            "args": {"sequence": s.sequence, "batch": s.batch},
        }
        for s in spans
    ]
    events += [
        {
            "ph": "C",
            "name": f"waiting for {depth.device_id}",
            "pid": pid,
            "ts": max(0.0, depth.at_s - origin_s) * 1e6,
            "args": {"tasks": depth.waiting},
        }
        for depth in depths
    ]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def write_trace(path: Path, spans: Iterable[Span], depths: Iterable[Depth] = ()) -> None:
    """Write a trace file; it is whole or absent.

    Raises:
        WriteError: it can't be written.
    """
    import json

    with whole_file(path) as partial:
        partial.write_text(json.dumps(chrome_trace(spans, depths)))
