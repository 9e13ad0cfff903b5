"""The quantized operators of com.microsoft: constant scales keep the items apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.rules.broadcasting import computed, meet, meet_all
from deepseek_onnx.batching.rules.convolution import first_axis
from deepseek_onnx.batching.rules.moving import joined
from deepseek_onnx.batching.rules.products import product_of, swapped
from deepseek_onnx.batching.rules.quantizing import ONE_SCALE, factor, scaled, single
from deepseek_onnx.batching.rules.reducing import over_axis
from deepseek_onnx.batching.rules.windows import slid
from deepseek_onnx.batching.sizes import Dim
from deepseek_onnx.batching.states import Items, Tensor, like


def unary(call: Call) -> Tensor:
    """An elementwise operator: x, its scale and zero point, those of the result."""
    single(call, 1, 2, 3, 4)
    return computed(call.data(0))


def binary(call: Call) -> Tensor:
    """An elementwise operator on two values, each with scale and zero point."""
    single(call, 1, 2, 4, 5, 6, 7)
    return meet(call.tensor(0), call.tensor(3))


def where(call: Call) -> Tensor:
    """A choice between two values."""
    single(call, 2, 3, 5, 6, 7, 8)
    return meet_all((call.tensor(0), call.tensor(1), call.tensor(4)))


def concat(call: Call) -> Tensor:
    """Values with their scales, one after the other, behind the result's scale."""
    places = range(2, len(call.inputs), 3)
    single(call, 0, 1, *(p + 1 for p in places), *(p + 2 for p in places))
    return joined(call, places, call.integer("axis", 0))


def softmax(call: Call) -> Tensor:
    """A softmax of the operator set that the attribute `opset` names."""
    single(call, 1, 2, 3, 4)
    x, dims = call.ranked(0)
    return over_axis(x, dims, call.integer("opset", 1), call.axis("axis", -1, len(dims)))


def average_pool(call: Call) -> Tensor:
    """The mean under a window."""
    single(call, 1, 2, 3, 4)
    return _pooled(call, call.integers("kernel_shape") or [], call.flag("channels_last"))


def max_pool(call: Call) -> Tensor:
    """The largest under a window, channels last."""
    return _pooled(call, call.integers("kernel_shape") or [], 1)


def _pooled(call: Call, kernel: Sequence[int], channels_last: int) -> Tensor:
    x, dims = first_axis(call)
    if len(kernel) != len(dims) - 2:
        raise Contradiction("has a window of another rank")
    if channels_last:
        return like(x, (dims[0], *slid(call, dims[1:-1], kernel), dims[-1]), x.axis)
    return like(x, (*dims[:2], *slid(call, dims[2:], kernel)), x.axis)


def global_pool(call: Call) -> Tensor:
    """The mean of each channel."""
    single(call, 1, 2, 3, 4)
    x, dims = first_axis(call)
    ones: tuple[Dim, ...] = (1,) * (len(dims) - 2)
    last = call.flag("channels_last")
    return like(x, (dims[0], *ones, dims[-1]) if last else (*dims[:2], *ones), x.axis)


def conv(call: Call) -> Tensor:
    """A convolution with weights [M, C/g, k..], the channels first or last."""
    call.fixed(1, 2, 3, 4, 5, 6, 7, 8)
    x, dims = first_axis(call)
    _, kernel = call.ranked(3)
    if len(kernel) != len(dims):
        raise Contradiction("has weights of another rank")
    if call.flag("channels_last"):
        return like(x, (dims[0], *slid(call, dims[1:-1], kernel[2:]), kernel[0]), x.axis)
    return like(x, (dims[0], kernel[0], *slid(call, dims[2:], kernel[2:])), x.axis)


def gemm(call: Call) -> Tensor:
    """A product of two matrices plus a third one; A, B and Y have scales and zero points."""
    single(call, 7, 8)
    a, b = factor(call, 0, (1, 2)), factor(call, 3, (4, 5))
    a = swapped(a) if call.flag("transA") else a
    b = swapped(b) if call.flag("transB") else b
    made = product_of(a, b)
    return meet(made, call.tensor(6)) if call.has(6) else made


def matmul_to_float(call: Call) -> Tensor:
    """A product of integers, scaled to reals."""
    made = product_of(factor(call, 0, (2, 4)), factor(call, 1, (3, 5)))
    return meet(made, call.tensor(6)) if call.has(6) else made


def dynamic(call: Call) -> Tensor:
    """A product or a network whose input is quantized by one scale from all of it."""
    if isinstance(call.data(0), Items):
        raise Mixes(ONE_SCALE)
    raise Unclear("it quantizes while it runs")


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu"), unary),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), binary),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), scaled),
    **dict.fromkeys(("DynamicQuantizeMatMul", "DynamicQuantizeLSTM"), dynamic),
    "QLinearWhere": where,
    "QLinearConcat": concat,
    "QLinearSoftmax": softmax,
    "QLinearAveragePool": average_pool,
    "QLinearGlobalAveragePool": global_pool,
    "NhwcMaxPool": max_pool,
    "QLinearConv": conv,
    "QGemm": gemm,
    "MatMulIntegerToFloat": matmul_to_float,
}
