"""Quantized operators: scales and zero points that are constants keep the items apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule, normal
from deepseek_onnx.batching.faults import Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import computed
from deepseek_onnx.batching.rules.products import product_of
from deepseek_onnx.batching.states import Data, Fixed, Items, Tensor

ONE_SCALE: Final = "one scale for all"


def scaled(call: Call) -> Tensor:
    """QuantizeLinear and DequantizeLinear: one scale, one for each entry of an axis, or blocks."""
    x, dims = call.ranked(0)
    for place in (1, 2):
        if call.has(place):
            _require_apart(call, place, x, len(dims))
    return computed(call.data(0))


def _require_apart(call: Call, place: int, x: Tensor, rank: int) -> None:
    """See that no item's entry is scaled by another's."""
    scale, dims = call.ranked(place)
    if isinstance(scale, Fixed) and (x.axis is None or all(dim == 1 for dim in dims)):
        return
    axis = normal(call.integer("axis", 1), rank)
    per_axis = len(dims) == 1
    if isinstance(scale, Fixed):
        if not per_axis or axis == x.axis:
            raise Unclear("a scale may be for some of them")
        return
    owns = axis == x.axis if per_axis else len(dims) == rank and scale.axis == x.axis != axis
    if not owns or scale.layout != x.layout:
        raise Mixes("a scale is not told apart by item")


def dynamic(call: Call) -> tuple[Tensor, ...]:
    """A scale from the smallest and largest of all entries."""
    if isinstance(call.data(0), Items):
        raise Mixes(ONE_SCALE)
    return computed(call.data(0)), Fixed(()), Fixed(())


def single(call: Call, *places: int) -> None:
    """See that scales and zero points, where given, are one constant each."""
    for place in places:
        if not call.has(place):
            continue
        state, dims = call.ranked(place)
        if isinstance(state, Items):
            raise Mixes("a scale is not told apart by item")
        if any(dim != 1 for dim in dims):
            raise Unclear("a scale may be for some of them")


def factor(call: Call, place: int, parameters: Sequence[int]) -> Data:
    """A factor of a product with its scale and zero point, which are its own or constants."""
    x = call.data(place)
    if isinstance(x, Items):
        single(call, *parameters)
    else:
        call.fixed(*parameters)
    return x


def matmul_integer(call: Call) -> Tensor:
    """A product of integers with zero points."""
    return product_of(factor(call, 0, (2,)), factor(call, 1, (3,)))


def qlinear_matmul(call: Call) -> Tensor:
    """A product of quantized matrices, quantized."""
    single(call, 6, 7)
    return product_of(factor(call, 0, (1, 2)), factor(call, 3, (4, 5)))


RULES: Final[Mapping[str, Rule]] = {
    "QuantizeLinear": scaled,
    "DequantizeLinear": scaled,
    "DynamicQuantizeLinear": dynamic,
    "MatMulInteger": matmul_integer,
    "QLinearMatMul": qlinear_matmul,
}
