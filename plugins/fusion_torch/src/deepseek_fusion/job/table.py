"""The user's table: a CSV file whose rows name a text, a picture, a sound and a label.

    text,picture,sound,label,group,part
    sewen,pictures/7_01.png,sounds/7_01.wav,7,anna,train

One or more of `text`, `picture` and `sound` are needed as columns, and `label`. An empty cell is a
missing modality; a row needs one. `group` (a speaker, a product) is never divided between parts;
`part` (train, validation, test) takes the split out of our hands. Files lie below the table's
folder, or have an absolute path. It is UTF-8, plain or gzip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from deepseek_core import console, errors

MODALITIES: Final = ("text", "picture", "sound")
PARTS: Final = ("train", "validation", "test")
_KNOWN: Final = (*MODALITIES, "label", "group", "part")


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
    given = console.read_csv(path)
    _check_header(given, labeled=labeled)
    columns = {name.lower(): texts for name, texts in given.columns.items()}
    rows = tuple(
        _row(path, line, {name: texts[at].strip() for name, texts in columns.items()}, labeled)
        for at, line in enumerate(given.lines)
    )
    return Table(path=path, modalities=tuple(m for m in MODALITIES if m in columns), rows=rows)


def _check_header(given: console.TextTable, *, labeled: bool) -> None:
    names = [name.lower() for name in given.columns]
    unknown = [name for name in names if name not in _KNOWN]
    if unknown or len(set(names)) < len(names):
        raise errors.InputError(
            f"{given.path}: the header is {','.join(given.columns)}",
            remedy=f"each column once, of {', '.join(_KNOWN)}",
        )
    if not set(names) & set(MODALITIES) or (labeled and "label" not in names):
        raise errors.InputError(
            f"{given.path}: the header {','.join(given.columns)} lacks a column",
            remedy=f"one or more of {', '.join(MODALITIES)}" + (", and label" if labeled else ""),
        )


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
