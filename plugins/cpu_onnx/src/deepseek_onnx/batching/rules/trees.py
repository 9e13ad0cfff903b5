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

_LABELS: Final = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")


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


def regressor(targets: str) -> Rule:
    """The rule of an operator that gives a row of so many targets for each row, or of one."""

    def rule(call: Call) -> Tensor:
        x, dims = rows(call)
        made = (dims[0], call.integer(targets, 1))
        return Fixed(None) if x.axis is None else like(x, made, 0)

    return rule


def classifier(call: Call) -> tuple[Tensor, ...]:
    """A label and a row of scores for each row, a score for each label."""
    x, dims = rows(call)
    if x.axis is None:
        return Fixed(None), Fixed(None)
    labels = max(_count(call, name) for name in _LABELS)
    # A support vector machine may give a score for each pair of labels.
    known = labels > 1 and call.node.op_type != "SVMClassifier"
    return like(x, (dims[0],), 0), like(x, (dims[0], labels if known else call.unknown()), 0)


def _count(call: Call, name: str) -> int:
    """How many integers or strings an attribute holds."""
    attribute = call.attribute(name)
    return 0 if attribute is None else len(attribute.ints) + len(attribute.strings)


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
    "TreeEnsemble": regressor("n_targets"),
    "TreeEnsembleRegressor": regressor("n_targets"),
    "LinearRegressor": regressor("targets"),
    "SVMRegressor": regressor(""),
    **dict.fromkeys(("TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"), classifier),
    **dict.fromkeys(("ZipMap", "CastMap", "DictVectorizer"), no_tensor),
    "OneHotEncoder": one_hot,
    "ArrayFeatureExtractor": array_features,
    "FeatureVectorizer": vectorizer,
}  # fmt: skip
