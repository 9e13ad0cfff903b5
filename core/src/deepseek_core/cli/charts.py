"""Charts of pages: lines, bars, points and time lines, each with axes, units and a name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Final

import attrs

from deepseek_core.cli.html import figure, legend, scrolled

_WIDTH, _HEIGHT = 340, 190  # of a chart that a phone shows whole
_LEFT, _TOP, _RIGHT, _BOTTOM = 10, 24, 330, 150  # of what is drawn in it
_LANE, _NAMES, _SPAN = 26, 190, 1000  # of a time line
_GOLDEN_ANGLE: Final = 137.5  # neighbors differ most, however many there are
_LETTER: Final = 7.5  # pixels, of a text of 12 px


@attrs.frozen(kw_only=True)
class Axis:
    """What an axis shows, unit included, and how its values are written."""

    title: str
    shown: Callable[[float], str] = "{:.4g}".format

    def text(self, value: float) -> str:
        """A value as it stands at the axis; 0 needs no unit."""
        return self.shown(value) if value else "0"


@attrs.frozen(kw_only=True)
class Point:
    """A dot: its place, its name, and the ends of an interval up and down if there is one."""

    x: float
    y: float
    name: str
    tip: str = ""
    low: float = math.nan
    high: float = math.nan


@attrs.frozen(kw_only=True)
class Bar:
    """A bar of a time line: its lane, its start and end, the group that gives its color."""

    lane: int
    start: float
    end: float
    group: str
    tip: str
    label: str = ""


def colors_of(groups: Iterable[str]) -> dict[str, str]:
    """A color for each group, the same whenever the same groups are shown."""
    ranked = enumerate(sorted(set(groups)))
    return {group: f"hsl({n * _GOLDEN_ANGLE % 360:.0f} 60% 62%)" for n, group in ranked}


def line_chart(points: Sequence[tuple[float, float]], *, name: str, x: Axis, y: Axis) -> str:
    """A line through points in order of x; 0 is always within it, as a line where values cross."""
    if len(points) < 2:
        return f'<p class="soft">{escape(name)}: too short to draw</p>'
    first, last = points[0][0], points[-1][0]
    low, high = min(0.0, *(value for _, value in points)), max(0.0, *(value for _, value in points))
    if low == high:
        high = 1.0
    across = _scale(first, last if last > first else first + 1.0, _LEFT, _RIGHT, False)
    upward = _scale(low, high, _BOTTOM, _TOP, False)
    drawn = " ".join(f"{across(a):.1f},{upward(b):.1f}" for a, b in points)
    ends = "" if low == 0 else y.text(low), y.text(high)
    frame = _frame(x, y, (x.text(first), x.text(last)), ends)
    zero = f'<line x1="{_LEFT}" y1="{upward(0):.1f}" x2="{_RIGHT}" y2="{upward(0):.1f}"/>'
    lines = f'{frame}{zero if low < 0 else ""}<polyline points="{drawn}"/>'
    return figure(lines, (_WIDTH, _HEIGHT), name, most=460)


def scatter(
    points: Sequence[Point], *, name: str, x: Axis, y: Axis, logarithmic: bool = False
) -> str:
    """Dots with their names; a logarithmic one has the same scale both ways, and its diagonal."""
    if not points:
        return f'<p class="soft">{escape(name)}: nothing was measured</p>'
    (left, right), (low, high) = _limits(points, logarithmic)
    across = _scale(left, right, _LEFT, _RIGHT, logarithmic)
    upward = _scale(low, high, _BOTTOM, _TOP, logarithmic)
    ends = f'x1="{_LEFT}" y1="{_BOTTOM}" x2="{_RIGHT}" y2="{_TOP}"'
    diagonal = f"<line {ends}/>" if logarithmic else ""
    dots = "".join(_dot(point, across, upward) for point in points)
    frame = _frame(x, y, (x.text(left), x.text(right)), (y.text(low), y.text(high)))
    return figure(f"{frame}{diagonal}{dots}", (_WIDTH, _HEIGHT), name, most=460)


def _limits(
    points: Sequence[Point], logarithmic: bool
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of both axes, with a margin."""
    if logarithmic:
        values = [value for p in points for value in (p.x, p.y)]
        both = min(values) / 1.5, max(values) * 1.5
        return both, both
    ends = [v for p in points for v in (p.low, p.y, p.high) if math.isfinite(v)]
    margin = (max(ends) - min(ends)) * 0.1 or abs(ends[0]) * 0.1 or 0.01
    return (0.0, max(p.x for p in points) * 1.15 or 1.0), (min(ends) - margin, max(ends) + margin)


def _scale(
    low: float, high: float, start: float, end: float, logarithmic: bool
) -> Callable[[float], float]:
    """Value -> pixel."""
    if logarithmic:
        bottom, top = math.log(low), math.log(high)
        return lambda v: start + (math.log(v) - bottom) / (top - bottom) * (end - start)
    return lambda v: start + (min(max(v, low), high) - low) / (high - low) * (end - start)


