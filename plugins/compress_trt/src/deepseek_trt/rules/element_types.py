"""Which element types each operator refuses, as the real parser and builder answer.

Recorded by one small model for each operator and type (TensorRT-RTX 1.7); a test asks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from onnx import TensorProto

from deepseek_trt.model.facts import Node
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import RULES, problem, type_name
from deepseek_trt.words import words

_TYPES: Final = {
    "f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16,
    "i32": TensorProto.INT32, "i64": TensorProto.INT64,
    "bool": TensorProto.BOOL, "u8": TensorProto.UINT8, "i8": TensorProto.INT8,
    "fp8": TensorProto.FLOAT8E4M3FN, "i4": TensorProto.INT4,
}  # fmt: skip

# types -> operators whose parser refuses them
_REFUSED: Final = {
    "bool u8": """Abs Neg Sign Clip ArgMax ArgMin DepthToSpace SpaceToDepth Max Min ReduceL1
        ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Add Sub Mul Div Pow
        Greater Less GreaterOrEqual LessOrEqual TopK GlobalAveragePool GlobalMaxPool Sum""",
    "i32 i64 bool u8": """Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor Gelu
        HardSigmoid IsInf IsNaN LeakyRelu Log LogSoftmax Reciprocal Round Selu Sigmoid Sin Sinh
        Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu AveragePool MaxPool LRN
        Einsum ReduceL2 ReduceLogSum ReduceLogSumExp MatMul PRelu Gemm Conv ConvTranspose Resize""",
    "f16 bf16 i32 i64 bool u8 i8 fp8 i4": "Celu MeanVarianceNormalization",
    "bf16 i32 i64 bool u8 fp8 i4": "HardSwish",
    "i32 i64 bool u8 i8": "Hardmax",
    "bf16 i32 i64 bool u8 i8 fp8 i4": "LpNormalization Mish GlobalLpPool LpPool",
    "f32 f16 bf16 i32 i64 u8 i8 fp8 i4": "Not And Or Xor",
    "i32 bool u8": "Relu",
    "bf16 bool u8 fp8 i4": "Shrink",
    "u8": """Flatten Transpose Trilu Squeeze EyeLike Split Concat Reshape Expand Tile Unsqueeze
        Gather Pad ReverseSequence GatherElements GatherND Slice""",
    "i32 i64 bool u8 i8 fp8 i4": "Mean",
    "bool u8 i8 fp8 i4": "CumSum",
}  # fmt: skip

# types -> operators that are parsed and then not built
_NOT_BUILT: Final = {
    "fp8 i4": """Abs Erf HardSigmoid Hardmax LeakyRelu Neg Reciprocal Relu Sign Softsign
        ThresholdedRelu GlobalMaxPool Trilu Squeeze EyeLike Clip CastLike ArgMax ArgMin AveragePool
        MaxPool LRN Split Sum Max Min ReduceL1 ReduceMax ReduceMin ReduceProd ReduceSum
        ReduceSumSquare Add Sub Mul Div Equal Greater Less GreaterOrEqual LessOrEqual PRelu Conv
        Expand Tile Unsqueeze Gather TopK Pad Resize ReverseSequence GatherElements GatherND
        Cast ConvTranspose""",
    "i8 fp8 i4": """Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Elu Exp Floor Gelu IsInf IsNaN
        Log LogSoftmax Round Selu Sigmoid Sin Sinh Softmax Softplus Sqrt Swish Tan Tanh
        GlobalAveragePool Einsum ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMean Pow MatMul
        Gemm""",
}  # fmt: skip

_TWO_INPUTS: Final = words(
    """
    Add Sub Mul Div Pow Max Min Sum Mean And Or Xor Greater Less GreaterOrEqual LessOrEqual
    Equal MatMul Gemm Conv ConvTranspose PRelu Einsum Concat
    """
)
_SAME_TYPE: Final = _TWO_INPUTS - {"Pow"}
_REMEDY: Final = "cast its input to FLOAT or INT64 before it"
_DEQUANTIZE: Final = "dequantize it first (DequantizeLinear)"


def _by_operator(table: dict[str, str]) -> dict[str, frozenset[int]]:
    return {
        operator: frozenset(_TYPES[word] for word in types.split())
        for types, operators in table.items()
        for operator in operators.split()
    }


REFUSED: Final = _by_operator(_REFUSED)
NOT_BUILT: Final = _by_operator(_NOT_BUILT)


def _data_types(node: Node) -> set[int]:
    # Constants of UINT8 are read as INT32, with their values.
    count = len(node.proto.input) if node.proto.op_type in _TWO_INPUTS else 1
    # TensorRT computes DOUBLE as FLOAT.
    kinds = {_as_read(node, index) for index in range(count)}
    return {TensorProto.FLOAT if kind == TensorProto.DOUBLE else kind for kind in kinds}


def _as_read(node: Node, index: int) -> int:
    kind = node.elem_type(index)
    if kind == TensorProto.UINT8 and node.is_weights(index):
        return int(TensorProto.INT32)
    return kind


def element_type(node: Node) -> Iterable[Problem]:
    """No data input has a type that the operator refuses."""
    name = node.proto.op_type
    kinds = _data_types(node)
    if name in _SAME_TYPE and len(kinds - {0}) > 1:
        what = f"mixes {' and '.join(type_name(kind) for kind in sorted(kinds))}"
        yield problem(node, "mixed_types", what, "cast them to one type")
    for kind in sorted(kinds):
        if kind in REFUSED.get(name, ()):
            what = f"does not take {type_name(kind)}"
            yield problem(node, "element_type", what, _REMEDY)
        elif kind in NOT_BUILT.get(name, ()):
            what = f"is parsed with {type_name(kind)}, and then not built"
            yield problem(node, "element_type", what, _DEQUANTIZE, "build")


for _name in {*REFUSED, *NOT_BUILT}:
    RULES.setdefault(_name, []).append(element_type)
