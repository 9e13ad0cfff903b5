"""Rows over time: a column for each series, and the lines that a chart draws of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_observe.monitor.families import DEVICE, FAMILIES, Series

Values: TypeAlias = npt.NDArray[np.float32]
Times: TypeAlias = npt.NDArray[np.float64]

MOST_LINES: Final = 8
"""A chart of more series shows the lowest, the mean and the highest instead."""


@attrs.frozen(kw_only=True, eq=False)
class Table:
    """`values` (rows x series), float32, nan where a series had none; `times` (rows), seconds."""

    times: Times
    series: Sequence[Series]
    values: Values


def lines(table: Table, device: str | None = None) -> dict[str, dict[str, Values]]:
    """What the charts draw, by family and line; of one device, where a family knows devices."""
    columns: dict[str, list[tuple[int, str]]] = {}
    for number, (name, labels) in enumerate(table.series):
        family = FAMILIES[name]
        if family.panel and (device is None or family.labels != DEVICE or labels[0] == device):
            columns.setdefault(name, []).append((number, labels[0]))
    return {name: _lines(table.values, found) for name, found in columns.items()}


def _lines(values: Values, found: list[tuple[int, str]]) -> dict[str, Values]:
    if len(found) <= MOST_LINES:
        return {label: values[:, number] for number, label in found}
    columns = values[:, [number for number, _ in found]]
    there = ~np.isnan(columns)
    count = there.sum(axis=1)
    total = np.where(there, columns, 0).sum(axis=1, dtype=np.float64)
    mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return {
        "lowest": np.fmin.reduce(columns, axis=1),
        "mean": mean.astype(np.float32),
        "highest": np.fmax.reduce(columns, axis=1),
    }


def row_table(time_s: float, drawn: Mapping[Series, float]) -> Table:
    """A table of one row."""
    return Table(
        times=np.array([time_s]),
        series=list(drawn),
        values=np.array([list(drawn.values())], np.float32),
    )


class Recent:
    """The last rows, in memory.

    `_values` is a ring: row `_next` is the oldest once `_filled` is all. A new series gets a
    column; at most `_MOST_COLUMNS`, so that hostile names can't fill the memory.
    """

    _MOST_COLUMNS = 16_384

    def __init__(self, rows: int) -> None:
        self._times = np.full(rows, np.nan)
        self._values = np.full((rows, 64), np.nan, np.float32)
        self._columns: dict[Series, int] = {}
        self._next = self._filled = 0

    def add(self, time_s: float, drawn: Mapping[Series, float]) -> None:
        """Put a row in the place of the oldest; rows later than it are forgotten (a clock set)."""
        if self._filled and time_s <= np.nanmax(self._times):
            self.__init__(len(self._times))  # type: ignore[misc]
        row = self._next
        self._values[row] = np.nan
        self._times[row] = time_s
        for series, value in drawn.items():
            column = self._column(series)
            if column is not None:
                self._values[row, column] = value
        self._next = (row + 1) % len(self._times)
        self._filled = min(self._filled + 1, len(self._times))

    def table(self, since_s: float) -> Table:
        """The rows from that time on, oldest first."""
        order = (np.arange(self._filled) + (self._next - self._filled)) % len(self._times)
        order = order[self._times[order] >= since_s]
        used = len(self._columns)
        return Table(
            times=self._times[order], series=list(self._columns), values=self._values[order, :used]
        )

    def _column(self, series: Series) -> int | None:
        column = self._columns.get(series)
        if column is not None or len(self._columns) >= self._MOST_COLUMNS:
            return column
        column = self._columns[series] = len(self._columns)
        if column >= self._values.shape[1]:
            more = np.full_like(self._values, np.nan)
            self._values = np.concatenate([self._values, more], axis=1)
        return column
