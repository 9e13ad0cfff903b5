"""What OpenVINO's CPU device is not given, because it computes it otherwise than ONNX has it.

Found by the ONNX node suite, by extreme values beside ONNX Runtime's CPU provider, by the corpus,
and by forms of operators out of public bug reports, with onnxruntime-ep-openvino 1.8.1 (OpenVINO
2026.4). float64 is computed as float32, wide integers as int32 and compared as float32, sums of
narrow ones stop at their ends instead of going round, NaN and infinity get lost, strings and one
form of GatherND end the process. So operators are taken from a list, for the dtypes that it keeps,
and inputs have bounds.

QuantizeLinear is on the list although it adds the zero point before it rounds: where that is odd,
a value half a step between two goes to the other one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepseek_core import Operation, TensorSpec

LARGEST_INTEGER: Final = 2**24
"""Larger integers are not kept apart: they are compared as float32."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOVES: Final = _names("""
    Cast Compress Concat DepthToSpace Expand Flatten Gather GatherElements Identity Pad Reshape
    ReverseSequence ScatterElements ScatterND Shape Size Slice Split Squeeze Transpose Unsqueeze
    Where
""")
_QUANTIZED: Final = _names("ConvInteger DequantizeLinear MatMulInteger QuantizeLinear")
_COMPUTES: Final = _names("""
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil
    Celu Clip ConstantOfShape Conv ConvTranspose Cos Cosh CumSum Div Dropout Einsum Elu Equal Erf
    Exp Floor GRU Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample
    HardSigmoid HardSwish Hardmax InstanceNormalization LRN LSTM LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mish Mod Mul Neg NonZero Not OneHot Or
    PRelu Pow RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Resize Round Selu Shrink Sigmoid Sign Sin Sinh Softmax
    Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Trilu Upsample Xor
""")
_DTYPES: Final = frozenset({"float32", "float16", "int32", "int64", "bool"})
_NARROW: Final = frozenset({"int8", "uint8"})
_SOFTMAX_OF_AN_AXIS: Final = 13  # over all axes from one on before
_WITH_EMPTY_INPUTS: Final = frozenset({"Resize", "Upsample"})  # for what is not given
_PEEPHOLES: Final = 7  # their place among the inputs of an LSTM


def refusal(operation: Operation) -> str | None:
    """Why OpenVINO is not given an operation; None if it is."""
    name = operation.qualified_name
    if name not in _MOVES | _QUANTIZED | _COMPUTES:
        return f"{name} is none of the operators that it is given"
    return _of_dtypes(operation) or _of_shapes(operation) or _of_form(operation)


def _of_dtypes(operation: Operation) -> str | None:
    kept = _DTYPES if operation.name in _COMPUTES else _DTYPES | _NARROW
    found = (spec for spec in (*operation.inputs, *operation.outputs) if spec.name)
    foreign = next((spec for spec in found if spec.container or spec.dtype not in kept), None)
    if foreign is None:
        return None
    what = foreign.container or foreign.dtype
    return f"{operation.name} of {what} is computed otherwise than ONNX has it"


def _of_shapes(operation: Operation) -> str | None:
    given = () if operation.name in _WITH_EMPTY_INPUTS else operation.inputs
    empty = any(0 in (spec.shape or ()) for spec in given)
    return f"{operation.name} of tensors without elements is refused" if empty else None


def _of_form(operation: Operation) -> str | None:
    judge = _FORMS.get(operation.name)
    return judge(operation) if judge else None


def _of_lstm(operation: Operation) -> str | None:
    peepholes = len(operation.inputs) > _PEEPHOLES and operation.inputs[_PEEPHOLES].name
    if peepholes:
        return "an LSTM with peepholes is computed without them"
    coupled = operation.attributes.get("input_forget", 0)
    return "an LSTM with input_forget is computed without it" if coupled else None


def _of_max_pool(operation: Operation) -> str | None:
    """By ceil_mode it makes windows of nothing but padding, whose maximum is -3.4e38."""
    given: dict[str, Any] = dict(operation.attributes)
    if given.get("storage_order", 0):
        return "MaxPool with storage_order gives indices of another order"
    strides, kernel = given.get("strides", ()), given["kernel_shape"]
    is_padded = any(given.get("pads", ())) or given.get("auto_pad", "NOTSET") != "NOTSET"
    is_gapped = any(stride > size for stride, size in zip(strides, kernel, strict=False))
    if given.get("ceil_mode", 0) and (is_padded or is_gapped):
        return "MaxPool by ceil_mode with pads is computed with windows of padding alone"
    return None


def _of_resize(operation: Operation) -> str | None:
    given: dict[str, Any] = dict(operation.attributes)
    for name, plain in (
        ("antialias", 0), ("exclude_outside", 0), ("keep_aspect_ratio_policy", "stretch"),
    ):  # fmt: skip
        if given.get(name, plain) != plain:
            return f"Resize with {name} is computed otherwise than ONNX has it"
    mode = given.get("coordinate_transformation_mode", "half_pixel")
    if mode in ("align_corners", "tf_crop_and_resize"):
        return f"Resize by {mode} is computed otherwise than ONNX has it"
    return None


def _of_einsum(operation: Operation) -> str | None:
    def is_scalar(spec: TensorSpec) -> bool:
        return spec.shape == ()

    return "Einsum of a scalar gives 0" if any(map(is_scalar, operation.inputs)) else None


def _of_softmax(operation: Operation) -> str | None:
    shape, axis = operation.inputs[0].shape, int(operation.attributes.get("axis", 1))
    is_last = bool(shape) and axis in (-1, len(shape or ()) - 1)
    if operation.version >= _SOFTMAX_OF_AN_AXIS or is_last:
        return None
    return f"{operation.name} of opset {operation.version} is computed as that of opset 13"


_FORMS: Final = {
    "LSTM": _of_lstm,
    "MaxPool": _of_max_pool,
    "Resize": _of_resize,
    "Einsum": _of_einsum,
    "Softmax": _of_softmax,
    "LogSoftmax": _of_softmax,
    "Hardmax": _of_softmax,
}


def input_refusal(array: NDArray[Any]) -> str | None:
    """Why a run on this array is refused; None if it is not."""
    if not array.size:
        return None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "has NaN or infinity, which get lost"
    if array.dtype.kind in "iu" and array.dtype.itemsize >= 4:
        low, high = int(array.min()), int(array.max())
        if low < -LARGEST_INTEGER or high > LARGEST_INTEGER:
            return f"has integers beyond {LARGEST_INTEGER}, which are not kept apart"
    return None
