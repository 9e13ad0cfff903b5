"""Stacks with drawn weights, which need no training."""

from __future__ import annotations

import numpy as np

from deepseek_apps.ctr.features.map import FeatureMap, fit_features
from deepseek_apps.ctr.fitted import Stack
from deepseek_apps.ctr.network.recipe import make_model
from deepseek_apps.ctr.network.training import Network
from deepseek_apps.ctr.stack.combination import Combination
from deepseek_apps.ctr.table import Columns, Inputs, Table
from deepseek_apps.ctr.trees.boosting import BoostingSettings
from deepseek_apps.ctr.trees.members import fit_members

NUMBERS = ("price", "seconds", "age")
CATEGORIES = ("month", "shop")


def inputs_of(numbers: tuple[str, ...], categories: tuple[str, ...], seed: int) -> Inputs:
    random = np.random.default_rng(seed)
    given = random.lognormal(1.0, 3.0, (200, len(numbers))).astype(np.float32)
    given[random.uniform(size=given.shape) < 0.2] = np.nan
    texts = random.choice(["Feb", "May", "é", "a b", ""], (200, len(categories)))
    return Inputs(
        columns=Columns(numbers=numbers, categories=categories), numbers=given, categories=texts
    )


def network_of(kind: str, features: FeatureMap) -> Network:
    sizes = {
        "seed": 1, "members": 3, "rows": int(features.offsets[-1]),
        "fields": len(features.offsets) - 1, "numbers": len(features.numbers),
        "hidden": [8, 4], "width": 4, "dropout": 0.5,
    }  # fmt: skip
    model = make_model(kind, **sizes)
    random = np.random.default_rng(2)
    weights = {
        name: (0.3 * random.normal(size=tuple(value.shape))).astype(np.float32)
        for name, value in model.state_dict().items()
    }
    return Network(kind=kind, sizes=sizes, weights=weights)


def stack_of(
    models: tuple[str, ...], numbers: tuple[str, ...], categories: tuple[str, ...]
) -> Stack:
    given = inputs_of(numbers, categories, seed=0)
    features = fit_features(given, num_bins=8, min_count=2)
    target = np.random.default_rng(3).integers(0, 2, len(given))
    settings = BoostingSettings(rounds=5, leaves=6, least_in_leaf=5)
    fit = fit_members(
        features, Table(inputs=given, target=target), np.arange(len(given)) % 3, settings, 0
    )
    return Stack(
        features=features,
        networks={kind: network_of(kind, features) for kind in models if kind != "trees"},
        trees=fit.members if "trees" in models else None,
        combination=Combination(weights=dict.fromkeys(models, 0.4), bias=-0.3),
        split_hash="s",
        cpu_s=dict.fromkeys(models, 1.0),
    )
