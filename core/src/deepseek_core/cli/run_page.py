"""The page of a run: why each stage ran where, what ran when, what waited, what was foreseen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.html import line_chart, table, write_html
from deepseek_core.cli.model_options import deadline_verdict
from deepseek_core.contracts.units import counted, format_bytes, format_seconds
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.trace import Depth, Span
from deepseek_core.schedule.sentences import GUESS, basis, interval

_MOST_BARS: Final = 4_000
_WIDTH, _LANE, _LEFT = 1200, 26, 190
_SIDE: Final = 320  # of the scatter plot
_NAMES: Final = 320  # beside it, for the names of its dots
_WHOLE: Final = "whole model, uncut"
_FIXED_SPACE: Final = "\N{NO-BREAK SPACE}"
_GOLDEN_ANGLE: Final = 137.5  # neighbors differ most, however many there are
_MOST_NAMED: Final = 8  # dots with their name beside them
_AIMS: Final = {"offline": "the most items per second", "realtime": "the soonest answer"}
_HEAD: Final = ("part", "device", "time of one batch", "90 % range", "known from", "last run")


def write_run_page(path: Path, plan: Plan) -> None:
    """Write the page; a plan that has not run yet gets no pictures."""
    facts = plan.to_json()
    body = f"<h2>Where it runs, and why</h2>{_why(facts)}{_candidates(facts)}"
    if plan.spans:
        body += (
            f"<h2>What ran when</h2>{_gantt(plan.spans)}{_occupancy(plan.occupancy())}"
            f"<h2>Tasks that waited for a device</h2>{_queues(plan.depths)}"
            f"<h2>Estimated and measured</h2>{_scatter(facts)}"
        )
    write_html(path, f"Plan of {plan.graph.name}", f"{_request(facts)}{body}")


def _request(facts: dict[str, Any]) -> str:
    """What was asked for."""
    batch_axis = facts["batch_axis"]
    items = f", {counted(facts['batch'], 'item')} in a batch" if batch_axis["batched"] else ""
    aim = f"Planned for {_AIMS[facts['latency']]}{items}; {batch_axis['text']}."
    return f'<p class="soft">{escape(aim)}</p>'


def _why(facts: dict[str, Any]) -> str:
    sentences = [*facts["why"], f"Plan: {facts['summary']}"]
    if facts["whole"] is not None:
        sentences.insert(-1, f"{_WHOLE}: {facts['whole']['why']}")
    sentences += deadline_verdict(facts["deadline_s"], facts["meets_deadline"])
    sentences += facts["notices"]
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def _parts(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Name, candidate and whether it was chosen: of each stage, then of all as one."""
    for stage in facts["stages"]:
        for candidate in stage["candidates"]:
            yield stage["name"], candidate, candidate["device"] == stage["device"]
    used = set(facts["placement"].values())
    for candidate in (facts["whole"] or {}).get("candidates", ()):
        yield _WHOLE, candidate, facts["whole"]["chosen"] and candidate["device"] in used


def _candidates(facts: dict[str, Any]) -> str:
    parts = list(_parts(facts))
    rows = [(name, candidate["device"], *_costs(candidate)) for name, candidate, _ in parts]
    chosen = [number for number, (_, _, is_chosen) in enumerate(parts) if is_chosen]
    note = "In bold: chosen. Times are medians; transfers between devices are included."
    return f'{table(_HEAD, rows, chosen=chosen)}<p class="soft">{note}</p>'


def _costs(candidate: dict[str, Any]) -> tuple[str, ...]:
    if candidate["refusal"]:
        return "-", "-", f"refused: {candidate['refusal']}", ""
    known = basis(candidate["source"], candidate["samples"])
    about = "about " if known == GUESS else ""
    moved, seen = candidate["moved_bytes"], candidate["measured_s"]
    return (
        f"{about}{format_seconds(candidate['seconds'])}".replace(" ", _FIXED_SPACE),
        interval(candidate["interval_s"]).replace(" ", _FIXED_SPACE),
        f"{known}; moves {format_bytes(moved)}" if moved else known,
        "" if seen is None else format_seconds(seen),
    )


