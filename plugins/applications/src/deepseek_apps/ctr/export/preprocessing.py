"""The feature map as nodes of a graph: the same bins, logarithms and ids, to the bit of an id.

Legend: N rows, M columns of numbers, C columns of categories, E edges.
"""

from __future__ import annotations

import attrs
import numpy as np

from deepseek_apps.ctr.export.writer import ML, GraphWriter
from deepseek_apps.ctr.features.map import FeatureMap
from deepseek_apps.ctr.features.numbers import MISSING
from deepseek_apps.ctr.features.vocabulary import UNKNOWN
from deepseek_apps.ctr.table import LARGEST

NUMBERS = "numbers"
CATEGORIES = "categories"


@attrs.frozen(kw_only=True)
class Prepared:
    """Names of values: `ids` (N, F) with offsets, `numbers` (N, M), `raw` (N, M) with NaN.

    `category_ids` (N, C) are without offsets. One that no column has is None.
    """

    ids: str
    numbers: str | None
    raw: str | None
    category_ids: str | None


def write_preprocessing(writer: GraphWriter, features: FeatureMap) -> Prepared:
    """Add the nodes that encode raw inputs."""
    parts, numbers, raw, category_ids = [], None, None, None
    if features.numbers:
        missing = writer.add("IsNaN", NUMBERS)
        bounds = writer.constant(-LARGEST), writer.constant(LARGEST)
        # zero before anything else: what operators make of NaN is their own affair
        filled = writer.add("Where", missing, writer.constant(0.0), NUMBERS)
        held = writer.add("Clip", filled, *bounds)
        parts.append(_bins(writer, features, held, missing))
        numbers = _scaled(writer, features, held, missing)
        raw = writer.add("Where", missing, writer.constant(np.nan), held)
    if features.categories:
        category_ids = _category_ids(writer, features)
        parts.append(category_ids)
    joined = writer.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    ids = writer.add("Add", joined, writer.constant(features.offsets[None, :-1], np.int64))
    return Prepared(ids=ids, numbers=numbers, raw=raw, category_ids=category_ids)


def _bins(writer: GraphWriter, features: FeatureMap, held: str, missing: str) -> str:
    most = max(1, *(len(field.edges) for field in features.numbers), 1)
    edges = np.full((1, len(features.numbers), most), np.inf, np.float32)
    for at, field in enumerate(features.numbers):
        edges[0, at, : len(field.edges)] = field.edges
    column = writer.add("Unsqueeze", held, writer.integers(2))
    above = writer.add("Greater", column, writer.constant(edges))
    counts = writer.add("Cast", above, to=7)  # int64
    below = writer.add("ReduceSum", counts, writer.integers(2), keepdims=0)
    bins = writer.add("Add", below, writer.constant([1], np.int64))
    return writer.add("Where", missing, writer.constant([MISSING], np.int64), bins)


def _scaled(writer: GraphWriter, features: FeatureMap, held: str, missing: str) -> str:
    grown = writer.add("Add", writer.add("Abs", held), writer.constant(1.0))
    signed = writer.add("Mul", writer.add("Sign", held), writer.add("Log", grown))
    means = writer.constant([[field.mean for field in features.numbers]])
    spreads = writer.constant([[field.spread for field in features.numbers]])
    scaled = writer.add("Div", writer.add("Sub", signed, means), spreads)
    return writer.add("Where", missing, writer.constant(0.0), scaled)


def _category_ids(writer: GraphWriter, features: FeatureMap) -> str:
    found = []
    for at, field in enumerate(features.categories):
        column = writer.add("Gather", CATEGORIES, writer.integers(at), axis=1)
        # an encoder without keys is none: a text that is in no vocabulary stands in
        known = field.values or ("",)
        ids = range(1, len(known) + 1) if field.values else [UNKNOWN]
        found.append(
            writer.add(
                "LabelEncoder",
                column,
                domain=ML,
                keys_strings=list(known),
                values_int64s=list(ids),
                default_int64=UNKNOWN,
            )
        )
    return writer.add("Concat", *found, axis=1) if len(found) > 1 else found[0]
