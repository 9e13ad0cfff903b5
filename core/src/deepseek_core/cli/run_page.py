"""The page of a run: why each stage ran where, what ran when, what waited, what was foreseen."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.html import line_chart, table, write_html
from deepseek_core.contracts.units import format_seconds
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.trace import Depth, Span

_MOST_BARS: Final = 4_000
_WIDTH, _LANE, _LEFT = 1200, 26, 190
_SIDE: Final = 320  # of the scatter plot


def write_run_page(path: Path, plan: Plan) -> None:
    """Write the page; a plan that has not run yet gets no pictures."""
    facts = plan.to_json()
    body = f"<h2>Where it runs, and why</h2>{_why(facts)}{_candidates(facts)}"
    if plan.spans:
        body += (
            f"<h2>What ran when</h2>{_gantt(plan.spans)}{_occupancy(plan.occupancy())}"
            f"<h2>Tasks that waited</h2>{_queues(plan.depths)}"
            f"<h2>Estimated and measured</h2>{_scatter(facts)}"
        )
    write_html(path, f"{plan.graph.name}: {plan.request.latency.value} plan", body)


def _why(facts: dict[str, Any]) -> str:
    sentences = [*facts["why"], facts["summary"], *facts["notices"]]
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def _candidates(facts: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    chosen: list[int] = []
    for stage in facts["stages"]:
        for c in stage["candidates"]:
            if c["device"] == stage["device"]:
                chosen.append(len(rows))
            rows.append((stage["name"], c["device"], *_costs(c)))
    head = ("stage", "device", "estimate", "90 % interval", "from", "last run")
    return table(head, rows, chosen=chosen)


def _costs(candidate: dict[str, Any]) -> tuple[str, ...]:
    if candidate["refusal"]:
        return "-", "-", f"refused: {candidate['refusal']}", ""
    low, high = map(format_seconds, candidate["interval_s"])
    seen = candidate["measured_s"]
    return (
        format_seconds(candidate["seconds"]),
        f"{low} to {high}",
        f"{candidate['source']}, {candidate['samples']} samples",
        "" if seen is None else format_seconds(seen),
    )


def _gantt(spans: Sequence[Span]) -> str:
    """A lane for each slot of each device, a bar for each task."""
    lanes = {lane: n for n, lane in enumerate(sorted({(s.device_id, s.slot) for s in spans}))}
    start_s = min(s.start_s for s in spans)
    whole_s = max(s.end_s for s in spans) - start_s or 1.0
    scale = (_WIDTH - _LEFT - 20) / whole_s
    shown = sorted(spans, key=lambda s: -s.seconds)[:_MOST_BARS]
    bars = "".join(
        _bar(s, (s.start_s - start_s) * scale, s.seconds * scale, lanes[s.device_id, s.slot])
        for s in shown
    )
    labels = "".join(
        f'<text x="6" y="{n * _LANE + 20}">{escape(device)} slot {slot}</text>'
        for (device, slot), n in lanes.items()
    )
    height = len(lanes) * _LANE + 24
    left_out = len(spans) - len(shown)
    note = f'<p class="soft">The {left_out} shortest tasks are not drawn.</p>' if left_out else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{labels}{bars}'
        f'<text x="{_WIDTH - 20}" y="{height - 6}" text-anchor="end">'
        f"{format_seconds(whole_s)}</text></svg>{note}"
    )


def _bar(span: Span, x: float, width: float, lane: int) -> str:
    hue = zlib.crc32(span.stage.encode()) % 360  # a stage keeps its color on every page
    tip = f"{span.stage}, batch {span.sequence}: {format_seconds(span.seconds)}"
    return (
        f'<rect x="{_LEFT + x:.2f}" y="{lane * _LANE + 4}" width="{max(width, 0.6):.2f}" '
        f'height="{_LANE - 4}" fill="hsl({hue} 55% 60%)"><title>{escape(tip)}</title></rect>'
    )


def _occupancy(shares: dict[str, float]) -> str:
    return table(("device", "occupancy"), [(d, f"{share:.0%}") for d, share in shares.items()])


def _queues(depths: Sequence[Depth]) -> str:
    charts = []
    for device in sorted({d.device_id for d in depths}):
        mine = [d for d in depths if d.device_id == device]
        points = [p for a, b in pairwise(mine) for p in _step(a, b)]
        whole_s = mine[-1].at_s - mine[0].at_s
        most = max(d.waiting for d in mine)
        chart = line_chart(points, "start", format_seconds(whole_s), f"{most} waiting")
        charts.append(f"<h3>{escape(device)}</h3>{chart}")
    return "".join(charts) or '<p class="soft">nothing waited</p>'


def _step(a: Depth, b: Depth) -> tuple[tuple[float, float], ...]:
    """A depth holds until the next one is noted."""
    return (a.at_s, float(a.waiting)), (b.at_s, float(a.waiting)), (b.at_s, float(b.waiting))


def _scatter(facts: dict[str, Any]) -> str:
    """Measured over estimated seconds of each stage, both on a logarithmic scale."""
    points = [
        (c["seconds"], c["measured_s"], f"{stage['name']} on {c['device']}")
        for stage in facts["stages"]
        for c in stage["candidates"]
        if not c["refusal"] and c["measured_s"]
    ]
    if not points:
        return '<p class="soft">nothing was measured</p>'
    values = [math.log10(v) for x, y, _ in points for v in (x, y)]
    low, high = min(values) - 0.2, max(values) + 0.2

    def place(seconds: float) -> float:
        return (math.log10(seconds) - low) / (high - low) * _SIDE

    dots = "".join(
        f'<circle cx="{place(x):.1f}" cy="{_SIDE - place(y):.1f}" r="5"><title>{escape(name)}: '
        f"{format_seconds(x)} estimated, {format_seconds(y)} measured</title></circle>"
        for x, y, name in points
    )
    return (
        '<p class="soft">Right: estimated; up: measured; on the line they agree.</p>'
        f'<svg viewBox="0 0 {_SIDE} {_SIDE}" style="max-width:{_SIDE}px" role="img">'
        f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0"/>{dots}</svg>'
    )
