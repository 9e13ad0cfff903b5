"""A schedule as a page: a lane for each device, a bar for each task."""

from __future__ import annotations

from html import escape
from typing import Final

from deepseek_core.cli.charts import Axis, Bar, bar_chart, timeline
from deepseek_core.cli.html import scrolled
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.schedule import Schedule

_MOST_BARS: Final = 20_000
_MOST_COLORS: Final = 12  # in a legend


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
    """The chosen schedule beside what each published rule alone came to."""
    if not schedule.rejected:
        return ""
    span = schedule.makespan
    ranked = sorted([*schedule.rejected.items()], key=lambda item: item[1])
    rows = [(f"chosen: {schedule.algorithm}", span, f"{span:.6g}")]
    rows += [
        (rule, value, f"{value:.6g} ({value / span - 1:+.2%})" if span else "")
        for rule, value in ranked
    ]
    head = "rule", f"makespan in {schedule.unit}, less is better"
    chart = bar_chart(rows, name="Makespan by rule", head=head, chosen=[0])
    return f"<h2>Other candidates</h2>{chart}"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f'<tr><th scope="row">{head}</th><td>{text}</td></tr>' for head, text in rows)
    return scrolled(f"<table><tbody>{cells}</tbody></table>", "Facts of the schedule")


def _chart(graph: TaskGraph, schedule: Schedule) -> str:
    names = {task.id: task.name for task in graph.tasks}
    lanes = {device.id: number for number, device in enumerate(graph.devices)}
    shown = sorted(schedule.placements, key=lambda p: p.start - p.end)[:_MOST_BARS]
    left_out = len(schedule.placements) - len(shown)
    note = f"<p>The {left_out} shortest tasks are not drawn.</p>" if left_out else ""
    groups = {p.task: names[p.task] or str(p.task) for p in shown}
    # Many tasks without names of their own: a legend of all of them would say nothing.
    few = len(set(groups.values())) <= _MOST_COLORS
    group = groups if few else {p.task: f"on {p.device}" for p in shown}
    bars = [
        Bar(
            lane=lanes[p.device],
            start=p.start,
            end=p.end,
            group=group[p.task],
            tip=f"{p.task} {names[p.task]} on {p.device}: {p.start:.6g} to {p.end:.6g}",
            label=groups[p.task],
        )
        for p in shown
    ]
    drawn = timeline(
        bars,
        lanes=_labels(graph, schedule),
        span=(0.0, schedule.makespan),
        name=f"Gantt chart: {len(shown)} tasks on {len(lanes)} devices",
        x=Axis(title=f"time in {schedule.unit}", shown="{:.4g}".format),
    )
    return f"<h2>What runs when</h2>{drawn}{note}"


def _labels(graph: TaskGraph, schedule: Schedule) -> list[str]:
    busy = dict.fromkeys((d.id for d in graph.devices), 0.0)
    for p in schedule.placements:
        busy[p.device] += p.end - p.start
    span = schedule.makespan or 1.0
    return [f"{str(d)[:18]} {100 * t / span:.0f} % busy" for d, t in busy.items()]
