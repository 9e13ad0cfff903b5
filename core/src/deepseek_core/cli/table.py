"""Plain tables: aligned columns that fit a terminal and are never cut in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_GAP = 2
_NARROWEST = 24


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print to stdout; when a person watches, the last column wraps at the terminal's width."""
    print(render_table(header, rows, width=terminal_width()))


def render_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None
) -> str:
    """The table as text; with a `width` (columns) the last column wraps below itself."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header) - 1)]
    indent = sum(widths) + _GAP * len(widths)
    room = max(width - indent, _NARROWEST) if width else None
    return "\n".join(_line(line, widths, indent, room) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], indent: int, room: int | None) -> str:
    gap = " " * _GAP
    start = "".join(cell.ljust(w) + gap for cell, w in zip(cells[:-1], widths, strict=True))
    parts = _wrapped(cells[-1], room)
    return ("\n" + " " * indent).join([(start + parts[0]).rstrip(), *parts[1:]])


def _wrapped(text: str, room: int | None) -> list[str]:
    if room is None or len(text) <= room:
        return [text]
    from textwrap import wrap

    return wrap(text, room, break_long_words=False, break_on_hyphens=False)


def terminal_width() -> int | None:
    """Columns of the terminal; None in a pipe. `shutil` would import three compressors."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return 80
