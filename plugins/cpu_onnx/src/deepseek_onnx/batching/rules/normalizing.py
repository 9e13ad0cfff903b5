"""Normalizations: each by the entries of one item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule, normal
from deepseek_onnx.batching.faults import Mixes
from deepseek_onnx.batching.rules.broadcasting import computed, meet
from deepseek_onnx.batching.rules.convolution import first_axis
from deepseek_onnx.batching.states import Tensor, like


def layer(call: Call) -> tuple[Tensor, ...]:
    """By all entries from an axis on; also the mean and the deviation that it took."""
    x, dims = call.ranked(0)
    axis = call.axis("axis", -1, len(dims))
    if x.axis is not None and x.axis >= axis:
        raise Mixes
    made = computed(call.data(0))
    for place in (1, 2):
        if call.has(place):
            made = meet(made, call.tensor(place))
    kept = like(x, dims[:axis] + (1,) * (len(dims) - axis), x.axis)
    return made, kept, kept


def by_channel(call: Call) -> Tensor:
    """By the entries of a channel, or of a group of them; scale and shift are constants."""
    call.fixed(1, 2)
    x, dims = first_axis(call)
    return like(x, dims, x.axis)


def lp(call: Call) -> Tensor:
    """By the norm of an axis."""
    x, dims = call.ranked(0)
    if call.axis("axis", -1, len(dims)) == x.axis:
        raise Mixes
    return like(x, dims, x.axis)


def mean_variance(call: Call) -> Tensor:
    """By mean and variance of some axes, the first among them unless others are named."""
    x, dims = call.ranked(0)
    axes = call.integers("axes")
    if axes is None:
        axes = [0, 2, 3]
    if not axes or x.axis in {normal(axis, len(dims)) for axis in axes}:  # none is all of them
        raise Mixes
    return like(x, dims, x.axis)


def response(call: Call) -> Tensor:
    """By the channels around each."""
    x, dims = first_axis(call)
    return like(x, dims, x.axis)


RULES: Final[Mapping[str, Rule]] = {
    "LayerNormalization": layer,
    "RMSNormalization": layer,
    "InstanceNormalization": by_channel,
    "GroupNormalization": by_channel,
    "LpNormalization": lp,
    "MeanVarianceNormalization": mean_variance,
    "LRN": response,
}
