"""What a chart shows of the past: lines, thinned to a few hundred points by means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from deepseek_observe.monitor.history.table import Table, Values, lines

POINTS: Final = 600
_Sums: TypeAlias = dict[str, dict[str, npt.NDArray[np.float64]]]
"""By family and line: sums and counts of each slice (2 x slices)."""


def rows(table: Table, device: str | None = None) -> dict[str, Any]:
    """Times and, by family and line, values; None where there was none."""
    drawn = {
        name: {line: [number(value) for value in values.tolist()] for line, values in found.items()}
        for name, found in lines(table, device).items()
    }
    return {"t": table.times.tolist(), "p": drawn}


def charts(
    tables: Iterable[Table], since_s: float, until_s: float, device: str | None = None
) -> dict[str, Any]:
    """The same of many tables: a point is the mean of the rows in its slice of the time."""
    step_s = max((until_s - since_s) / POINTS, 1.0)
    slices = int((until_s - since_s) / step_s) + 1
    sums: _Sums = {}
    seen = np.zeros(slices, bool)
    for table in tables:
        at = ((table.times - since_s) / step_s).astype(np.int64)
        inside = (table.times >= since_s) & (at < slices)
        if inside.any():
            seen[at[inside]] = True
            _add(sums, lines(table, device), np.where(inside, at, -1), slices)
    kept = np.flatnonzero(seen)
    return {
        "t": [round(since_s + (place + 0.5) * step_s, 3) for place in kept.tolist()],
        "p": {
            name: {line: _means(pair[:, kept]) for line, pair in found.items()}
            for name, found in sums.items()
        },
    }


def _add(sums: _Sums, drawn: dict[str, dict[str, Values]], at: Any, slices: int) -> None:
    """Add rows, each to the slice that `at` says (-1: to none), all lines of a family at once."""
    first, last = int(at[at >= 0].min()), int(at.max())
    # For each slice a row of ones where its rows are: a product with that sums them.
    weights = (at[None, :] == np.arange(first, last + 1)[:, None]).astype(np.float64)
    for name, found in drawn.items():
        values = np.stack(list(found.values()), axis=1).astype(np.float64)
        there = np.isfinite(values)
        totals = weights @ np.where(there, values, 0.0)
        counts = weights @ there
        of_family = sums.setdefault(name, {})
        for place, line in enumerate(found):
            pair = of_family.get(line)
            if pair is None:
                pair = of_family[line] = np.zeros((2, slices))
            pair[0, first : last + 1] += totals[:, place]
            pair[1, first : last + 1] += counts[:, place]


def _means(pair: npt.NDArray[np.float64]) -> list[float | None]:
    return [
        number(total / count) if count else None
        for total, count in zip(pair[0].tolist(), pair[1].tolist(), strict=True)
    ]


def number(value: float) -> float | None:
    """Five digits, as JSON: neither nan nor infinity is a number there."""
    return float(f"{value:.5g}") if np.isfinite(value) else None
