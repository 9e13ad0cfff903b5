"""Operators that join the entries of some axes: sums, maxima, scans, ranks and softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_onnx.batching.calls import Call, Rule, normal
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import computed
from deepseek_onnx.batching.rules.moving import replaced
from deepseek_onnx.batching.sizes import Dim
from deepseek_onnx.batching.states import Data, Fixed, Items, Tensor, like

_SINCE_13: Final = 13


def reduce(call: Call) -> Tensor:
    """One number for all entries of the axes; of all axes, where none are named."""
    x, dims = call.ranked(0)
    axes = call.integers_or_input("axes", 1)
    if not axes and call.flag("noop_with_empty_axes"):
        return computed(x)
    chosen = {normal(axis, len(dims)) for axis in axes or range(len(dims))}
    return _reduced(call, x, dims, chosen)


def arg(call: Call) -> Tensor:
    """The place of the largest or smallest entry of an axis."""
    x, dims = call.ranked(0)
    axis = call.axis("axis", 0, len(dims))
    made = _reduced(call, x, dims, {axis})
    return attrs.evolve(made, below=dims[axis])


def _reduced(call: Call, x: Data, dims: tuple[Dim, ...], axes: set[int]) -> Data:
    if x.axis in axes:
        raise Mixes
    if call.flag("keepdims", default=True):
        return _of(x, tuple(1 if i in axes else dim for i, dim in enumerate(dims)), x.axis)
    axis = None if x.axis is None else x.axis - sum(place < x.axis for place in axes)
    return _of(x, tuple(dim for i, dim in enumerate(dims) if i not in axes), axis)


def _of(x: Data, dims: tuple[Dim, ...], axis: int | None) -> Data:
    return Fixed(dims) if axis is None else Items(dims, axis, x.layout)


def softmax(call: Call) -> Tensor:
    """Over one axis; before opset 13 over it and all that follow."""
    x, dims = call.ranked(0)
    return over_axis(x, dims, call.version, call.axis("axis", _last(call.version), len(dims)))


def _last(version: int) -> int:
    return -1 if version >= _SINCE_13 else 1


def over_axis(x: Data, dims: tuple[Dim, ...], version: int, axis: int) -> Tensor:
    """The result of a softmax of a version."""
    if x.axis is not None and (x.axis == axis or (version < _SINCE_13 and x.axis > axis)):
        raise Mixes
    return like(x, dims, x.axis)


def cumulate(call: Call) -> Tensor:
    """A running sum or product along an axis."""
    x, dims = call.ranked(0)
    axes = call.whole(1)
    if len(axes) != 1:
        raise Contradiction("runs along more than one axis")
    if normal(axes[0], len(dims)) == x.axis:
        raise Mixes
    return computed(call.data(0))


def top_k(call: Call) -> tuple[Tensor, ...]:
    """The k largest entries of an axis, and their places."""
    x, dims = call.ranked(0)
    axis = call.axis("axis", -1, len(dims))
    if x.axis == axis:
        raise Mixes
    made = like(x, replaced(dims, axis, _k(call)), x.axis)
    return made, made


def _k(call: Call) -> Dim:
    if call.version < 10:
        return call.integer("k", -1)
    call.fixed(1)
    k = call.sizes(1)[0]
    return k if isinstance(k, int) else call.unknown()


def determinant(call: Call) -> Tensor:
    """One number for each matrix of a stack."""
    x, dims = call.ranked(0)
    if x.axis is not None and x.axis >= len(dims) - 2:
        raise Mixes
    return like(x, dims[:-2], x.axis)


def choosing(call: Call) -> tuple[Tensor, ...]:
    """Choose as many entries as the data says: their number alone depends on the items' data."""
    for state in call.inputs:
        if state is not None and not isinstance(state, Fixed):
            raise Mixes("what it finds in all of them decides the size")
    raise Unclear("its size depends on its data")


def loss(call: Call) -> tuple[Tensor, ...]:
    """The loss of scores [N, C, D..] against labels [N, D..], if no mean is taken."""
    call.fixed(2)
    (x, dims), labels = call.ranked(0), call.data(1)
    if x.axis != labels.axis or x.layout != labels.layout or x.axis not in (None, 0):
        raise Mixes
    if x.axis is not None and call.text("reduction", "mean") != "none":
        raise Mixes("it joins their losses")
    if x.axis is None:
        return Fixed(None), Fixed(dims)
    return like(x, (dims[0], *dims[2:]), x.axis), like(x, dims, x.axis)


_REDUCTIONS: Final = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip

RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(_REDUCTIONS, reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), arg),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), softmax),
    **dict.fromkeys(("CumSum", "CumProd"), cumulate),
    **dict.fromkeys(("NonMaxSuppression", "NonZero", "Unique"), choosing),
    **dict.fromkeys(("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"), loss),
    "TopK": top_k,
    "Det": determinant,
}