def _dot(point: Point, across: Callable[[float], float], upward: Callable[[float], float]) -> str:
    x, y = across(point.x), upward(point.y)
    interval = ""
    if not (math.isnan(point.low) or math.isnan(point.high)):
        ends = f'y1="{upward(point.low):.1f}" y2="{upward(point.high):.1f}"'
        interval = f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" {ends}/>'
    fits = x + 9 + len(point.name) * _LETTER <= _WIDTH
    place = f'x="{x + 9:.1f}"' if fits else f'x="{x - 9:.1f}" text-anchor="end"'
    label = f'<text {place} y="{y + 4:.1f}">{escape(point.name)}</text>' if point.name else ""
    tip = f"<title>{escape(point.tip)}</title>" if point.tip else ""
    return f'{interval}<circle cx="{x:.1f}" cy="{y:.1f}" r="5">{tip}</circle>{label}'


def _frame(x: Axis, y: Axis, across: tuple[str, str], upward: tuple[str, str]) -> str:
    """Axes with the values of their ends, and their titles."""
    low, high = upward
    below = f'<text x="{_LEFT}" y="{_BOTTOM - 4}">{escape(low)}</text>' if low else ""
    return (
        f'<line x1="{_LEFT}" y1="{_BOTTOM}" x2="{_RIGHT}" y2="{_BOTTOM}"/>'
        f'<line x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{_BOTTOM}"/>'
        f'<text x="{_LEFT}" y="16"><tspan class="title">{escape(y.title)}</tspan> '
        f"{escape(high)}</text>{below}"
        f'<text x="{_LEFT}" y="{_BOTTOM + 16}">{escape(across[0])}</text>'
        f'<text x="{_RIGHT}" y="{_BOTTOM + 16}" text-anchor="end">{escape(across[1])}</text>'
        f'<text class="title" x="{(_LEFT + _RIGHT) / 2}" y="{_BOTTOM + 33}" text-anchor="middle">'
        f"{escape(x.title)}</text>"
    )


def bar_chart(
    rows: Sequence[tuple[str, float, str]],
    *,
    name: str,
    head: tuple[str, str],
    chosen: Iterable[int] = (),
) -> str:
    """Bars from 0, side by side: (what, value, its text); those in `chosen` stand out.

    It is a table, so it reads well in any width and without eyes. `head` has what is compared and
    what is measured, unit included.
    """
    marked = set(chosen)
    longest = max((value for _, value, _ in rows if math.isfinite(value)), default=0.0) or 1.0
    lines = "".join(
        f"<tr{' class=chosen' if number in marked else ''}>"
        f'<th scope="row">{escape(what)}</th><td class="n">{escape(text)}</td><td class="bar">'
        f'<i style="width:{_share(value, longest):.1f}%"></i></td></tr>'
        for number, (what, value, text) in enumerate(rows)
    )
    top = (
        f'<th scope="col">{escape(head[0])}</th><th scope="col" class="n">{escape(head[1])}</th>'
        '<th scope="col">from 0</th>'
    )
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    return scrolled(table, name)


def _share(value: float, longest: float) -> float:
    return 100 * max(value, 0.0) / longest if math.isfinite(value) else 0.0


def timeline(
    bars: Sequence[Bar],
    *,
    lanes: Sequence[str],
    span: tuple[float, float],
    name: str,
    x: Axis,
    colors: Mapping[str, str] | None = None,
) -> str:
    """A lane for each name of `lanes`, a bar for each task, from the start to the end of `span`."""
    start, end = span
    scale = (_SPAN - _NAMES - 20) / ((end - start) or 1.0)
    colors = colors or colors_of(bar.group for bar in bars)
    top, bottom = 26, 26 + _LANE * len(lanes)
    ticks = "".join(_tick(step, x.text(step * (end - start) / 5), bottom) for step in range(6))
    names = "".join(
        f'<text class="name" x="6" y="{top + n * _LANE + 17}">{escape(lane)}</text>'
        for n, lane in enumerate(lanes)
    )
    drawn = "".join(_bar(bar, top, start, scale, colors[bar.group]) for bar in bars)
    title = (
        f'<text class="title" x="{(_NAMES + _SPAN) / 2}" y="{bottom + 18}" text-anchor="middle">'
        f"{escape(x.title)}</text>"
    )
    height = bottom + 26
    return legend(colors) + figure(
        f"{ticks}{names}{drawn}{title}", (_SPAN, height), name, most=1160
    )


def _tick(step: int, text: str, bottom: int) -> str:
    """A fifth of the span, with its time; the last text ends there, within the frame."""
    at = _NAMES + step / 5 * (_SPAN - _NAMES - 20)
    anchor = "end" if step == 5 else "middle"
    return (
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="20" y2="{bottom}"/>'
        f'<text x="{at:.1f}" y="14" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _bar(bar: Bar, top: float, start: float, scale: float, color: str) -> str:
    x, width = _NAMES + (bar.start - start) * scale, max((bar.end - bar.start) * scale, 0.6)
    y = top + bar.lane * _LANE + 2
    text = bar.label[: int(width / _LETTER) - 1] if width > 3 * _LETTER else ""
    label = f'<text class="on" x="{x + 3:.2f}" y="{y + 15}">{escape(text)}</text>' if text else ""
    return (
        f'<rect class="bar" x="{x:.2f}" y="{y}" width="{width:.2f}" height="{_LANE - 4}" '
        f'fill="{color}"><title>{escape(bar.tip)}</title></rect>{label}'
    )
