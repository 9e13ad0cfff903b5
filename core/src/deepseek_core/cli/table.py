"""Plain tables: aligned columns that fit a terminal and are never cut in a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from deepseek_core.cli.answer import stream, write
from deepseek_core.contracts.units import printable

Look = Callable[[str], str]
Looks = tuple[Look, Look]
"""How the header and the cells are colored."""

_GAP = 2
_NARROWEST = 24


def _plain(text: str) -> str:
    return text


PLAIN: Looks = (_plain, _plain)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print to stdout, as wide as the terminal; in a pipe each row is one line."""
    looks, out = PLAIN, stream()
    if out is not None and (out.isatty() or os.environ.get("FORCE_COLOR")):
        from deepseek_core.cli.color import bold, has_color, toned

        looks = (bold, toned) if has_color(out) else PLAIN
    write(render_table(header, rows, width=terminal_width(), looks=looks) + "\n")


def render_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    looks: Looks = PLAIN,
) -> str:
    """The table as text; with a `width` (columns) no line is longer, whatever the cells hold.

    The last column wraps below itself. Where there is no space for that, it stands below its row,
    and where the others have none, each row becomes a block with a line for each cell. `looks`
    color the header and the cells once their places are known.
    """
    lines = [tuple(header), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header) - 1)]
    indent = sum(widths) + _GAP * len(widths)
    longest = max(len(line[-1]) for line in lines)
    room = None if width is None else width - indent
    head, cell = looks
    if width is None or room is None or room >= min(longest, _NARROWEST):
        of_rows = [_line(line, widths, room, cell) for line in lines[1:]]
        return "\n".join([_line(lines[0], widths, room, head), *of_rows])
    if indent - _GAP <= width:
        of_rows = [_with_note(line, widths, width, cell) for line in lines[1:]]
        return "\n".join([_line((*lines[0][:-1], ""), widths, None, head), *of_rows])
    return "\n\n".join(_block(header, line, width, cell) for line in lines[1:])


def _line(cells: Sequence[str], widths: Sequence[int], room: int | None, look: Look) -> str:
    padded = zip(cells[:-1], widths, strict=True)
    start = "".join(look(cell) + " " * (w - len(cell) + _GAP) for cell, w in padded)
    first, *rest = wrapped(cells[-1], room)
    below = "\n" + " " * (sum(widths) + _GAP * len(widths))
    return below.join([(start + look(first)).rstrip(), *rest])


def _with_note(cells: Sequence[str], widths: Sequence[int], width: int, look: Look) -> str:
    """A row with its last cell below it."""
    indent = " " * 2 * _GAP
    notes = wrapped(cells[-1], width - len(indent)) if cells[-1] else []
    return f"\n{indent}".join([_line((*cells[:-1], ""), widths, None, look), *notes])


def _block(header: Sequence[str], cells: Sequence[str], width: int, look: Look) -> str:
    """A row under its first cell: `  NAME  value`, without the cells that say nothing."""
    pairs = [(n, c) for n, c in zip(header[1:], cells[1:], strict=True) if c not in ("", "-")]
    label = max((len(name) for name, _ in pairs), default=0)
    indent = min(_GAP + label + _GAP, width // 2)
    lines = wrapped(cells[0], width)
    for name, cell in pairs:
        first, *rest = wrapped(cell, width - indent)
        shown = name[: max(indent - 2 * _GAP, 1)].ljust(indent - 2 * _GAP)
        lines.append(" " * _GAP + shown + " " * _GAP + look(first))
        lines += [" " * indent + part for part in rest]
    return "\n".join(lines)


def print_text(text: str) -> None:
    """Print lines to stdout, at a terminal wrapped to its width; in a pipe each is whole."""
    write(fitted(printable(text, keep="\n"), terminal_width()) + "\n")


def fitted(text: str, width: int | None) -> str:
    """The text with each long line wrapped below its own beginning."""
    if width is None:
        return text
    found = []
    for line in text.splitlines():
        indent = min(len(line) - len(line.lstrip()) + _GAP, width // 2)
        first, *rest = wrapped(line, width) if len(line) > width else [line]
        below = wrapped(" ".join(rest), width - indent) if rest else []
        found += [first, *(" " * indent + part for part in below)]
    return "\n".join(found)


def wrapped(text: str, room: int | None) -> list[str]:
    """The text in lines of `room` columns; between words where that is possible."""
    if room is None or len(text) <= room:
        return [text]
    from textwrap import wrap

    return wrap(text, max(room, 1), break_on_hyphens=False, replace_whitespace=False) or [""]


def terminal_width() -> int | None:
    """Columns of the terminal; None in a pipe. `shutil` would import three compressors."""
    out = stream()
    if out is None or not out.isatty():
        return None
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    try:
        return os.get_terminal_size(out.fileno()).columns
    except OSError:
        return 80
