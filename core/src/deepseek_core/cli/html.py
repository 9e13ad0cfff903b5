"""Pages that commands write: one self-contained HTML file each, in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from deepseek_core.contracts.files import whole_file
from deepseek_core.contracts.units import printable

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--line:#d0d7de;--box:#f6f8fa;
--mark:#1f5fbf;--page:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa4b2;--line:#3a4350;--box:#1b212a;
--mark:#6ea3ff;--page:#11151b}}
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1.2rem;
color:var(--ink);background:var(--page);overflow-wrap:anywhere}
.scroll{overflow-wrap:normal}
h1{font-size:1.5rem;margin:0 0 .4rem}h2{font-size:1.1rem;margin:1.8rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .3rem}
p.soft,td.soft{color:var(--soft)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.25rem 1rem .25rem 0;text-align:left;border-bottom:1px solid var(--line)}
td{min-width:4.5rem}
th{color:var(--soft);font-weight:600}tr.chosen td{font-weight:600}
svg{background:var(--box);border-radius:6px;width:100%;height:auto}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}
svg text.ink{fill:#1b1f24}
svg line{stroke:var(--line)}svg line.end{stroke:#c0392b;stroke-dasharray:4 3}
polyline{fill:none;stroke:var(--mark);stroke-width:1.5}circle{fill:var(--mark);fill-opacity:.6}
.scroll{overflow-x:auto}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-left:.8em}
"""
_WIDTH, _HEIGHT = 640, 140


def write_html(path: Path, title: str, body: str) -> None:
    """Write a page whole or not at all."""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(title)}</h1>{body}</html>\n"
    )
    with whole_file(path) as partial:  # no name in it may turn the direction of what follows
        partial.write_text(printable(text, keep="\n\t"), encoding="utf-8")


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], *, chosen: Iterable[int] = ()
) -> str:
    """A table; cells are escaped, the rows numbered in `chosen` stand out."""
    marked = set(chosen)
    top = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
    lines = "".join(
        f"<tr{' class=chosen' if number in marked else ''}>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{lines}</table></div>'


def line_chart(points: Sequence[tuple[float, float]], left: str, right: str, top: str) -> str:
    """A line through points in order of x; the texts stand at its ends and its highest value."""
    if len(points) < 2:
        return '<p class="soft">too short to draw</p>'
    x0, x1 = points[0][0], points[-1][0]
    highest = max(y for _, y in points) or 1.0
    drawn = " ".join(
        f"{(x - x0) / ((x1 - x0) or 1.0) * _WIDTH:.1f},{_HEIGHT - y / highest * (_HEIGHT - 16):.1f}"
        for x, y in points
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 16}" style="max-width:{_WIDTH}px" role="img">'
        f'<polyline points="{drawn}"/>'
        f'<text x="2" y="12">{escape(top)}</text>'
        f'<text x="2" y="{_HEIGHT + 13}">{escape(left)}</text>'
        f'<text x="{_WIDTH - 2}" y="{_HEIGHT + 13}" text-anchor="end">{escape(right)}</text></svg>'
    )
