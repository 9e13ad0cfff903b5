"""The page of `ds-sdk simulate`: one HTML file with latencies and backlog of each policy."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.charts import Axis, bar_chart, line_chart
from deepseek_core.cli.html import table, write_html
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.contracts.units import format_seconds
from deepseek_core.schedule.online.simulator import ClassOutcome, Outcome

_SHARES: Final = [*(i / 200 for i in range(200)), 0.999]


def write_page(path: Path, report: Mapping[str, Any], outcomes: Mapping[str, Outcome]) -> None:
    """Write the page; it is whole or absent."""
    body = _comparison(outcomes) + "".join(_section(*item) for item in outcomes.items())
    write_html(path, f"Simulation of {report['trace']}, seed {report['seed']}", body)


def _comparison(outcomes: Mapping[str, Outcome]) -> str:
    """The policies side by side, for each class: on time, and the slowest of a hundred."""
    charts = []
    for latency in LatencyClass:
        rows = {name: o.classes[latency] for name, o in outcomes.items()}
        if not any(row.arrived for row in rows.values()):
            continue
        shares = [(name, r.on_time_share, f"{r.on_time_share:.2%}") for name, r in rows.items()]
        slow = [(name, q, format_seconds(q)) for name, r in rows.items()
                for q in r.quantiles_s((0.99,))]  # fmt: skip
        kind = latency.value
        more, less = "on time of all, more is better", "latency of 99 of 100, less is better"
        on_time = bar_chart(shares, name=f"{kind}: on time, by policy", head=("policy", more))
        latencies = bar_chart(slow, name=f"{kind}: latency, by policy", head=("policy", less))
        charts.append(f"<h3>{kind}</h3>{on_time}{latencies}")
    title = "Policies compared" if len(outcomes) > 1 else "Outcome"
    return f"<h2>{title}</h2>{''.join(charts)}"


def _section(name: str, outcome: Outcome) -> str:
    rows = {c.value: row for c, row in outcome.classes.items() if row.arrived}
    charts = "".join(f"<div><h3>{c}: latency</h3>{_latencies(name, c, r)}</div>"
                     for c, r in rows.items())  # fmt: skip
    return (
        f"<h2>{escape(name)}</h2>{_table(name, rows)}{_devices(name, outcome)}"
        f'<div class="charts">{charts}'
        f"<div><h3>tasks in the system</h3>{_backlog(name, outcome)}</div></div>"
    )


def _table(policy: str, rows: Mapping[str, ClassOutcome]) -> str:
    head = ("class", "arrived", "on time", "late", "refused", "dropped", "failed", "items",
            "p50", "p90", "p99")  # fmt: skip
    return table(head, [_cells(n, row) for n, row in rows.items()], name=f"{policy}: outcome")


def _cells(name: str, row: ClassOutcome) -> tuple[object, ...]:
    quantiles = map(format_seconds, row.quantiles_s((0.5, 0.9, 0.99)))
    return (
        name, row.arrived, f"{row.on_time_share:.2%}", row.late, row.refused, row.dropped,
        row.failed, row.items, *quantiles,
    )  # fmt: skip


def _devices(policy: str, outcome: Outcome) -> str:
    """How busy each device was."""
    whole = outcome.seconds or 1.0
    rows = [(d, s / whole, f"{s / whole:.0%}") for d, s in outcome.busy_s.items()]
    told = f"{outcome.items_per_s:.4g} items/s; {outcome.runs:,} runs in {format_seconds(whole)}"
    left = f"; {outcome.unfinished:,} tasks had no device left" if outcome.unfinished else ""
    chart = bar_chart(rows, name=f"{policy}: how busy each device was", head=("device", "busy"))
    return f'<p class="soft">{told}{left}</p>{chart}'


def _latencies(policy: str, kind: str, row: ClassOutcome) -> str:
    if len(row.latency_s) < 2:
        return f"<p>{', '.join(map(format_seconds, row.latency_s)) or 'none finished'}</p>"
    points = [(100 * s, q) for s, q in zip(_SHARES, row.quantiles_s(_SHARES), strict=True)]
    return line_chart(
        points,
        name=f"{policy}: latency of {kind} tasks",
        x=Axis(title="share of tasks that were as fast", shown="{:.4g} %".format),
        y=Axis(title="latency, up to", shown=format_seconds),
    )


def _backlog(policy: str, outcome: Outcome) -> str:
    return line_chart(
        [(time_s, float(count)) for time_s, count in outcome.waiting],
        name=f"{policy}: tasks accepted and not done",
        x=Axis(title="time of the trace", shown=format_seconds),
        y=Axis(title="tasks accepted and not done, most:", shown="{:.0f}".format),
    )
