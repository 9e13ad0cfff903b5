"""Drawings of a report: files by accuracy and cost, layers by channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from deepseek_core import compression, console

_BAR: Final = 18
_WIDTH: Final = 640
_NAMES: Final = 250


def scatter(variants: Sequence[compression.Variant], cost: str, metric: compression.Metric) -> str:
    """A metric (upwards) against a cost (rightwards, from 0), with intervals.

    `cost` is `size` or `latency`; files whose metric or cost was not measured are left out.
    """
    axes = {
        "size": (console.Axis(title="size in MiB", shown="{:.3g} MiB".format), _mebibytes),
        "latency": (console.Axis(title="latency in ms", shown="{:.3g} ms".format), _milliseconds),
    }
    axis, value = axes[cost]
    points = [
        console.Point(
            x=at,
            y=v.accuracy.value,
            name=v.name,
            low=v.accuracy.low,
            high=v.accuracy.high,
            tip=f"{v.name}: {metric.text(v.accuracy.value)} at {axis.shown(at)}",
        )
        for v in variants
        if v.accuracy is not None and (at := value(v)) is not None
    ]
    if not points:
        return ""
    name = f"{metric.name} against {cost}"
    up = console.Axis(title=f"{metric.name}, up to", shown=metric.text)
    return console.scatter(points, name=name, x=axis, y=up)


def _mebibytes(variant: compression.Variant) -> float | None:
    return variant.nbytes / 2**20


def _milliseconds(variant: compression.Variant) -> float | None:
    return None if variant.latency_s is None else variant.latency_s * 1e3


def layer_bars(layers: Sequence[Mapping[str, Any]]) -> str:
    """For each layer the channels that were there, and of them those that are left."""
    rows = [row for row in layers if row.get("channels_before")]
    if not rows:
        return ""
    widest = max(row["channels_before"] for row in rows)
    room = _WIDTH - _NAMES - 80
    lines = []
    for index, row in enumerate(rows):
        top = index * _BAR
        before = row["channels_before"] / widest * room
        after = row["channels_after"] / widest * room
        lines.append(
            f'<text class="name" x="4" y="{top + 13}">{escape(str(row["name"])[:36])}</text>'
            f'<rect class="waste more" x="{_NAMES}" y="{top + 4}" width="{before:.1f}" '
            f'height="10"/><rect class="cold" x="{_NAMES}" y="{top + 4}" width="{after:.1f}" '
            f'height="10"/><text x="{_NAMES + before + 5:.1f}" y="{top + 13}">'
            f"{row['channels_after']} of {row['channels_before']}</text>"
        )
    colors = {"channels left": "var(--cold)", "channels removed": "var(--waste)"}
    size = _WIDTH, len(rows) * _BAR + 6
    drawn = console.figure("".join(lines), size, "Channels of each layer, left of those before")
    return console.legend(colors) + drawn
