"""From a user's file to the folder that all other steps read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs
import numpy as np

from deepseek_apps.ctr.arrays import load_arrays, save_arrays
from deepseek_apps.ctr.data.leaking import codes_perhaps, names_perhaps, warnings_of
from deepseek_apps.ctr.data.splitting import marks_of, split_rows, told
from deepseek_apps.ctr.data.typing import labeled, target_of, typed_inputs
from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.table import Columns, Inputs, Ints, Table
from deepseek_apps.shared.splits import PARTS, Split
from deepseek_core import applications, console, errors

ROWS: Final = "rows.npz"


@attrs.frozen(kw_only=True, eq=False)
class Data:
    """The rows of a job: `part` (N) numbers `PARTS`, `ids` (N) name rows."""

    table: Table
    part: Ints
    ids: tuple[str, ...]

    def of(self, part: str) -> Table:
        """The rows of a part."""
        return self.table.take(self.rows_of(part))

    def rows_of(self, part: str) -> Ints:
        """The numbers of the rows of a part."""
        return np.flatnonzero(self.part == PARTS.index(part))


def read_data(source: Path, options: Options) -> tuple[Data, applications.DataCard]:
    """The rows of a file, split, and the card that says what they are.

    Raises:
        InputError: it can't be read, typed or split; says which line and what to do.
    """
    read = console.read_csv(source, delimiter=options.delimiter or None, encoding=options.encoding)
    given, missing = labeled(read, options)
    target = target_of(given, options)
    table = Table(inputs=typed_inputs(given, options), target=target)
    marks = marks_of(given, table.inputs, target, options)
    split = split_rows(target, marks, options)
    data = Data(table=table, part=_part(split, len(table)), ids=tuple(marks.ids))
    card = applications.DataCard(
        source=options.source or source.name,
        license=options.license or "not stated",
        parts=split.counts,
        split=told(options),
        split_hash=split.hash,
        warnings=[*_left_out(missing, options), *warnings_of(table, marks, split.parts, options)],
        notes=[
            _facts(table),
            *codes_perhaps(table),
            *names_perhaps(table, options),
            *_index(read),
        ],
    )
    return data, card


def _part(split: Split, rows: int) -> Ints:
    part = np.zeros(rows, np.int64)
    for number, name in enumerate(PARTS):
        part[list(split.parts[name])] = number
    return part


def _left_out(missing: int, options: Options) -> list[str]:
    return [f"{missing:,} rows without {options.target} were left out"] if missing else []


def _index(read: console.TextTable) -> list[str]:
    if not read.is_indexed:
        return []
    return ["the first column has no name, so it numbers rows or names them: it was left out"]


def _facts(table: Table) -> str:
    columns = table.inputs.columns
    return (
        f"{len(table):,} rows, {table.target.mean():.1%} clicks; "
        f"numbers: {', '.join(columns.numbers) or 'none'}; "
        f"categories: {', '.join(columns.categories) or 'none'}"
    )


def write_data(data: Data, folder: Path) -> None:
    """Write the rows into a folder that exists."""
    inputs = data.table.inputs
    arrays = {
        "numbers": inputs.numbers,
        "categories": inputs.categories,
        "target": data.table.target,
        "part": data.part,
        "ids": np.array(data.ids),
        "columns": np.array(json.dumps(attrs.asdict(inputs.columns))),
    }
    save_arrays(folder / ROWS, arrays)


def load_data(folder: Path) -> Data:
    """The rows that `write_data` wrote.

    Raises:
        ArtifactError: they are not there, or damaged.
    """
    held = load_arrays(folder / ROWS)
    try:
        columns = Columns(**json.loads(str(held["columns"])))
        inputs = Inputs(columns=columns, numbers=held["numbers"], categories=held["categories"])
        table = Table(inputs=inputs, target=held["target"])
        return Data(table=table, part=held["part"], ids=tuple(held["ids"].tolist()))
    except (ValueError, KeyError, TypeError) as error:
        raise errors.ArtifactError(
            f"{folder / ROWS} is of another version: {error}", remedy="prepare the data again"
        ) from error
