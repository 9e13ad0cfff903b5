"""From a user's table to prepared parts and their card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepseek_core import applications, errors
from deepseek_fusion.job.alphabet import Alphabet
from deepseek_fusion.job.items import Arrays, Form, arrays_of, taken, there, whole_frames
from deepseek_fusion.job.kept import write_parts
from deepseek_fusion.job.options import Options
from deepseek_fusion.job.splits import digest, leaks, split_hash, split_rows
from deepseek_fusion.job.table import Row, Table, read_table

_FEWEST_ROWS = 2


def prepare(
    source: Path, context: applications.ApplicationContext, options: Options
) -> applications.DataCard:
    """Read, check, split and write.

    Raises:
        InputError: data that can't be used; says which line.
    """
    table = read_table(source)
    prints = prints_of(table.rows)
    parts = split_rows(table.rows, prints, options.split_seed)
    form = form_of(table, parts["train"], options)
    arrays = arrays_of(
        table.rows, form, lambda done, of: context.progress(done, of, "reading files")
    )
    classes = np.array([form.labels.index(row.label) for row in table.rows], np.int64)
    kept = {name: (taken(arrays, rows), classes[rows]) for name, rows in parts.items() if rows}
    name = split_hash(parts, [_name(row) for row in table.rows])
    write_parts(context.data, form, name, kept)
    return applications.DataCard(
        source=options.source,
        license=options.license,
        parts={part: len(rows) for part, rows in parts.items() if rows},
        split=_told(table.rows),
        split_hash=name,
        warnings=(*leaks(parts, prints), *_thin(parts, classes, form)),
        notes=_coverage(arrays, form),
    )


def prints_of(rows: Sequence[Row]) -> list[frozenset[str]]:
    """Tell of each row what others may have in common with it: its group, picture and sound."""
    known: dict[Path, str] = {}
    return [frozenset(_prints(row, known)) for row in rows]


def _prints(row: Row, known: dict[Path, str]) -> list[str]:
    found = [f"group:{row.group}"] if row.group else []
    for kind, path in (("picture", row.picture), ("sound", row.sound)):
        if path is not None:
            if path not in known:
                known[path] = digest(_content(path, row.line))
            found.append(f"{kind}:{known[path]}")
    return found


def _content(path: Path, line: int) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.InputError(
            f"line {line}: {path} can't be read: {error.strerror}",
            remedy="correct the path: files lie below the table's folder",
        ) from error


def form_of(table: Table, train: Sequence[int], options: Options) -> Form:
    """Fit alphabet and labels on the training part.

    Raises:
        InputError: one class, or a label that no training row has.
    """
    rows = [table.rows[i] for i in train]
    labels = tuple(sorted({row.label for row in rows}))
    if len(labels) < 2 or len(rows) < _FEWEST_ROWS:
        raise errors.InputError(
            f"the training part has one class, {', '.join(labels)}",
            remedy="give rows of two classes or more",
        )
    for row in table.rows:
        if row.label not in labels:
            raise errors.InputError(
                f"line {row.line}: no training row has the label {row.label!r}",
                remedy="give the training part rows of each label",
            )
    return Form(
        modalities=table.modalities,
        labels=labels,
        characters=Alphabet.of(row.text for row in rows).characters,
        longest_text=options.longest_text,
        picture_size=options.picture_size,
        color=options.color,
        rate=options.rate,
        longest_sound=whole_frames(options.rate * options.seconds),
    )


def _name(row: Row) -> str:
    return digest("\n".join((str(row.line), row.text, row.label, row.group)).encode())


def _told(rows: Sequence[Row]) -> str:
    if rows[0].part:
        return "as the table's column `part` says"
    return "65/15/20 at random; rows with a common group, picture or sound stay together"


def _thin(parts: Mapping[str, Sequence[int]], classes: Any, form: Form) -> tuple[str, ...]:
    """Warn of classes that the test part has few of."""
    counts = Counter(int(classes[i]) for i in parts["test"])
    few = [form.labels[at] for at in range(len(form.labels)) if counts[at] < 5]
    return (f"fewer than 5 test rows of: {', '.join(few[:8])}",) if few else ()


def _coverage(arrays: Arrays, form: Form) -> tuple[str, ...]:
    rows = len(next(iter(arrays.values())))
    return tuple(
        f"{name} is there in {int(there(arrays, name).sum())} of {rows} rows"
        for name in form.modalities
    )
