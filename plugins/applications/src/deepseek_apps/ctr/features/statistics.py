"""Target statistics: the share of clicks of each category, drawn toward the mean of all.

A row's own target must not reach its features: rows that were fitted on get the statistic of the
other folds (Micci-Barreca 2001 for the shrinkage; Prokhorenkova et al., "CatBoost", NeurIPS 2018,
for what leaks without folds).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from deepseek_apps.ctr.table import Floats, Ints


@attrs.frozen(kw_only=True)
class Statistics:
    """The shrunken share of clicks by id, of one column."""

    shares: tuple[float, ...]

    def values(self, ids: Ints) -> Floats:
        """The statistic of each id."""
        found: Floats = np.array(self.shares, np.float32)[ids]
        return found


def fit_statistics(ids: Ints, target: Ints, num_ids: int, prior: float) -> Statistics:
    """Shares `(clicks + prior * mean) / (rows + prior)`: an unseen id has the mean."""
    mean = float(target.mean()) if len(target) else 0.5
    rows = np.bincount(ids, minlength=num_ids)
    clicks = np.bincount(ids, weights=target, minlength=num_ids)
    return Statistics(shares=tuple(((clicks + prior * mean) / (rows + prior)).tolist()))


def out_of_fold(ids: Ints, target: Ints, folds: Ints, sizes: Sequence[float]) -> Floats:
    """For each row the statistic of the folds that it is not in; `sizes` are ids and prior."""
    num_ids, prior = int(sizes[0]), float(sizes[1])
    found = np.zeros(len(ids), np.float32)
    for fold in np.unique(folds):
        inside = folds == fold
        fitted = fit_statistics(ids[~inside], target[~inside], num_ids, prior)
        found[inside] = fitted.values(ids[inside])
    return found
