"""Measured costs as a JSON file, so that a fleet of like machines starts warm.

`{"schema": 1, "samples": [{"device", "stage", "latency", "batch", "seconds"}]}`
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.contracts.files import whole_file
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.runtime.history import Record

SCHEMA: Final = 1


@attrs.frozen(kw_only=True)
class Difference:
    """Median seconds of one key in two files; None where a file lacks it."""

    device: str
    stage: str
    latency: str
    batch: int
    before_s: float | None
    after_s: float | None

    @property
    def ratio(self) -> float | None:
        """How many times slower it became."""
        if self.before_s is None or self.after_s is None:
            return None
        return self.after_s / self.before_s


def write_costs(path: Path, records: Iterable[Record]) -> None:
    """Write a file whole or not at all."""
    content = {"schema": SCHEMA, "samples": [record._asdict() for record in records]}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_costs(path: Path) -> list[Record]:
    """The records of a file.

    Raises:
        ArtifactError: missing, no JSON, of another schema, or with a record that does not fit.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}", remedy="check the path") from error
    except ValueError as error:
        raise ArtifactError(f"{path} is not JSON: {error}", remedy=_REMEDY) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ArtifactError(f"{path} is not a cost file of schema {SCHEMA}", remedy=_REMEDY)
    rows = content.get("samples", [])
    if not isinstance(rows, list):
        raise ArtifactError(f"{path}: its samples must be a list", remedy=_REMEDY)
    return [_record(path, number, row) for number, row in enumerate(rows)]


_REMEDY: Final = "write it with `ds-sdk costs export FILE`"


def _record(path: Path, number: int, row: Any) -> Record:
    try:
        record = Record(
            device=str(row["device"]),
            stage=str(row["stage"]),
            latency=LatencyClass(row["latency"]).value,
            batch=int(row["batch"]),
            seconds=float(row["seconds"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ArtifactError(f"{path}: sample {number} does not fit: {error}") from error
    if record.batch < 1 or not (math.isfinite(record.seconds) and record.seconds > 0):
        raise ArtifactError(f"{path}: sample {number} has no positive batch and seconds")
    return record


def differences(before: Iterable[Record], after: Iterable[Record]) -> list[Difference]:
    """Medians side by side, the largest changes first."""
    old, new = _medians(before), _medians(after)
    rows = [
        Difference(
            device=key[0],
            stage=key[1],
            latency=key[2],
            batch=key[3],
            before_s=old.get(key),
            after_s=new.get(key),
        )
        for key in sorted({*old, *new})
    ]
    return sorted(rows, key=lambda row: -abs(math.log(row.ratio or 1.0)))


_Key = tuple[str, str, str, int]


def _medians(records: Iterable[Record]) -> dict[_Key, float]:
    groups: dict[_Key, list[float]] = {}
    for r in records:
        groups.setdefault((r.device, r.stage, r.latency, r.batch), []).append(r.seconds)
    return {key: median(seconds) for key, seconds in groups.items()}
