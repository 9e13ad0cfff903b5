"""Trees of all folds: each member is fitted without its fold, their mean is the model.

Inputs of trees are the raw numbers and the target statistics of the categories. A member has
statistics of its own, fitted on its own rows: so the mean reads the numbers, and then a block of
statistics for each member.
Legend: N rows, M numbers, C categories, K members.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_apps.ctr.features.map import FeatureMap
from deepseek_apps.ctr.features.statistics import Statistics, fit_statistics, out_of_fold
from deepseek_apps.ctr.table import Floats, Inputs, Ints, Table
from deepseek_apps.ctr.trees.boosting import BoostingSettings, Labeled, fit_boosting
from deepseek_apps.ctr.trees.forest import LEAF, Forest, forest_of, joined

PRIOR = 20.0
"""Rows of the mean that each category's statistic is drawn toward."""


@attrs.frozen(kw_only=True, eq=False)
class TreeMembers:
    """The forest of all members, and their `tables`: statistics of all categories, end to end."""

    forest: Forest
    tables: tuple[Floats, ...]

    def inputs(self, features: FeatureMap, inputs: Inputs) -> Floats:
        """What the forest reads (N, M + K * C)."""
        ids = features.category_ids(inputs) + _starts(features)
        return np.concatenate((inputs.numbers, *(table[ids] for table in self.tables)), axis=1)

    def logits(self, features: FeatureMap, inputs: Inputs) -> npt.NDArray[np.float64]:
        """The mean log odds (N) of the members."""
        return self.forest.predict(self.inputs(features, inputs))


@attrs.frozen(kw_only=True, eq=False)
class TreeFit:
    """Members, and the out-of-fold log odds (N) of the rows that they were fitted on."""

    members: TreeMembers
    out_of_fold: npt.NDArray[np.float64]


def tree_inputs(features: FeatureMap, table: Table, folds: Ints) -> Labeled:
    """Rows to fit trees on: each row's statistics are those of the other folds."""
    ids = features.category_ids(table.inputs)
    columns = [
        out_of_fold(ids[:, at], table.target, folds, (field.num_ids, PRIOR))
        for at, field in enumerate(features.categories)
    ]
    numbers = table.inputs.numbers
    return Labeled(inputs=np.column_stack((numbers, *columns)), target=table.target)


def statistics_table(features: FeatureMap, table: Table) -> Floats:
    """The statistics of all ids of all categories, fitted on these rows, end to end."""
    ids = features.category_ids(table.inputs)
    fitted: list[Statistics] = [
        fit_statistics(ids[:, at], table.target, field.num_ids, PRIOR)
        for at, field in enumerate(features.categories)
    ]
    return np.array([share for one in fitted for share in one.shares], np.float32)


def fit_members(
    features: FeatureMap, table: Table, folds: Ints, settings: BoostingSettings, seed: int
) -> TreeFit:
    """Fit a member for each fold."""
    forests, tables = [], []
    found = np.zeros(len(table))
    for fold in range(int(folds.max()) + 1):
        inside = np.flatnonzero(folds == fold)
        rest = np.flatnonzero(folds != fold)
        kept = table.take(rest)
        one = statistics_table(features, kept)
        model = fit_boosting(tree_inputs(features, kept, folds[rest]), settings, seed + fold)
        forest = forest_of(model)
        alone = TreeMembers(forest=forest, tables=(one,))
        found[inside] = alone.logits(features, table.inputs.take(inside))
        forests.append(_moved(forest, features, fold))
        tables.append(one)
    members = TreeMembers(forest=joined(forests), tables=tuple(tables))
    return TreeFit(members=members, out_of_fold=found)


def _starts(features: FeatureMap) -> Ints:
    return np.cumsum([0, *(field.num_ids for field in features.categories)])[None, :-1]


def _moved(forest: Forest, features: FeatureMap, member: int) -> Forest:
    """The same trees, their statistics read from the block of a member."""
    first, width = len(features.numbers), len(features.categories)
    is_statistic = (forest.feature != LEAF) & (forest.feature >= first)
    return attrs.evolve(forest, feature=forest.feature + is_statistic * member * width)
