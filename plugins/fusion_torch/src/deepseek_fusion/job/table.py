"""The user's table: a CSV file whose rows name a text, a picture, a sound and a label.

    text,picture,sound,label,group,part
    sewen,pictures/7_01.png,sounds/7_01.wav,7,anna,train

One or more of `text`, `picture` and `sound` are needed as columns, and `label`. An empty cell is a
missing modality; a row needs one. `group` (a speaker, a product) is never divided between parts;
`part` (train, validation, test) takes the split out of our hands. Files lie below the table's
folder, or have an absolute path. It is UTF-8.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import errors

MODALITIES: Final = ("text", "picture", "sound")
PARTS: Final = ("train", "validation", "test")
_KNOWN: Final = (*MODALITIES, "label", "group", "part")
_LONGEST_CELL: Final = 100_000


@attrs.frozen(kw_only=True)
class Row:
    """One row; `line` is where it stands, an empty text is a missing modality.

    `picture` and `sound` are paths, None where there is none.
    """

    line: int
    text: str
    picture: Path | None
    sound: Path | None
    label: str
    group: str = ""
    part: str = ""

    def has(self, modality: str) -> bool:
        """Whether the row has that modality."""
        return bool(getattr(self, modality))


@attrs.frozen(kw_only=True)
class Table:
    """All rows of a file, and which modalities it has columns for."""

    path: Path
    modalities: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, *, labeled: bool = True) -> Table:
    """Read a table; `labeled` is false where it is to be answered.

    Raises:
        InputError: it is no such table; says which line.
    """
    if path.is_dir():
        path = path / "table.csv"
    lines = list(_lines(path))
    if not lines:
        raise errors.InputError(f"{path} is empty", remedy="write a header and rows")
    header = _header(path, lines[0][1], labeled=labeled)
    rows = tuple(_row(path, number, dict(zip(header, cells, strict=True)), labeled)
                 for number, cells in _checked(path, header, lines[1:]))  # fmt: skip
    if not rows:
        raise errors.InputError(f"{path} has no rows below its header", remedy="add rows")
    return Table(path=path, modalities=tuple(m for m in MODALITIES if m in header), rows=rows)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, [cell.strip() for cell in cells]
    except OSError as error:
        raise errors.InputError(
            f"{path} can't be read: {error.strerror}", remedy="give a CSV file, or its folder"
        ) from error
    except UnicodeDecodeError as error:
        raise errors.InputError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}",
            remedy=f"convert it: iconv -f WINDOWS-1252 -t UTF-8 {path.name}",
        ) from error
    except csv.Error as error:
        raise errors.InputError(
            f"{path} is not CSV: {error}", remedy="quote cells that have commas or quotes in them"
        ) from error


def _header(path: Path, cells: Sequence[str], *, labeled: bool) -> tuple[str, ...]:
    names = tuple(cell.lower() for cell in cells)
    unknown = [name for name in names if name not in _KNOWN]
    if unknown or len(set(names)) < len(names):
        raise errors.InputError(
            f"{path}: the header is {','.join(cells)}",
            remedy=f"each column once, of {', '.join(_KNOWN)}",
        )
    if not set(names) & set(MODALITIES) or (labeled and "label" not in names):
        raise errors.InputError(
            f"{path}: the header {','.join(cells)} lacks a column",
            remedy=f"one or more of {', '.join(MODALITIES)}" + (", and label" if labeled else ""),
        )
    return names


def _checked(
    path: Path, header: Sequence[str], lines: Sequence[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    for number, cells in lines:
        if len(cells) != len(header):
            raise errors.InputError(
                f"{path} line {number}: {len(cells)} cells below {len(header)} columns",
                remedy="give each column a cell, empty where there is nothing",
            )
        yield number, cells


def _row(path: Path, line: int, cells: dict[str, str], labeled: bool) -> Row:
    at = f"{path} line {line}"
    if not any(cells.get(name) for name in MODALITIES):
        raise errors.InputError(
            f"{at}: no text, no picture and no sound", remedy="fill one in, or leave the row out"
        )
    if labeled and not cells["label"]:
        raise errors.InputError(f"{at}: no label", remedy="fill it in, or leave the row out")
    part = cells.get("part", "")
    if "part" in cells and labeled and part not in PARTS:
        raise errors.InputError(
            f"{at}: the part is {part!r}", remedy=f"write one of {', '.join(PARTS)} in each row"
        )
    files = {name: path.parent / cells[name] for name in ("picture", "sound") if cells.get(name)}
    return Row(
        line=line,
        text=cells.get("text", ""),
        picture=files.get("picture"),
        sound=files.get("sound"),
        label=cells.get("label", ""),
        group=cells.get("group", ""),
        part=part,
    )
