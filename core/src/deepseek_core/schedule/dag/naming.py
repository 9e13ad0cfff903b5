"""Timetables by position as schedules by name."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_core.schedule.dag.compiled import Compiled
from deepseek_core.schedule.dag.listpass import Timetable
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement


def as_schedule(
    graph: Compiled,
    timetable: Timetable,
    algorithm: str,
    bound: float,
    *,
    passes: float = 1.0,
    rejected: Mapping[str, float] | None = None,
) -> Schedule:
    """A timetable by position as a schedule by name."""
    devices = [device.id for device in graph.graph.devices]
    rows = zip(graph.graph.tasks, timetable.device, timetable.start, timetable.end, strict=True)
    return Schedule(
        graph=graph.graph.name,
        unit=graph.graph.unit,
        algorithm=algorithm,
        makespan=timetable.makespan,
        lower_bound=min(bound, timetable.makespan),  # they may differ by rounding
        placements=tuple(
            TaskPlacement(task=t.id, device=devices[d], start=s, end=e) for t, d, s, e in rows
        ),
        passes=passes,
        rejected=rejected or {},
    )