def _gantt(spans: Sequence[Span]) -> str:
    """A lane for each slot of each device, a bar for each task."""
    lanes = {lane: n for n, lane in enumerate(sorted({(s.device_id, s.slot) for s in spans}))}
    start_s = min(s.start_s for s in spans)
    whole_s = max(s.end_s for s in spans) - start_s or 1.0
    scale = (_WIDTH - _LEFT - 20) / whole_s
    shown = sorted(spans, key=lambda s: -s.seconds)[:_MOST_BARS]
    colors = _colors(s.stage for s in spans)
    bars = "".join(
        _bar(s, (s.start_s - start_s) * scale, scale, lanes[s.device_id, s.slot], colors[s.stage])
        for s in shown
    )
    labels = "".join(
        f'<text x="6" y="{n * _LANE + 20}">{escape(device)} slot {slot}</text>'
        for (device, slot), n in lanes.items()
    )
    height = len(lanes) * _LANE + 24
    left_out = len(spans) - len(shown)
    note = f" The {left_out} shortest tasks are not drawn." if left_out else ""
    return (
        f'<p class="soft">One row for each task that a device can run at the same time.{note} '
        f"{_legend(colors)}</p>"
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{labels}{bars}'
        f'<text x="{_WIDTH - 20}" y="{height - 6}" text-anchor="end">'
        f"{format_seconds(whole_s)}</text></svg>"
    )


def _colors(stages: Iterable[str]) -> dict[str, str]:
    """One for each stage, the same whenever the same stages ran."""
    ranked = enumerate(sorted(set(stages)))
    return {stage: f"hsl({n * _GOLDEN_ANGLE % 360:.0f} 55% 60%)" for n, stage in ranked}


def _legend(colors: dict[str, str]) -> str:
    return " ".join(
        f'<span class="key" style="background:{color}"></span> {escape(stage)}'
        for stage, color in colors.items()
    )


def _bar(span: Span, x: float, scale: float, lane: int, color: str) -> str:
    width = max(span.seconds * scale, 0.6)
    tip = f"{span.stage}, batch {span.sequence}: {format_seconds(span.seconds)}"
    return (
        f'<rect x="{_LEFT + x:.2f}" y="{lane * _LANE + 4}" width="{width:.2f}" '
        f'height="{_LANE - 4}" fill="{color}"><title>{escape(tip)}</title></rect>'
    )


def _occupancy(shares: dict[str, float]) -> str:
    return table(("device", "busy"), [(d, f"{share:.0%}") for d, share in shares.items()])


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
    """Measured over estimated seconds of each part, both on a logarithmic scale."""
    points = [
        (candidate["seconds"], candidate["measured_s"], f"{name} on {candidate['device']}")
        for name, candidate, _ in _parts(facts)
        if not candidate["refusal"] and candidate["measured_s"]
    ]
    if not points:
        return '<p class="soft">nothing was measured</p>'
    values = [math.log10(v) for x, y, _ in points for v in (x, y)]
    low, high = min(values) - 0.2, max(values) + 0.2

    def place(seconds: float) -> float:
        return (math.log10(seconds) - low) / (high - low) * _SIDE

    dots = "".join(
        _dot(place(x), _SIDE - place(y), name, _times(x, y), is_named=len(points) < _MOST_NAMED)
        for x, y, name in points
    )
    return (
        '<p class="soft">A dot on the line took as long as estimated, one above it longer.</p>'
        f'<svg viewBox="0 0 {_SIDE + _NAMES} {_SIDE}" style="max-width:{_SIDE + _NAMES}px" '
        'role="img">'
        f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0"/>{dots}'
        f'<text x="{_SIDE - 6}" y="{_SIDE - 6}" text-anchor="end">estimated</text>'
        '<text x="-6" y="14" text-anchor="end" transform="rotate(-90)">measured</text></svg>'
    )


def _times(estimated_s: float, measured_s: float) -> str:
    return f"{format_seconds(estimated_s)} estimated, {format_seconds(measured_s)} measured"


def _dot(x: float, y: float, name: str, times: str, *, is_named: bool) -> str:
    label = f'<text x="{x + 9:.1f}" y="{y + 4:.1f}">{escape(name)}</text>'
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(f"{name}: {times}")}</title>'
        f"</circle>{label if is_named else ''}"
    )
