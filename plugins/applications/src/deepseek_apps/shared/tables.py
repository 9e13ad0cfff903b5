"""CSV files, read strictly: every row as long as the header, every fault with its line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import attrs

from deepseek_apps.shared.text import read_text
from deepseek_core import errors

_DELIMITERS: Final = ",;\t|"
_MOST_FIELD: Final = 1 << 24


@attrs.frozen(kw_only=True)
class Table:
    """Columns of text by name; `lines` are the numbers of the lines on which rows begin."""

    path: Path
    columns: Mapping[str, Sequence[str]] = attrs.field(repr=False)
    lines: Sequence[int] = attrs.field(repr=False)

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Sequence[str]:
        """A column by its name.

        Raises:
            InputError: there is none; names the nearest.
        """
        if name not in self.columns:
            close = get_close_matches(name, self.columns, n=1)
            has = f"it has: {', '.join(self.columns)}"
            raise errors.InputError(
                f"{self.path} has no column {name!r}",
                remedy=f"did you mean {close[0]!r}?" if close else has,
            )
        return self.columns[name]

    def numbers(self, name: str) -> list[float | None]:
        """A column of finite numbers; None where a cell is empty.

        Raises:
            InputError: a cell that is none; says in which line.
        """
        return [
            _number(text, name, self.path, line)
            for text, line in zip(self.column(name), self.lines, strict=True)
        ]


def read_csv(
    path: Path, *, needs: Iterable[str] = (), delimiter: str | None = None, encoding: str = "utf-8"
) -> Table:
    """Read a CSV file with a header; the delimiter is that of , ; tab | which the header has most.

    Raises:
        InputError: no such file, another encoding, no header or row, a row of another length, a
            name twice, an open quote, or a column of `needs` that is not there; says in which line.
    """
    text = read_text(path, encoding=encoding)
    rows = _rows(text, path, delimiter or _delimiter(text))
    if not rows:
        raise errors.InputError(f"{path} is empty", remedy="give a header and rows")
    (_, header), *body = rows
    _check_header(header, path)
    if not body:
        raise errors.InputError(f"{path} has a header and no row", remedy="give rows")
    for line, row in body:
        if len(row) != len(header):
            raise errors.InputError(
                f"{path}, line {line}: {len(row)} cells, the header has {len(header)}",
                remedy="correct that line, or put quotes around a cell with a delimiter",
            )
    columns = {name: [row[at] for _, row in body] for at, name in enumerate(header)}
    table = Table(path=path, columns=columns, lines=[line for line, _ in body])
    for name in needs:
        table.column(name)
    return table


def _rows(text: str, path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, with the lines on which they begin."""
    csv.field_size_limit(_MOST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, begins = [], 1
    try:
        for row in reader:
            if row:
                rows.append((begins, row))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise errors.InputError(
            f"{path}, line {begins}: {error}", remedy="close the quote that begins there"
        ) from error
    return rows


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _check_header(header: Sequence[str], path: Path) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice or "" in header:
        raise errors.InputError(
            f"{path}: the header names {twice[0]!r} twice"
            if twice
            else f"{path}: the header has a column without a name",
            remedy="give each column a name of its own",
        )


def _number(text: str, name: str, path: Path, line: int) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise errors.InputError(
            f"{path}, line {line}: {name} is {text!r}, which is no finite number",
            remedy="correct it, or leave the cell empty where it is not known",
        )
    return value
