"""QuantizeLinear and DequantizeLinear: symmetric, signed, with ranges known before the build."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import TensorProto

from deepseek_trt.model.facts import Node
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import QUANTIZED, problem, rule, type_name, warning

_SYMMETRIC = "quantize symmetrically: INT8 with zero point 0 (QuantFormat.QDQ, ActivationSymmetric)"
_FLOAT_BIAS = "leave biases in float (onnxruntime.quantization: extra_options QuantizeBias=False)"
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_AFTER = "quantize after the activation (OpTypesToExcludeOutputQuantization=['Conv', 'Gemm', ...])"
_FOUR_BITS = frozenset({TensorProto.INT4, TensorProto.FLOAT4E2M1})


@rule("QuantizeLinear", "DequantizeLinear")
def zero_point(node: Node) -> Iterable[Problem]:
    """Zero points are zero, signed, and constants."""
    if not node.input(2):
        return
    kind, value = node.elem_type(2), node.constant(2)
    if kind == TensorProto.UINT8:
        if value is not None and not np.any(value):
            what = (
                "quantizes as UINT8 with zero point 0: the parser reads it as INT8 with a mere "
                "warning, and values above 127 saturate"
            )
            yield problem(node, "uint8_zero_point", what, _SYMMETRIC, "value")
        elif value is None:
            what = "quantizes as UINT8, which the parser reads as INT8 with a mere warning"
            yield problem(node, "uint8_zero_point", what, _SYMMETRIC, "value")
    if value is None:
        if not node.is_foldable(2):
            what = f"its zero point {node.input(2)!r} is not a constant of the file"
            yield problem(node, "zero_point_constant", what, _SYMMETRIC, "build")
    elif np.any(value.astype(np.float32)):
        what = f"its zero point is {_shown(value)}; only 0 is taken"
        yield problem(node, "zero_point", what, _SYMMETRIC)


@rule("QuantizeLinear", "DequantizeLinear")
def quantized_type(node: Node) -> Iterable[Problem]:
    """The quantized side is INT8, FP8, INT4 or FP4."""
    kind = _quantized_type(node)
    if kind == TensorProto.INT32:
        what = "dequantizes INT32, as of a quantized bias; INT8, FP8, INT4 and FP4 are taken"
        yield problem(node, "int32_dequantize", what, _FLOAT_BIAS)
    elif kind not in QUANTIZED | {TensorProto.UINT8, 0}:
        what = f"its quantized side is {type_name(kind)}; INT8, FP8, INT4 and FP4 are taken"
        yield problem(node, "quantized_type", what, _SYMMETRIC)


@rule("DequantizeLinear")
def uint8_dequantize(node: Node) -> Iterable[Problem]:
    """UINT8 is dequantized only where the parser has made INT8 of it."""
    if node.elem_type(0) == TensorProto.UINT8 and node.producer(0) != "QuantizeLinear":
        what = "dequantizes a UINT8 tensor; INT8, FP8, INT4 and FP4 are taken"
        yield problem(node, "uint8_dequantize", what, _SYMMETRIC)


@rule("QuantizeLinear")
def uint8_by_default(node: Node) -> Iterable[Problem]:
    """Without zero point and type, ONNX quantizes as UINT8 and TensorRT as INT8."""
    if not node.input(2) and not node.attribute("output_dtype", 0):
        what = "has no zero point: UINT8 by ONNX, and INT8 by the parser, which does not say so"
        yield problem(node, "uint8_zero_point", what, _SYMMETRIC, "value")


@rule("QuantizeLinear", "DequantizeLinear")
def scale(node: Node) -> Iterable[Problem]:
    """Scales are there, positive and finite."""
    if not node.input(1):
        yield problem(node, "scale", "it has no scale", "export the model again")
        return
    value = node.constant(1)
    if value is None:
        return
    wide = value.astype(np.float64)
    if not np.all(np.isfinite(wide)) or np.any(wide <= 0):
        what = f"its scale is {_shown(value)}; a scale is a finite number above 0"
        yield problem(node, "scale", what, "calibrate again with data that covers the range")


@rule("QuantizeLinear", "DequantizeLinear")
def four_bits(node: Node) -> Iterable[Problem]:
    """Four-bit tensors have an even number of elements, for two share a byte."""
    shape = node.shape(0)
    if _quantized_type(node) not in _FOUR_BITS or shape is None:
        return
    if all(isinstance(d, int) for d in shape) and np.prod(np.array(shape, object)) % 2:
        what = f"it has an odd number of four-bit elements: {list(shape)}"
        yield problem(node, "four_bits", what, "pad the tensor to an even number of elements")


def quantized_constants(node: Node) -> Iterable[Problem]:
    """A quantized constant goes into DequantizeLinear, and nowhere else."""
    if node.operator in ("QuantizeLinear", "DequantizeLinear", "Clip"):  # bounds are attributes
        return
    for index in range(len(node.proto.input)):
        if node.is_weights(index) and node.elem_type(index) in QUANTIZED:
            kind, name = type_name(node.elem_type(index)), node.input(index)
            what = f"takes the {kind} constant {name!r}, which only DequantizeLinear may take"
            remedy = f"dequantize it first, or store {name!r} as INT32 or FLOAT"
            yield problem(node, "quantized_constant", what, remedy, "build")


@rule("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSwish", "Tanh")
def quantized_before_activation(node: Node) -> Iterable[Problem]:
    """Nothing is quantized between a product and its activation, which are fused else."""
    chain = [node.scope.producer(node.input(0))]
    for operator in ("DequantizeLinear", "QuantizeLinear"):
        last = chain[-1]
        if last is None or last.op_type != operator or not last.input:
            return
        chain.append(node.scope.producer(last.input[0]))
    source = chain[-1]
    if source is not None and source.op_type in _PRODUCTS:
        what = f"follows a {source.op_type} whose output is quantized, so the two are not fused"
        yield warning(node, "placement", what, _AFTER)


def _quantized_type(node: Node) -> int:
    if node.operator == "DequantizeLinear":
        return node.elem_type(0) or node.elem_type(2)
    named = int(node.attribute("output_dtype", 0))
    return node.elem_type(2) or named or TensorProto.UINT8 if node.input(2) or named else 0


def _shown(value: np.ndarray) -> str:
    flat = np.atleast_1d(value).ravel()
    shown = ", ".join(str(v) for v in flat[:3])
    return shown if flat.size <= 3 else f"[{shown}, ... {flat.size} values]"
