"""The page of `ds-sdk simulate`: one HTML file with latencies and backlog of each policy."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.html import line_chart, table, write_html
from deepseek_core.contracts.units import format_seconds
from deepseek_core.schedule.online.simulator import ClassOutcome, Outcome

_SHARES: Final = [*(i / 200 for i in range(200)), 0.999]


def write_page(path: Path, report: Mapping[str, Any], outcomes: Mapping[str, Outcome]) -> None:
    """Write the page; it is whole or absent."""
    body = "".join(_section(name, outcome) for name, outcome in outcomes.items())
    write_html(path, f"Simulation of {report['trace']}, seed {report['seed']}", body)


def _section(name: str, outcome: Outcome) -> str:
    rows = {c.value: row for c, row in outcome.classes.items() if row.arrived}
    charts = "".join(
        f"<h3>{c}: latency by share of tasks</h3>{_latencies(r)}" for c, r in rows.items()
    )
    return (
        f"<h2>{escape(name)}</h2>{_table(rows)}{charts}"
        f"<h3>tasks accepted and not done, over time</h3>{_backlog(outcome)}"
    )


def _table(rows: Mapping[str, ClassOutcome]) -> str:
    head = ("class", "arrived", "on time", "late", "refused", "dropped", "failed", "p50", "p99")
    return table(head, [_cells(name, row) for name, row in rows.items()])


def _cells(name: str, row: ClassOutcome) -> tuple[object, ...]:
    p50, p99 = map(format_seconds, row.quantiles_s((0.5, 0.99)))
    return (
        name, row.arrived, f"{row.on_time_share:.2%}", row.late, row.refused, row.dropped,
        row.failed, p50, p99,
    )  # fmt: skip


def _latencies(row: ClassOutcome) -> str:
    if not row.latency_s:
        return "<p>none finished</p>"
    points = list(zip(_SHARES, row.quantiles_s(_SHARES), strict=True))
    return line_chart(points, "0 %", "100 %", format_seconds(points[-1][1]))


def _backlog(outcome: Outcome) -> str:
    points = [(time_s, float(count)) for time_s, count in outcome.waiting]
    if not points:
        return line_chart((), "", "", "")
    most = max(count for _, count in points)
    start, end = format_seconds(points[0][0]), format_seconds(points[-1][0])
    return line_chart(points, start, end, f"{most:.0f}")
