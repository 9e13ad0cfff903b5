"""The page of `ds-sdk simulate`: one HTML file with latencies and backlog of each policy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from deepseek_core.contracts.units import format_seconds
from deepseek_core.schedule.online.simulator import ClassOutcome, Outcome

_WIDTH, _HEIGHT = 640, 140
_SHARES: Final = [*(i / 200 for i in range(200)), 0.999]
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1b1b1b;background:#fff}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}
svg{background:#f6f7f9;width:100%;height:auto}polyline{fill:none;stroke:#1f5fbf;stroke-width:1.5}
text{font-size:11px;fill:#444}
"""


def write_page(path: Path, report: Mapping[str, Any], outcomes: Mapping[str, Outcome]) -> None:
    """Write the page; it is whole or absent."""
    title = f"Simulation of {escape(str(report['trace']))}, seed {report['seed']}"
    body = "".join(_section(name, outcome) for name, outcome in outcomes.items())
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{_STYLE}</style><h1>{title}</h1>{body}</html>\n"
    )
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
    head = ["class", "arrived", "on time", "late", "refused", "dropped", "failed", "p50", "p99"]
    lines = []
    for name, row in rows.items():
        p50, p99 = map(format_seconds, row.quantiles_s((0.5, 0.99)))
        cells = (
            name, row.arrived, f"{row.on_time_share:.2%}", row.late, row.refused, row.dropped,
            row.failed, p50, p99,
        )  # fmt: skip
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    return (
        f"<table><tr>{''.join(f'<th>{word}</th>' for word in head)}</tr>"
        + "".join(f"<tr>{line}</tr>" for line in lines)
        + "</table>"
    )


def _latencies(row: ClassOutcome) -> str:
    if not row.latency_s:
        return "<p>none finished</p>"
    points = list(zip(_SHARES, row.quantiles_s(_SHARES), strict=True))
    return _line(points, "0 %", "100 %", format_seconds(points[-1][1]))


def _backlog(outcome: Outcome) -> str:
    points = [(time_s, float(count)) for time_s, count in outcome.waiting]
    if len(points) < 2:
        return "<p>too short to draw</p>"
    most = max(count for _, count in points)
    return _line(points, format_seconds(points[0][0]), format_seconds(points[-1][0]), f"{most:.0f}")


def _line(points: Sequence[tuple[float, float]], left: str, right: str, top: str) -> str:
    x0, x1 = points[0][0], points[-1][0]
    highest = max(y for _, y in points) or 1.0
    drawn = " ".join(
        f"{(x - x0) / ((x1 - x0) or 1.0) * _WIDTH:.1f},{_HEIGHT - y / highest * (_HEIGHT - 16):.1f}"
        for x, y in points
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 16}" role=img><polyline points="{drawn}"/>'
        f'<text x=2 y=12>{top}</text><text x=2 y="{_HEIGHT + 13}">{left}</text>'
        f'<text x="{_WIDTH - 2}" y="{_HEIGHT + 13}" text-anchor=end>{right}</text></svg>'
    )
