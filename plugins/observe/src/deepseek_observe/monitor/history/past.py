"""What a chart shows of the past: lines, thinned to a few hundred points by means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from deepseek_observe.monitor.families import PANELS
from deepseek_observe.monitor.history.table import Table, Values, lines

POINTS: Final = 600


def charts(
    tables: Iterable[Table], since_s: float, until_s: float, device: str | None = None
) -> dict[str, Any]:
    """Times and, by family and line, values; None where there was none.

    A point is the mean of the rows in its slice of the time.
    """
    step_s = max((until_s - since_s) / POINTS, 1.0)
    slices = int((until_s - since_s) / step_s) + 1
    sums: dict[str, dict[str, tuple[Values, Values]]] = {family.name: {} for family in PANELS}
    seen = np.zeros(slices, bool)
    for table in tables:
        at = ((table.times - since_s) / step_s).astype(np.int64)
        inside = (at >= 0) & (at < slices)
        at = at[inside]
        seen[at] = True
        for name, of_family in sums.items():
            for line, values in lines(table, name, device).items():
                _add(of_family, line, at, values[inside], slices)
    kept = np.flatnonzero(seen)
    return {
        "t": [round(since_s + (number + 0.5) * step_s, 3) for number in kept.tolist()],
        "p": {
            name: {line: _means(total[kept], count[kept]) for line, (total, count) in found.items()}
            for name, found in sums.items()
            if found
        },
    }


def _add(
    of_family: dict[str, tuple[Values, Values]], line: str, at: Any, values: Values, slices: int
) -> None:
    if line not in of_family:
        of_family[line] = np.zeros(slices), np.zeros(slices)  # type: ignore[assignment]
    total, count = of_family[line]
    there = ~np.isnan(values)
    total += np.bincount(at[there], values[there], slices)
    count += np.bincount(at[there], minlength=slices)


def _means(total: Values, count: Values) -> list[float | None]:
    return [
        number(s / c) if c else None for s, c in zip(total.tolist(), count.tolist(), strict=True)
    ]


def number(value: float) -> float | None:
    """Five digits, as JSON: neither nan nor infinity is a number there."""
    return float(f"{value:.5g}") if np.isfinite(value) else None
