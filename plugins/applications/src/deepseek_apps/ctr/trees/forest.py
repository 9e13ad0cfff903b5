"""Trees as flat arrays, which need no library to be read and no pickle to be stored.

Legend: N rows, I inputs, T trees, V nodes of all trees together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_apps.ctr.table import Floats, Ints
from deepseek_core import errors

LEAF = -1
"""The feature of a leaf."""


@attrs.frozen(kw_only=True, eq=False)
class Forest:
    """The sum of trees: a row goes left where its input is at most the threshold.

    `roots` (T) are the numbers of the first nodes; of each node (V) there are its `feature`,
    `threshold`, `left` and `right`, whether a missing input goes left, and its `value`.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    missing_left: npt.NDArray[np.bool_]
    value: npt.NDArray[np.float64]
    base: float

    def predict(self, inputs: Floats) -> npt.NDArray[np.float64]:
        """The sum (N) over all trees for inputs (N, I), which may be NaN."""
        total = np.full(len(inputs), self.base)
        for root in self.roots:
            total += self.value[self._leaves(int(root), inputs)]
        return total

    def _leaves(self, root: int, inputs: Floats) -> Ints:
        at = np.full(len(inputs), root)
        moving = np.flatnonzero(self.feature[at] != LEAF)
        while len(moving):
            node = at[moving]
            given = inputs[moving, self.feature[node]]
            goes_left = np.where(
                np.isnan(given), self.missing_left[node], given <= self.threshold[node]
            )
            at[moving] = np.where(goes_left, self.left[node], self.right[node])
            moving = moving[self.feature[at[moving]] != LEAF]
        return at

    @property
    def num_parameters(self) -> int:
        """Thresholds and values of leaves."""
        return len(self.feature)


def joined(forests: Sequence[Forest]) -> Forest:
    """The mean of forests, as one."""
    starts = np.cumsum([0, *(len(one.feature) for one in forests)])
    return Forest(
        roots=np.concatenate([f.roots + s for f, s in zip(forests, starts, strict=False)]),
        feature=np.concatenate([f.feature for f in forests]),
        threshold=np.concatenate([f.threshold for f in forests]),
        left=np.concatenate([f.left + s for f, s in zip(forests, starts, strict=False)]),
        right=np.concatenate([f.right + s for f, s in zip(forests, starts, strict=False)]),
        missing_left=np.concatenate([f.missing_left for f in forests]),
        value=np.concatenate([f.value for f in forests]) / len(forests),
        base=float(np.mean([f.base for f in forests])),
    )


def forest_of(model: Any) -> Forest:
    """The trees of a binary `HistGradientBoostingClassifier`, without categorical splits.

    Raises:
        InputError: it has more than two classes, or splits by category.
    """
    trees = [iteration[0].nodes for iteration in model._predictors]
    if any(len(iteration) != 1 for iteration in model._predictors):
        raise errors.InputError("these trees tell more than two classes", remedy="give two")
    nodes = np.concatenate(trees)
    if nodes["is_categorical"].any():
        raise errors.InputError(
            "these trees split by category, which is not written here",
            remedy="give categories as target statistics, and no categorical_features",
        )
    roots = np.cumsum([0, *(len(tree) for tree in trees[:-1])])
    shift = np.repeat(roots, [len(tree) for tree in trees])
    leaf = nodes["is_leaf"].astype(bool)
    return Forest(
        roots=roots,
        feature=np.where(leaf, LEAF, nodes["feature_idx"]).astype(np.int64),
        threshold=rounded_down(np.where(leaf, 0.0, nodes["num_threshold"])),
        left=nodes["left"].astype(np.int64) + shift,
        right=nodes["right"].astype(np.int64) + shift,
        missing_left=nodes["missing_go_to_left"].astype(bool),
        value=np.where(leaf, nodes["value"], 0.0),
        base=float(np.ravel(model._baseline_prediction)[0]),
    )


def rounded_down(thresholds: npt.NDArray[np.float64]) -> Floats:
    """The largest float32 at or below each threshold.

    An input in float32 is then at most one exactly when it is at most the other; rounding to
    the nearest would send inputs between them to the other side.
    """
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
    above = near.astype(np.float64) > thresholds
    found: Floats = np.where(above, np.nextafter(near, np.float32(-np.inf)), near)
    return found
