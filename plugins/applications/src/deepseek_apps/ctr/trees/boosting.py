"""Histogram gradient boosting, with settings chosen on a validation part."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.ctr.measures import log_loss
from deepseek_apps.ctr.table import Floats, Ints

_MOST_ROUNDS: Final = 400


@attrs.frozen(kw_only=True)
class BoostingSettings:
    """What is tuned: the size of the trees, how fast they learn, and how many there are."""

    leaves: int = 15
    rate: float = 0.05
    least_in_leaf: int = 20
    features: float = 1.0
    rounds: int = 100


GRID: Final = tuple(
    BoostingSettings(leaves=leaves, rate=rate, least_in_leaf=least, features=features)
    for leaves, rate, least, features in itertools.product(
        (8, 15, 31), (0.03, 0.06), (20, 60), (0.4, 1.0)
    )
)
"""All combinations that tuning tries; the number of trees is found within each."""
SMALL_GRID: Final = tuple(one for one in GRID if one.rate == 0.06 and one.least_in_leaf == 20)
"""The combinations that a quick tuning tries."""
GRIDS: Final = {"full": GRID, "small": SMALL_GRID, "none": (BoostingSettings(),)}
"""What is tried, by the option's name; of one there is no choice."""


@attrs.frozen(kw_only=True, eq=False)
class Labeled:
    """Inputs (N, I) of trees, and targets (N)."""

    inputs: Floats
    target: Ints


def fit_boosting(
    data: Labeled, settings: BoostingSettings, seed: int, categories: Sequence[int] = ()
) -> Any:
    """A classifier of scikit-learn fitted on these rows; `categories` are columns of codes."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_leaf_nodes=settings.leaves,
        learning_rate=settings.rate,
        min_samples_leaf=settings.least_in_leaf,
        max_features=settings.features,
        max_iter=settings.rounds,
        categorical_features=list(categories) or None,
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(data.inputs, data.target)


def tuned(
    train: Labeled,
    validation: Labeled,
    grid: Sequence[BoostingSettings],
    categories: Sequence[int] = (),
) -> BoostingSettings:
    """The settings of the least validation log loss, over the grid and the number of trees."""
    best, least = grid[0], float("inf")
    if len(grid) == 1:
        return best
    for one in grid:
        most = attrs.evolve(one, rounds=_MOST_ROUNDS if one.rate < 0.05 else _MOST_ROUNDS // 2)
        model = fit_boosting(train, most, seed=0, categories=categories)
        losses = [
            log_loss(validation.target, staged[:, 1])
            for staged in model.staged_predict_proba(validation.inputs)
        ]
        rounds = int(np.argmin(losses)) + 1
        if losses[rounds - 1] < least:
            best, least = attrs.evolve(one, rounds=rounds), losses[rounds - 1]
    return best
