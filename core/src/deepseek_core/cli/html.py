"""Pages that commands write: one self-contained HTML file each, in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from deepseek_core.cli.style import STYLE
from deepseek_core.contracts.files import whole_file
from deepseek_core.contracts.units import printable

_PHONE: Final = 340  # pixels between the margins of a narrow one


def write_html(path: Path, title: str, body: str) -> None:
    """Write a page whole or not at all."""
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
    with whole_file(path) as partial:  # no name in it may turn the direction of what follows
        partial.write_text(printable(text, keep="\n\t"), encoding="utf-8")


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    chosen: Iterable[int] = (),
    name: str = "",
) -> str:
    """A table; cells are escaped, the rows numbered in `chosen` stand out.

    `name` is what readers of the screen call it; by default that of its columns.
    """
    marked = set(chosen)
    top = "".join(f'<th scope="col">{escape(str(cell))}</th>' for cell in head)
    lines = "".join(
        f"<tr{' class=chosen' if number in marked else ''}>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    told = name or f"Table: {', '.join(map(str, head))}"
    return scrolled(f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>", told)


def scrolled(inside: str, name: str) -> str:
    """What may be wider than the page, in an area that the keyboard reaches and scrolls."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">{inside}</div>'
    )


def figure(inside: str, size: tuple[float, float], name: str, *, most: int | None = None) -> str:
    """An SVG of width and height, with its name for those who do not see it.

    It is drawn no smaller than `size` (pixels), so that its text stays readable: what is wider
    than a phone is scrolled. `most` is the width from which on it does not grow.
    """
    width, height = size
    least = "" if width <= _PHONE else f";min-width:{width:g}px"
    drawn = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'style="max-width:{most or width:g}px{least}"><title>{escape(name)}</title>{inside}</svg>'
    )
    return f"<figure>{drawn}</figure>" if width <= _PHONE else scrolled(drawn, name)


def legend(colors: Mapping[str, str]) -> str:
    """What each color stands for: text -> CSS color."""
    marks = " ".join(
        f'<span><i style="background:{color}"></i>{escape(text)}</span>'
        for text, color in colors.items()
    )
    return f'<p class="legend">{marks}</p>'
