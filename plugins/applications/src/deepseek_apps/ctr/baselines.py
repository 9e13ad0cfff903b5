"""The strongest simple models, beside which ours stands: linear ones and boosted trees.

All are fitted on the same training part, and tuned on the same validation part.
"""

from __future__ import annotations

import time
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.ctr.data.parts import Parts
from deepseek_apps.ctr.measures import Reals, log_loss
from deepseek_apps.ctr.table import Floats, Inputs, Ints, Table
from deepseek_apps.ctr.trees.boosting import (
    GRIDS,
    BoostingSettings,
    Labeled,
    fit_boosting,
    tuned,
)
from deepseek_apps.ctr.trees.members import statistics_table, tree_inputs

RAW: Final = "logistic regression, raw"
BINNED: Final = "logistic regression, bins"
BOOSTING: Final = "histogram gradient boosting"
_MOST_CODES: Final = 254
"""Categories that scikit-learn's trees split by; more become target statistics."""
_STRENGTHS: Final = (0.01, 0.1, 1.0)


@attrs.frozen(kw_only=True, eq=False)
class Baseline:
    """Probabilities (N) of the test part, and what the model took."""

    name: str
    probabilities: Reals
    parameters: int
    cpu_s: float


def raw_regression(parts: Parts) -> Baseline:
    """Numbers as they are, scaled to one spread, and a weight for each category."""
    filled = np.nan_to_num(np.nanmean(_or_nan(parts.train.inputs.numbers), axis=0))

    def numbers(inputs: Inputs) -> Any:
        return np.where(np.isnan(inputs.numbers), filled, inputs.numbers).astype(np.float64)

    given = numbers(parts.train.inputs)
    mean, spread = given.mean(axis=0), given.std(axis=0)
    spread[spread == 0] = 1.0

    def matrix(inputs: Inputs) -> Any:
        from scipy import sparse

        ids = parts.features.encode(inputs).ids[:, len(parts.features.numbers) :]
        scaled = (numbers(inputs) - mean) / spread
        return sparse.hstack((scaled, _one_hot(ids, int(parts.features.offsets[-1]))), format="csr")

    return _regression(RAW, parts, matrix)


def binned_regression(parts: Parts) -> Baseline:
    """A weight for each bin of each number, and for each category."""

    def matrix(inputs: Inputs) -> Any:
        return _one_hot(parts.features.encode(inputs).ids, int(parts.features.offsets[-1]))

    return _regression(BINNED, parts, matrix)


def boosting(parts: Parts, folds: Ints, tuning: str, seed: int) -> Baseline:
    """Trees on raw numbers and on categories as categories, their settings tuned."""
    start_s = time.process_time()
    train, validation, test, codes = _boosting_inputs(parts, folds)
    settings = tuned(train, validation, GRIDS[tuning], codes)
    model = fit_boosting(train, settings, seed, codes)
    return Baseline(
        name=BOOSTING,
        probabilities=model.predict_proba(test.inputs)[:, 1],
        parameters=sum(len(one[0].nodes) for one in model._predictors),
        cpu_s=time.process_time() - start_s,
    )


def tuned_trees(parts: Parts, folds: Ints, tuning: str) -> BoostingSettings:
    """The settings of our own trees, over the statistics that they read."""
    train = tree_inputs(parts.features, parts.train, folds)
    table = statistics_table(parts.features, parts.train)
    starts = np.cumsum([0, *(field.num_ids for field in parts.features.categories)])[:-1]
    ids = parts.features.category_ids(parts.validation.inputs) + starts
    inputs = np.column_stack((parts.validation.inputs.numbers, table[ids]))
    validation = Labeled(inputs=inputs, target=parts.validation.target)
    return tuned(train, validation, GRIDS[tuning])


def _boosting_inputs(parts: Parts, folds: Ints) -> tuple[Labeled, Labeled, Labeled, list[int]]:
    """Rows of each part; columns of few categories are codes, others target statistics."""
    features, first = parts.features, len(parts.features.numbers)
    few = [field.num_ids <= _MOST_CODES for field in features.categories]
    fitted = tree_inputs(features, parts.train, folds).inputs
    table = statistics_table(features, parts.train)
    starts = np.cumsum([0, *(field.num_ids for field in features.categories)])[:-1]

    def labeled(one: Table, statistics: Floats) -> Labeled:
        ids = features.category_ids(one.inputs)
        columns = np.where(few, ids, statistics) if len(few) else statistics
        return Labeled(inputs=np.column_stack((one.inputs.numbers, columns)), target=one.target)

    def later(one: Table) -> Labeled:
        return labeled(one, table[features.category_ids(one.inputs) + starts])

    codes = [first + at for at, is_few in enumerate(few) if is_few]
    return (
        labeled(parts.train, fitted[:, first:]),
        later(parts.validation),
        later(parts.test),
        codes,
    )


def _regression(name: str, parts: Parts, matrix: Any) -> Baseline:
    """A logistic regression whose strength of penalty is chosen on the validation part."""
    from sklearn.linear_model import LogisticRegression

    start_s = time.process_time()
    train, validation = matrix(parts.train.inputs), matrix(parts.validation.inputs)
    fitted = [
        LogisticRegression(C=strength, max_iter=2000).fit(train, parts.train.target)
        for strength in _STRENGTHS
    ]
    losses = [
        log_loss(parts.validation.target, model.predict_proba(validation)[:, 1]) for model in fitted
    ]
    best = fitted[int(np.argmin(losses))]
    return Baseline(
        name=name,
        probabilities=best.predict_proba(matrix(parts.test.inputs))[:, 1],
        parameters=best.coef_.size + 1,
        cpu_s=time.process_time() - start_s,
    )


def _one_hot(ids: Ints, width: int) -> Any:
    from scipy import sparse

    rows = np.repeat(np.arange(len(ids)), ids.shape[1])
    return sparse.csr_matrix((np.ones(ids.size), (rows, ids.ravel())), shape=(len(ids), width))


def _or_nan(numbers: Floats) -> Floats:
    """The same; a zero for a column without any number, whose mean would warn."""
    empty = np.isnan(numbers).all(axis=0)
    return np.where(empty, np.float32(0), numbers)
