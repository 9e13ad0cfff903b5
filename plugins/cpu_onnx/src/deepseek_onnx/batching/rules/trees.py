"""The operators of ai.onnx.ml: a row [N, C] is an item; a tensor [C] is one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.contents import add
from deepseek_onnx.batching.faults import Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import computed
from deepseek_onnx.batching.sizes import Dim, product, times
from deepseek_onnx.batching.states import Data, Fixed, Items, Mixed, State, Tensor, like


def rows(call: Call, place: int = 0) -> tuple[Data, tuple[Dim, ...]]:
    """An input of rows; its items are whole ones."""
    x, dims = call.ranked(place)
    if x.axis is not None and (x.axis != 0 or len(dims) != 2):
        raise Mixes
    return x, dims


def by_row(call: Call) -> Tensor:
    """Rows of the same width."""
    x, _ = rows(call)
    return computed(x)


def regressor(call: Call) -> Tensor:
    """A row of targets for each row."""
    x, dims = rows(call)
    return Fixed(None) if x.axis is None else like(x, (dims[0], call.unknown()), 0)


def classifier(call: Call) -> tuple[Tensor, ...]:
    """A label and a row of scores for each row."""
    x, dims = rows(call)
    if x.axis is None:
        return Fixed(None), Fixed(None)
    return like(x, (dims[0],), 0), like(x, (dims[0], call.unknown()), 0)


def elementwise(call: Call) -> Tensor:
    """Each entry alone."""
    return computed(call.data(0))


def one_hot(call: Call) -> Tensor:
    """A new last axis with an entry for each category."""
    x, dims = call.ranked(0)
    return like(x, (*dims, call.unknown()), x.axis)


def array_features(call: Call) -> Tensor:
    """The entries of the last axis that the indices choose; a tensor [C] is one row."""
    (x, dims), (indices, chosen) = call.ranked(0), call.ranked(1)
    front = dims[:-1] or (1,)
    new = (*front, product(chosen))
    if isinstance(x, Items):
        if isinstance(indices, Items) or x.axis == len(dims) - 1:
            raise Mixes
        return Items(new, x.axis, x.layout)
    if not isinstance(indices, Items):
        return Fixed(new)
    outer, inner = indices.layout
    before, behind = product(chosen[: indices.axis]), product(chosen[indices.axis + 1 :])
    return Items(new, len(new) - 1, (times(before, outer), times(inner, behind)))


def vectorizer(call: Call) -> Tensor:
    """Rows of several inputs side by side."""
    inputs = [rows(call, place) for place in range(len(call.inputs))]
    first, dims = inputs[0]
    if any(x.axis != first.axis or x.layout != first.layout for x, _ in inputs):
        raise Unclear("not all of its inputs carry them")
    if first.axis is None:
        return Fixed(None)
    width: Dim = 0
    for _, (_, columns) in inputs:
        width = add(width, columns)
    return like(first, (dims[0], width), first.axis)


def no_tensor(call: Call) -> State:
    """What makes a map or a sequence of maps."""
    return Mixed(f"{call.node.op_type} makes no tensor")


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("Binarizer", "LabelEncoder", "CategoryMapper"), elementwise),
    **dict.fromkeys(("Scaler", "Normalizer", "Imputer"), by_row),
    **dict.fromkeys(("TreeEnsembleRegressor", "LinearRegressor", "SVMRegressor",
                     "TreeEnsemble"), regressor),
    **dict.fromkeys(("TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"), classifier),
    **dict.fromkeys(("ZipMap", "CastMap", "DictVectorizer"), no_tensor),
    "OneHotEncoder": one_hot,
    "ArrayFeatureExtractor": array_features,
    "FeatureVectorizer": vectorizer,
}  # fmt: skip
