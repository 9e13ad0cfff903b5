"""Drawings of a report: intervals side by side, and curves of several models in one frame.

Legend: a `row` is 30 px high; x runs over the axis, y downward, both in pixels of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

import attrs

from deepseek_core import applications, compression, console

COLORS: Final = {
    "ours": "var(--mark)",
    "baseline": "var(--waste)",
    "peer": "var(--warm)",
    "part": "var(--hot)",
}
"""Kind of model -> color, which has both themes."""

_WIDTH, _ROW, _NAMES, _FIGURES = 720, 30, 230, 90
_LEFT, _RIGHT = _NAMES, _WIDTH - _FIGURES
_TICKS: Final = 4
_LINE_COLORS: Final = ("var(--mark)", "var(--hot)", "var(--good)", "var(--warm)", "var(--waste)")
_LETTERS: Final = 30
_CURVE = (460, 280)


@attrs.frozen(kw_only=True)
class Scale:
    """Values -> pixels; `low` and `high` are the ends of the axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is drawn; one beyond an end is drawn there."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within the axis, about four."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def intervals(scores: Sequence[applications.Score], measure: applications.Measure) -> str:
    """A bar from low to high of each score's interval, with a dot at the score."""
    scale = _scale_of([s.interval for s in scores], _LEFT, _RIGHT)
    bottom = 14 + _ROW * len(scores)
    rows = "".join(_row(score, 14 + _ROW * n, scale) for n, score in enumerate(scores))
    ticks = "".join(_tick(scale(v), bottom, measure.text(v)) for v in scale.ticks())
    kinds: dict[str, str] = {
        kind: color for kind, color in COLORS.items() if kind in {s.kind for s in scores}
    }
    better = "higher is better" if measure.higher_is_better else "lower is better"
    name = f"{measure.name} on the test part with 95 % intervals; {better}"
    drawn = console.figure(ticks + rows, (_WIDTH, bottom + 26), name, most=900)
    return f"{console.legend(kinds)}{drawn}"


def curves(chart: str, lines: Sequence[applications.Curve]) -> str:
    """Curves of several models in one frame, each of a color."""
    width, height = _CURVE
    xs = [value for line in lines for value in line.x]
    ys = [value for line in lines for value in line.y]
    across = _spread(xs, 52, width - 16)
    upward = _spread(ys, height - 44, 18)
    colors = {line.model: _LINE_COLORS[n % len(_LINE_COLORS)] for n, line in enumerate(lines)}
    drawn = "".join(_line(line, across, upward, colors[line.model]) for line in lines)
    frame = _frame(across, upward, lines[0].x_label, lines[0].y_label)
    picture = console.figure(frame + drawn, (width, height), chart, most=620)
    return f"<h3>{escape(chart)}</h3>{console.legend(colors)}{picture}"


def _row(score: applications.Score, top: float, scale: Scale) -> str:
    middle, color = top + _ROW / 2, COLORS[score.kind]
    low, high = scale(score.interval.low), scale(score.interval.high)
    known = math.isfinite(score.interval.low) and math.isfinite(score.interval.high)
    shown = score.model if len(score.model) <= _LETTERS else f"{score.model[: _LETTERS - 1]}…"
    tip = f"{score.model}: {score.measure.name} {score.text}, {score.basis}"
    bar = (
        f'<rect x="{low:.1f}" y="{middle - 6:.1f}" width="{max(high - low, 1):.1f}" height="12" '
        f'rx="3" style="fill:{color};fill-opacity:.4"/>'
    )
    dot = f'<circle cx="{scale(score.interval.value):.1f}" cy="{middle:.1f}" r="5" '
    return (
        f'<g><title>{escape(tip)}</title><text class="name" x="10" y="{middle + 4:.1f}">'
        f"{escape(shown)}</text>{bar if known else ''}"
        f'{dot}style="fill:{color};fill-opacity:1"/>'
        f'<text class="title" x="{_WIDTH - 10}" y="{middle + 4:.1f}" text-anchor="end">'
        f"{escape(score.measure.text(score.interval.value))}</text></g>"
    )


def _tick(at: float, bottom: float, text: str) -> str:
    return (
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="8" y2="{bottom}"/>'
        f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(text)}</text>'
    )


def _line(
    line: applications.Curve,
    across: Callable[[float], float],
    upward: Callable[[float], float],
    color: str,
) -> str:
    points = " ".join(
        f"{across(x):.1f},{upward(y):.1f}" for x, y in zip(line.x, line.y, strict=True)
    )
    return (
        f'<polyline points="{points}" style="stroke:{color}">'
        f"<title>{escape(line.model)}</title></polyline>"
    )


def _frame(across: Scale, upward: Scale, x_label: str, y_label: str) -> str:
    width, height = _CURVE
    bottom = height - 44
    columns = "".join(_tick(across(v), bottom, f"{v:.3g}") for v in across.ticks())
    rows = "".join(
        f'<line x1="52" x2="{width - 16}" y1="{upward(v):.1f}" y2="{upward(v):.1f}"/>'
        f'<text x="46" y="{upward(v) + 4:.1f}" text-anchor="end">{v:.3g}</text>'
        for v in upward.ticks()
    )
    return (
        f"{columns}{rows}"
        f'<text class="title" x="{(52 + width - 16) / 2}" y="{height - 8}" text-anchor="middle">'
        f'{escape(x_label)}</text><text class="title" x="8" y="13">{escape(y_label)}</text>'
    )


def _scale_of(found: Sequence[compression.Interval], start: float, end: float) -> Scale:
    ends = [
        value
        for each in found
        for value in (each.low, each.value, each.high)
        if math.isfinite(value)
    ]
    return _spread(ends, start, end)


def _spread(values: Sequence[float], start: float, end: float) -> Scale:
    """An axis that holds the values with a margin; it need not begin at 0."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * 0.06 or abs(low) * 0.1 or 0.1
    return Scale(low=low - margin, high=high + margin, start=start, end=end)


def charts_of(found: Sequence[applications.Curve]) -> Mapping[str, list[applications.Curve]]:
    """Curves by the picture that they share."""
    charts: dict[str, list[applications.Curve]] = {}
    for curve in found:
        charts.setdefault(curve.chart, []).append(curve)
    return charts
