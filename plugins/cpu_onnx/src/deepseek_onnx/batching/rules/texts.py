"""Operators on strings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Mixes
from deepseek_onnx.batching.rules.broadcasting import computed, meet
from deepseek_onnx.batching.rules.moving import replaced
from deepseek_onnx.batching.states import Fixed, Items, Mixed, State, Tensor, like


def match(call: Call) -> Tensor:
    """Each string alone."""
    return computed(call.data(0))


def concat(call: Call) -> Tensor:
    """Two strings at a time, broadcast."""
    return meet(call.tensor(0), call.tensor(1))


def split(call: Call) -> tuple[State, ...]:
    """Parts of each string, as many columns as the widest has; and how many parts each has."""
    x, dims = call.ranked(0)
    if isinstance(x, Items):
        return Mixed("StringSplit mixes items: it pads to the widest"), x
    return Fixed((*dims, call.unknown())), Fixed(dims)


def normalize(call: Call) -> Tensor:
    """Each string alone, unless stop words are dropped."""
    x, dims = call.ranked(0)
    if call.attribute("stopwords") is None:
        return computed(call.data(0))
    if isinstance(x, Items):
        raise Mixes("it drops stop words")
    return Fixed((*dims[:-1], call.unknown()))


def tf_idf(call: Call) -> Tensor:
    """Counts of n-grams in each row [N, C]; a tensor [C] is one row."""
    x, dims = call.ranked(0)
    if x.axis is not None and (len(dims) != 2 or x.axis != 0):
        raise Mixes
    return like(x, replaced(dims, len(dims) - 1, call.unknown()), x.axis)


RULES: Final[Mapping[str, Rule]] = {
    "RegexFullMatch": match,
    "StringConcat": concat,
    "StringSplit": split,
    "StringNormalizer": normalize,
    "TfIdfVectorizer": tf_idf,
}
