"""Trees as a `TreeEnsembleRegressor` of ai.onnx.ml, which ONNX Runtime runs."""

from __future__ import annotations

import numpy as np

from deepseek_apps.ctr.export.preprocessing import Prepared
from deepseek_apps.ctr.export.writer import ML, GraphWriter
from deepseek_apps.ctr.features.map import FeatureMap
from deepseek_apps.ctr.table import Floats
from deepseek_apps.ctr.trees.forest import LEAF, Forest
from deepseek_apps.ctr.trees.members import TreeMembers


def write_trees(
    writer: GraphWriter, given: Prepared, features: FeatureMap, members: TreeMembers
) -> str:
    """Add the trees of all members; their mean log odds, (N, 1)."""
    parts = [given.raw] if given.raw else []
    if given.category_ids:
        parts += [
            _statistics(writer, given.category_ids, features, table) for table in members.tables
        ]
    inputs = writer.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    return write_forest(writer, inputs, members.forest)


def _statistics(writer: GraphWriter, ids: str, features: FeatureMap, table: Floats) -> str:
    starts = np.cumsum([0, *(field.num_ids for field in features.categories)])[None, :-1]
    at = writer.add("Add", ids, writer.constant(starts, np.int64))
    return writer.add("Gather", writer.constant(table), at)


def write_forest(writer: GraphWriter, inputs: str, forest: Forest) -> str:
    """Add a forest over inputs (N, I); its sum, (N, 1)."""
    sizes = np.diff([*forest.roots, len(forest.feature)])
    tree = np.repeat(np.arange(len(forest.roots)), sizes)
    first = np.repeat(forest.roots, sizes)
    leaf = forest.feature == LEAF
    inside = np.where(leaf, 0, 1)
    return writer.add(
        "TreeEnsembleRegressor", inputs, domain=ML,
        n_targets=1, aggregate_function="SUM", post_transform="NONE", base_values=[forest.base],
        nodes_treeids=tree.tolist(),
        nodes_nodeids=(np.arange(len(tree)) - first).tolist(),
        nodes_featureids=np.where(leaf, 0, forest.feature).tolist(),
        nodes_modes=["LEAF" if one else "BRANCH_LEQ" for one in leaf],
        nodes_values=forest.threshold.tolist(),
        nodes_truenodeids=((forest.left - first) * inside).tolist(),
        nodes_falsenodeids=((forest.right - first) * inside).tolist(),
        nodes_missing_value_tracks_true=forest.missing_left.astype(int).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=(np.arange(len(tree)) - first)[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=forest.value[leaf].tolist(),
    )  # fmt: skip
