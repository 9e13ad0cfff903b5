"""A schedule as a page: a lane for each device, a bar for each task."""

from __future__ import annotations

import zlib
from html import escape
from typing import Final

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement

_MOST_BARS: Final = 20_000
_WIDTH, _LANE, _LEFT, _TOP = 1200, 26, 120, 30


def gantt_body(graph: TaskGraph, schedule: Schedule) -> str:
    """What the page shows: figures, chart, rejected candidates; times in the graph's unit."""
    return f"{_facts(graph, schedule)}{_chart(graph, schedule)}{_candidates(schedule)}"


def _facts(graph: TaskGraph, schedule: Schedule) -> str:
    unit = escape(schedule.unit)
    rows = [
        ("makespan", f"{schedule.makespan:.6g} {unit}"),
        ("lower bound", f"{schedule.lower_bound:.6g} {unit}"),
        ("gap", f"at most {schedule.gap:.2%}"),
        ("algorithm", f"{escape(schedule.algorithm)}, {schedule.passes:.0f} list passes"),
        (
            "size",
            f"{len(graph.tasks)} tasks, {len(graph.edges)} edges, {len(graph.devices)} devices",
        ),
    ]
    return _table(rows)


def _candidates(schedule: Schedule) -> str:
    if not schedule.rejected:
        return ""
    ranked = sorted(schedule.rejected.items(), key=lambda item: item[1])
    rows = [
        (
            escape(rule),
            f"{value:.6g} ({value / schedule.makespan - 1:+.2%})" if schedule.makespan else "",
        )
        for rule, value in ranked
    ]
    return f"<h2>Rejected candidates</h2>{_table(rows)}"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{head}</th><td>{text}</td></tr>" for head, text in rows)
    return f"<table>{cells}</table>"


def _chart(graph: TaskGraph, schedule: Schedule) -> str:
    lanes = {device.id: number for number, device in enumerate(graph.devices)}
    names = {task.id: task.name for task in graph.tasks}
    scale = (_WIDTH - _LEFT - 40) / (schedule.makespan or 1.0)
    shown = sorted(schedule.placements, key=lambda p: p.start - p.end)[:_MOST_BARS]
    bars = "".join(_bar(p, names[p.task], lanes[p.device], scale) for p in shown)
    height = _TOP + _LANE * len(lanes) + 10
    left_out = len(schedule.placements) - len(shown)
    note = f"<p>The {left_out} shortest tasks are not drawn.</p>" if left_out else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="Gantt chart">{_axis(schedule, scale, height)}{_labels(graph, schedule)}'
        f"{bars}</svg>{note}"
    )


def _bar(p: TaskPlacement, name: str, lane: int, scale: float) -> str:
    x, width = _LEFT + p.start * scale, max((p.end - p.start) * scale, 0.6)
    label = name or str(p.task)
    hue = zlib.crc32(label.encode()) % 360  # tasks of one name share a color, on every run
    y = _TOP + lane * _LANE
    tip = escape(f"{p.task} {name} on {p.device}: {p.start:.6g} to {p.end:.6g}")
    text = escape(label[: int(width / 8)]) if width > 22 else ""
    return (
        f'<g><rect class="bar" x="{x:.2f}" y="{y + 2}" width="{width:.2f}" height="{_LANE - 4}" '
        f'fill="hsl({hue} 55% 72%)"><title>{tip}</title></rect>'
        f'<text class="ink" x="{x + 3:.2f}" y="{y + 17}" pointer-events="none">{text}</text></g>'
    )


def _labels(graph: TaskGraph, schedule: Schedule) -> str:
    busy = dict.fromkeys((d.id for d in graph.devices), 0.0)
    for p in schedule.placements:
        busy[p.device] += p.end - p.start
    span = schedule.makespan or 1.0
    return "".join(
        f'<text x="6" y="{_TOP + n * _LANE + 17}">{escape(str(d)[:12])} '
        f"{100 * t / span:.0f} %</text>"
        for n, (d, t) in enumerate(busy.items())
    )


def _axis(schedule: Schedule, scale: float, height: int) -> str:
    parts = []
    for step in range(6):
        at = schedule.makespan * step / 5
        x = _LEFT + at * scale
        style = "end" if step == 5 else "axis"
        parts.append(f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="24" y2="{height}"/>')
        parts.append(f'<text x="{x:.1f}" y="18" text-anchor="middle">{at:.4g}</text>')
    return "".join(parts)
