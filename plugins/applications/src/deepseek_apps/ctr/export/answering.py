"""Answers of an exported file to rows of a CSV file, through a session of the SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_apps.ctr.data.typing import inputs_like
from deepseek_apps.ctr.export.model import COLUMNS_KEY, FILE, OUTPUT, feeds_of
from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.table import Columns
from deepseek_core import console, errors

_BATCH: Final = 1024


def columns_of(path: Path) -> Columns:
    """The columns that an exported file reads.

    Raises:
        ArtifactError: it is missing, damaged, or another model.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(path)
        told = {one.key: one.value for one in model.metadata_props}[COLUMNS_KEY]
        return Columns(**json.loads(told))
    except (OSError, DecodeError, KeyError, ValueError, TypeError) as error:
        raise errors.ArtifactError(
            f"{path} is no exported click model: {error}", remedy="ds-sdk app ctr export"
        ) from error


def answers(
    target: Path, source: Path, options: Options, session: Any
) -> Iterator[Mapping[str, Any]]:
    """The probability of each row of a file.

    Raises:
        InputError: the file can't be read, or lacks a column.
    """
    given = console.read_csv(source, delimiter=options.delimiter or None, encoding=options.encoding)
    inputs = inputs_like(given, columns_of(target / FILE))
    graph = session.load(target / FILE)
    plans: dict[int, Any] = {}
    for start in range(0, len(inputs), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(inputs)))
        if len(rows) not in plans:
            plans[len(rows)] = session.plan(graph, batch=len(rows))
        result = plans[len(rows)].run(feeds_of(inputs.take(rows)))
        for row, found in zip(rows, result[OUTPUT], strict=True):
            yield {"file": source.name, "row": int(row) + 1, "probability": float(found)}
