"""CSV files, read strictly: every row as long as the header, every fault with its line."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.cli.text_files import read_text
from deepseek_core.contracts.errors import InputError

_DELIMITERS: Final = ",;\t|"
_JSON: Final = re.compile(r'\s*(\{\s*"|\[\s*[\[{])')
_MOST_FIELD: Final = 1 << 24


@attrs.frozen(kw_only=True)
class TextTable:
    """Columns of text by name; `lines` are the numbers of the lines on which rows begin.

    `is_indexed` says that a first column without a name, as pandas and R write it, was left out.
    """

    path: Path
    columns: Mapping[str, Sequence[str]] = attrs.field(repr=False)
    lines: Sequence[int] = attrs.field(repr=False)
    is_indexed: bool = False

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
            raise InputError(
                f"{self.path} has no column {name!r}",
                remedy=f"did you mean {close[0]!r}?" if close else has,
            )
        return self.columns[name]

    def take(self, rows: Sequence[int]) -> TextTable:
        """These rows alone."""
        columns = {name: [texts[row] for row in rows] for name, texts in self.columns.items()}
        return attrs.evolve(self, columns=columns, lines=[self.lines[row] for row in rows])


def read_csv(
    path: Path, *, needs: Iterable[str] = (), delimiter: str | None = None, encoding: str = "utf-8"
) -> TextTable:
    """See `console.read_csv`."""
    text = read_text(path, encoding=encoding)
    if _JSON.match(text):
        raise InputError(
            f"{path} is JSON, not CSV",
            remedy="save it as CSV, such as by pandas: read_json(...).to_csv(..., index=False)",
        )
    rows = _rows(text, path, delimiter or _delimiter(text))
    if not rows:
        raise InputError(f"{path} is empty", remedy="give a header and rows")
    (_, header), *body = rows
    header = [name.strip() for name in header]
    _check_names(header, path)
    if not body:
        raise InputError(f"{path} has a header and no row", remedy="give rows")
    for line, row in body:
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(row)} cells, the header has {len(header)}",
                remedy="correct that line, or put quotes around a cell with a delimiter",
            )
    _check_unnamed(header, body, path)
    columns = {name: [row[at] for _, row in body] for at, name in enumerate(header) if name}
    lines = [line for line, _ in body]
    table = TextTable(path=path, columns=columns, lines=lines, is_indexed=not header[0])
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
        raise InputError(
            f"{path}, line {begins}: {error}", remedy="close the quote that begins there"
        ) from error
    return rows


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _check_names(header: Sequence[str], path: Path) -> None:
    twice = [name for name, count in Counter(filter(None, header)).items() if count > 1]
    if twice or not any(header):
        raise InputError(
            f"{path}: the header names {twice[0]!r} twice" if twice else f"{path} has no header",
            remedy="give each column a name of its own",
        )


def _check_unnamed(
    header: Sequence[str], body: Sequence[tuple[int, Sequence[str]]], path: Path
) -> None:
    """See that columns without a name, but for the first, are empty."""
    for at, name in enumerate(header):
        for line, row in body if at and not name else ():
            if row[at].strip():
                raise InputError(
                    f"{path}, line {line}: {row[at]!r} is in column {at + 1}, which has no name",
                    remedy="give each column a name of its own",
                )
