"""Drawings of a report as SVG: files by accuracy and cost, layers by channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from typing import Any, Final

import attrs

from deepseek_core import compression

_WIDTH: Final = 640
_HEIGHT: Final = 240
_LEFT: Final = 60
_BOTTOM: Final = 34
_BAR: Final = 16


@attrs.frozen(kw_only=True)
class Point:
    """A file in a drawing: its name, what it costs, its accuracy with the interval's ends."""

    name: str
    cost: float
    accuracy: float
    low: float
    high: float


def scatter(points: Sequence[Point], cost: str, metric: compression.Metric) -> str:
    """A metric (upwards) against a cost (rightwards, from 0), with intervals."""
    if not points:
        return ""
    right = max(p.cost for p in points) * 1.15 or 1.0
    ends = [end for p in points for end in (p.low, p.accuracy, p.high) if isfinite(end)]
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.1 or 0.01
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return _LEFT + value / right * (_WIDTH - _LEFT - 10)

    def y(value: float) -> float:
        value = min(max(value, low), high)
        return 8 + (high - value) / (high - low) * (_HEIGHT - _BOTTOM - 8)

    drawn = "".join(
        f'<line x1="{x(p.cost):.1f}" x2="{x(p.cost):.1f}" '
        f'y1="{y(p.low):.1f}" y2="{y(p.high):.1f}"/>'
        f'<circle cx="{x(p.cost):.1f}" cy="{y(p.accuracy):.1f}" r="4"/>'
        f'<text x="{x(p.cost) + 8:.1f}" y="{y(p.accuracy) + 4:.1f}">{escape(p.name)}</text>'
        for p in points
    )
    base = _HEIGHT - _BOTTOM
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" style="max-width:{_WIDTH}px" role="img">'
        f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{base}" y2="{base}"/>'
        f'<line x1="{_LEFT}" x2="{_LEFT}" y1="8" y2="{base}"/>'
        f'<text x="4" y="16">{escape(metric.text(high))}</text>'
        f'<text x="4" y="{base}">{escape(metric.text(low))}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 10}">0</text>'
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 10}" text-anchor="end">'
        f"{right:.3g} {escape(cost)}</text>"
        f"{drawn}</svg>"
    )


def layer_bars(layers: Sequence[Mapping[str, Any]]) -> str:
    """For each layer the channels that were there, and of them those that are left."""
    rows = [row for row in layers if row.get("channels_before")]
    if not rows:
        return ""
    widest = max(row["channels_before"] for row in rows)
    room = _WIDTH - 320
    lines = []
    for index, row in enumerate(rows):
        top = index * _BAR
        before = row["channels_before"] / widest * room
        after = row["channels_after"] / widest * room
        lines.append(
            f'<text x="0" y="{top + 12}">{escape(str(row["name"]))[:40]}</text>'
            f'<rect x="250" y="{top + 3}" width="{before:.1f}" height="10" fill-opacity=".2" '
            f'fill="currentColor"/>'
            f'<rect x="250" y="{top + 3}" width="{after:.1f}" height="10" fill="#1f5fbf"/>'
            f'<text x="{255 + before:.1f}" y="{top + 12}">'
            f"{row['channels_after']} of {row['channels_before']}</text>"
        )
    height = len(rows) * _BAR + 4
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" style="max-width:{_WIDTH}px" role="img">'
        f"{''.join(lines)}</svg>"
    )
