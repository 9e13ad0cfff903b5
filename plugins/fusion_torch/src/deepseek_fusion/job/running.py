"""Answers to a user's table by the exported model, through a session."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_core import Session, errors
from deepseek_fusion.job.items import Form, arrays_of
from deepseek_fusion.job.kept import read_facts
from deepseek_fusion.job.layout import ABOUT, MODEL
from deepseek_fusion.job.table import Row, read_table

_ROWS_AT_ONCE: Final = 64


def answers(target: Path, inputs: Sequence[Path], session: Session) -> Iterator[Mapping[str, Any]]:
    """Answer each row of each table: its label, how sure, and by which modalities.

    Raises:
        ArtifactError: the model and its description are not of one export.
        InputError: a row or a file that can't be read.
    """
    form = read_form(target)
    plans: dict[int, Any] = {}
    try:
        graph = session.load(target / MODEL)
        for path in inputs:
            table = read_table(path, labeled=False)
            for start in range(0, len(table.rows), _ROWS_AT_ONCE):
                rows = table.rows[start : start + _ROWS_AT_ONCE]
                _check_rows(rows, form)
                if len(rows) not in plans:
                    plans[len(rows)] = session.plan(graph, batch=len(rows))
                found = plans[len(rows)].run(arrays_of(rows, form))
                yield from _told(table.path, rows, form, np.asarray(found["probability"]))
    finally:
        for plan in plans.values():
            plan.close()


def read_form(target: Path) -> Form:
    """Read what the exported model takes, and see that the model is the one described.

    Raises:
        ArtifactError: it is not.
    """
    about = read_facts(target / ABOUT, remedy="give a folder that `export` wrote")
    try:
        content = (target / MODEL).read_bytes()
    except OSError as error:
        raise errors.ArtifactError(
            f"{target / MODEL} can't be read: {error.strerror}", remedy="export it again"
        ) from error
    if hashlib.sha256(content).hexdigest() != about.get("sha256"):
        raise errors.ArtifactError(
            f"{target / MODEL} is not the model that {ABOUT} describes: labels and vocabulary "
            "may be of another run",
            remedy="export both again, and move them together",
        )
    return Form.of_facts(about.get("form", {}), str(target / ABOUT))


def _check_rows(rows: Sequence[Row], form: Form) -> None:
    for row in rows:
        if not any(row.has(name) for name in form.modalities):
            raise errors.InputError(
                f"line {row.line} has none of the model's modalities, {', '.join(form.modalities)}",
                remedy="fill one in, or leave the row out",
            )


def _told(
    path: Path, rows: Sequence[Row], form: Form, probability: Any
) -> Iterator[Mapping[str, Any]]:
    for row, said in zip(rows, probability, strict=True):
        best = int(said.argmax())
        yield {
            "table": str(path),
            "line": row.line,
            "label": form.labels[best],
            "probability": round(float(said[best]), 4),
            "modalities": [name for name in form.modalities if row.has(name)],
        }
