"""The parts of a split as tables, with the features of the training part."""

from __future__ import annotations

import attrs

from deepseek_apps.ctr.data.preparing import Data
from deepseek_apps.ctr.features.map import FeatureMap, fit_features
from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.table import Table


@attrs.frozen(kw_only=True, eq=False)
class Parts:
    """The tables of a split, and the feature map of its training part."""

    features: FeatureMap
    train: Table
    validation: Table
    test: Table
    split_hash: str


def parts_of(data: Data, options: Options, split_hash: str) -> Parts:
    """The parts of these data; features are fitted on the training part alone."""
    train = data.of("train")
    return Parts(
        features=fit_features(train.inputs, num_bins=options.bins, min_count=options.min_count),
        train=train,
        validation=data.of("validation"),
        test=data.of("test"),
        split_hash=split_hash,
    )
