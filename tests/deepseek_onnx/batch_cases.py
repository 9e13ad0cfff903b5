"""Small models in ONNX's text form, by what a proof says of them.

A line is "[@opset] inputs -> statements". Inputs whose names begin with w are fixed by the caller;
values whose names begin with y are the outputs.
"""

# ruff: noqa: E501 - a model is a line

from __future__ import annotations

import itertools
import zlib
from typing import Any

import attrs
import numpy as np
import onnx

Array = np.ndarray[Any, np.dtype[Any]]

OPSET = 21


@attrs.frozen
class Case:
    """A model with the names of the inputs that its caller fixes."""

    model: onnx.ModelProto
    fixed: tuple[str, ...]


def case(line: str) -> Case:
    opset, line = (line[1:].split(" ", 1)) if line.startswith("@") else (str(OPSET), line)
    inputs, _, body = line.partition(" -> ")
    statements = [statement.strip() for statement in body.split(";")]
    made = [n.strip() for s in statements for n in s.partition(" = ")[0].split(",")]
    outputs = ", ".join(name for name in made if name.startswith("y"))
    opsets = (
        f'"" : {opset}, "ai.onnx.ml" : {5 if "TreeEnsemble <" in body else 3}, "com.microsoft" : 1'
    )
    model = onnx.parser.parse_model(
        f"<ir_version: 9, opset_import: [{opsets}]> g ({inputs}) => ({outputs}) "
        "{ " + "\n".join(statements) + " }"
    )
    names = [value.name for value in model.graph.input]
    return Case(model, tuple(name for name in names if name.startswith("w")))


def feeds(model: onnx.ModelProto, n: int, sizes: dict[str, int] | None = None) -> dict[str, Array]:
    """Random inputs for n items; other symbols have the size 4."""
    found = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [
            d.dim_value or (n if d.dim_param == "N" else (sizes or {}).get(d.dim_param, 4))
            for d in tensor.shape.dim
        ]
        found[value.name] = _random(value.name, shape, tensor.elem_type)
    return found


def _random(name: str, shape: list[int], elem_type: int) -> Array:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(elem_type)
    if elem_type == onnx.TensorProto.STRING:
        return rng.choice(np.array(["a", "b c", "d e f", ""], dtype=object), shape)
    if dtype.kind == "f":
        # Scales must be positive, and what is named so.
        values = rng.standard_normal(shape)
        return np.asarray(np.abs(values) + 0.5 if "scale" in name else values, dtype=dtype)
    # Places, for the most part: all that is indexed has three entries at least.
    return np.asarray(rng.integers(0, 2 if dtype.kind == "b" else 3, shape), dtype=dtype)


def _each(template: str, **choices: Any) -> tuple[str, ...]:
    """The template for each combination of choices; written $name."""
    lines = []
    for picked in itertools.product(*choices.values()):
        line = template
        for name, value in zip(choices, picked, strict=True):
            line = line.replace(f"${name}", str(value))
        lines.append(line)
    return tuple(lines)


_UNARY = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu",
    "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN",
    "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid",
    "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_LOGIC = ("And", "Or", "Xor")
_COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min", "Mean", "Sum")
_BITS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor")

ELEMENTWISE = (
    *_each("float[$shape] x -> y = $op (x)", op=_UNARY, shape=("N,3", "3,N")),
    *_each("@28 float[N,3] x -> y = $op (x)", op=("Swish",)),
    "@28 float[N,3] x, float[N,3] b -> y = SwiGLU (x, b)",
    "@28 float[N,3] x -> y = BitCast <to = 6> (x)",
    *_each("float[N,3] x, $w w -> y = $op (x, w)",
           op=(*_ARITHMETIC, *_COMPARISONS), w=("float", "float[3]", "float[1,3]", "float[1,1]")),
    *_each("float[3,N] x, $w w -> y = $op (w, x)",
           op=("Add", "Sub"), w=("float", "float[3,1]", "float[2,3,1]")),
    *_each("float[N,3] x, float[N,1] b -> y = $op (x, b)", op=_ARITHMETIC),
    *_each("bool[N,3] x, bool[N,3] b -> y = $op (x, b)", op=_LOGIC),
    *_each("int32[N,3] x, int32[3] w -> y = $op (x, w)", op=_BITS),
    "bool[N,3] x -> y = Not (x)",
    "int32[N,3] x -> y = BitwiseNot (x)",
    'uint8[N,3] x, uint8[3] w -> y = BitShift <direction = "LEFT"> (x, w)',
    "int64[N,3] x -> w = Constant <value = int64[1] {2}> (); y = Mod (x, w)",
    "bool[N,1] c, float[N,3] x, float[3] w -> y = Where (c, x, w)",
    "float[N,3] x -> y = Cast <to = 7> (x)",
    "float[N,3] x, int64[2] w -> y = CastLike (x, w)",
    "float[N,3] x, float w1, float w2 -> y = Clip (x, w1, w2)",
    "@6 float[N,3] x -> y = Clip <min = -0.5> (x)",
    "float[N,3] x -> y1, y2 = Dropout (x)",
    "float[N,3] x -> w1 = Constant <value = float {0.5}> (); "
    "w2 = Constant <value = bool {0}> (); y = Dropout (x, w1, w2)",
    "float[N,3,2] x, float[3] w, float[3] w2_scale -> y = BatchNormalization (x, w, w, w, w2_scale)",
    "@9 float[N,3] x, float[3] w, float[3] w2_scale -> y = BatchNormalization (x, w, w, w, w2_scale)",
    "float[N,3] x -> w = Constant <value_floats = [1.0, 2.0, 3.0]> (); y = Mul (x, w)",
    "float[N,3] x -> w = Constant <value_float = 1.5> (); y = Mul (x, w)",
)  # fmt: skip

SHAPING = (
    "float[N,2,3] x -> w = Constant <value = int64[2] {0, -1}> (); y = Reshape (x, w)",
    "float[N,2,3] x -> w = Constant <value = int64[2] {-1, 6}> (); y = Reshape (x, w)",
    "float[N,2,3] x -> w = Constant <value = int64[2] {-1, 3}> (); a = Reshape (x, w); "
    "b = Neg (a); v = Constant <value = int64[3] {-1, 2, 3}> (); y = Reshape (b, v)",
    # [N, T, D] to [N T, D], a product, and back.
    "float[N,T,3] x, float[3,2] w -> s = Shape <end = 2> (x); r = Constant <value = int64[2] {-1, 3}> ();"
    " a = Reshape (x, r); b = Gemm (a, w); t = Constant <value = int64[1] {2}> (); "
    "f = Concat <axis = 0> (s, t); y = Reshape (b, f)",
    # [N, H, T, D] to [N H, T, D] and back.
    "float[N,2,T,3] x -> s = Shape (x); i = Constant <value = int64[2] {0, 1}> (); "
    "nh = Gather (s, i); p = ReduceProd (nh); j = Constant <value = int64[2] {2, 3}> (); "
    "td = Gather (s, j); f = Concat <axis = 0> (p, td); a = Reshape (x, f); b = Softmax (a); "
    "y = Reshape (b, s)",
    # [T, N, D] to [T N, D], where an item's entries do not lie together, a product, and back.
    "float[T,N,3] x, float[3,2] w -> s = Shape <end = 2> (x); r = Constant <value = int64[2] {-1, 3}> ();"
    " a = Reshape (x, r); b = Gemm (a, w); t = Constant <value = int64[1] {2}> (); "
    "f = Concat <axis = 0> (s, t); c = Reshape (b, f); y = Softmax <axis = 0> (c)",
    # The steps as the exporter counted them: no other number runs.
    "float[T,N,6] x -> s = Shape <start = 1, end = 2> (x); m = Constant <value = int64[1] {2}> (); "
    "h = Mul (s, m); t = Constant <value = int64[1] {4}> (); d = Constant <value = int64[1] {3}> (); "
    "f = Concat <axis = 0> (t, h, d); a = Reshape (x, f); b = Transpose <perm = [1, 0, 2]> (a); "
    "c = Softmax (b); e = Transpose <perm = [1, 0, 2]> (c); g = Shape (x); y = Reshape (e, g)",
    "float[N,2,3] x -> y = Flatten (x)",
    "float[N,2,3] x -> y = Flatten <axis = -2> (x)",
    "float[1,N,3] x -> y = Flatten <axis = 2> (x)",
    "float[N,1,3] x -> w = Constant <value = int64[1] {1}> (); y = Squeeze (x, w)",
    "@11 float[1,N,3] x -> y = Squeeze <axes = [0]> (x)",
    "float[N,3] x -> w = Constant <value = int64[2] {0, -1}> (); y = Unsqueeze (x, w)",
    "@11 float[N,3] x -> y = Unsqueeze <axes = [1]> (x)",
    *_each("float[N,2,3] x -> y = Transpose <perm = [$p]> (x)", p=("0,2,1", "1,0,2", "2,1,0")),
    "float[N,2] x -> y = Transpose (x)",
    "float[N,1,3] x -> w = Constant <value = int64[3] {1, 2, 1}> (); y = Expand (x, w)",
    "float[N,1] x, float[N,2] b -> s = Shape (b); y = Expand (x, s)",
    # A class token, the same for each item.
    "float[N,2,3] x, float[1,1,3] w -> s = Shape (x); i = Constant <value = int64[1] {0}> (); "
    "n = Gather (s, i); m = Constant <value = int64[2] {-1, -1}> (); f = Concat <axis = 0> (n, m); "
    "z = Constant <value = int64[1] {-1}> (); e = Equal (f, z); o = Constant <value = int64[1] {1}> ();"
    " g = Where (e, o, f); t = Expand (w, g); y = Concat <axis = 1> (t, x)",
    "float[N,2] x -> s = Shape (x); c = ConstantOfShape <value = float[1] {2.0}> (s); y = Add (x, c)",
    "float[N,2] x -> w = Constant <value = int64[2] {1, 3}> (); y = Tile (x, w)",
    "float[N,2] x, float[1,3] w -> s = Shape (x); o = Constant <value = int64[2] {1, 1}> (); "
    "i = Constant <value = int64[1] {0}> (); n = Gather (s, i); l = Constant <value = int64[1] {1}> ();"
    " f = Concat <axis = 0> (n, l); y = Tile (w, f)",
    # As many positions of a table as there are steps; by their number the sum is reshaped.
    "float[N,T,6] x, float[1,9,6] w -> s = Shape <start = 1, end = 2> (x); z = Constant <value = int64[1] {0}> ();"
    " o = Constant <value = int64[1] {1}> (); p = Slice (w, z, s, o); a = Add (x, p); "
    "h = Constant <value = int64[2] {2, 3}> (); m = Constant <value = int64[1] {-1}> (); "
    "f = Concat <axis = 0> (m, s, h); b = Reshape (a, f); y = Softmax (b)",
    # Positions, as many as there are steps.
    "float[N,T,2] x -> s = Shape <start = 1, end = 2> (x); t = Squeeze (s); "
    "z = Constant <value = int64 {0}> (); o = Constant <value = int64 {1}> (); r = Range (z, t, o); "
    "c = Cast <to = 1> (r); m = Constant <value = int64[1] {1}> (); u = Unsqueeze (c, m); y = Add (x, u)",
    # The number of elements of an item, by which its sum is divided.
    "float[N,T] x -> s = Shape <start = 1> (x); c = Cast <to = 1> (s); y = Div (x, c)",
    "float[N,T] x -> a = Size (x); s = Shape <end = 1> (x); b = Div (a, s); w = Constant <value = int64[1] {-1}> ();"
    " f = Concat <axis = 0> (w, b); y = Reshape (x, f)",
)  # fmt: skip

MOVING = (
    "float[N,2] x, float[N,3] b -> y = Concat <axis = 1> (x, b)",
    "@3 float[N,2] x, float[N,3] b -> y = Concat (x, b)",
    "float[N,5] x -> w = Constant <value = int64[2] {2, 3}> (); y1, y2 = Split <axis = 1> (x, w)",
    "float[N,5] x -> y1, y2 = Split <axis = 1, num_outputs = 2> (x)",
    "@11 float[N,4] x -> y1, y2 = Split <axis = -1> (x)",
    "float[N,5] x -> s = Constant <value = int64[1] {1}> (); e = Constant <value = int64[1] {-1}> (); "
    "y = Slice (x, s, e, s)",
    "float[N,5] x -> s = Constant <value = int64[2] {0, 1}> (); "
    "e = Constant <value = int64[2] {9223372036854775807, 4}> (); y = Slice (x, s, e)",
    "@9 float[N,5] x -> y = Slice <axes = [1], starts = [1], ends = [3]> (x)",
    "float[N,5] x -> s = Constant <value = int64[1] {0}> (); n = Shape <end = 1> (x); y = Slice (x, s, n, s)",
    *_each("float[N,4] x -> w = Constant <value = int64[4] {0, 1, 0, 2}> (); "
           'y = Pad <mode = "$mode"> (x, w)', mode=("constant", "reflect", "edge", "wrap")),
    "@10 float[N,4] x -> y = Pad <pads = [0, 1, 0, -1]> (x)",
    "float[N,4] x, float w -> p = Constant <value = int64[2] {1, 1}> (); "
    "a = Constant <value = int64[1] {1}> (); y = Pad (x, p, w, a)",
    "float[N,4] x, bool[4] w -> y = Compress <axis = 1> (x, w)",
    "float[N,4] x -> w = Constant <value = int64[1] {3}> (); y = CenterCropPad <axes = [1]> (x, w)",
    "float[N,4] x, int64[N] l -> y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, l)",
    "float[4,N] x, int64[N] l -> y = ReverseSequence (x, l)",
    "float[N,3,3] x -> y = Trilu (x)",
    *_each("int64[N,2] x, float[2] w -> d = Constant <value = int64 {3}> (); "
           "y = OneHot <axis = $a> (x, d, w)", a=(-1, 0, 1)),
    "float[5,3] w, int64[N,2] i -> y = Gather (w, i)",
    "float[5,3] w, int64[N,2] i -> y = Gather <axis = 1> (w, i)",
    "float[N,4] x, int64[2,3] w -> y = Gather <axis = 1> (x, w)",
    "float[4,N] x, int64[2,3] w -> y = Gather (x, w)",
    "float[N,4] x, int64[N,2] i -> y = GatherElements <axis = 1> (x, i)",
    "float[5] w, int64[N] i -> y = GatherElements (w, i)",
    "float[N,4] x, int64[N,2] i, float[N,2] u -> y = ScatterElements <axis = 1> (x, i, u)",
    "@9 float[N,4] x, int64[N,1] i, float[N,1] u -> y = Scatter <axis = 1> (x, i, u)",
    "float[N,4,2] x, int64[N,3,1] i -> y = GatherND <batch_dims = 1> (x, i)",
    "float[4,5] w, int64[N,3,2] i -> y = GatherND (w, i)",
    "float[4,N] x, int64[3,1] w -> y = GatherND (x, w)",
    "float[4,N] x, float[2,N] u -> w = Constant <value = int64[2,1] {0, 3}> (); y = ScatterND (x, w, u)",
    "@24 float[N,4,2] x, float[N,1,2] u, int64[N] i -> y = TensorScatter <axis = 1> (x, u, i)",
)  # fmt: skip

REDUCING = (
    *_each("float[N,3,2] x -> w = Constant <value = int64[$c] {$a}> (); y = $op <keepdims = $k> (x, w)",
           op=_REDUCTIONS, c=(1,), a=(1, -1), k=(0, 1)),
    *_each("@11 float[3,N,2] x -> y = $op <axes = [0, -1], keepdims = $k> (x)", op=_REDUCTIONS, k=(0, 1)),
    "float[N,3] x -> y = ReduceSum <noop_with_empty_axes = 1> (x)",
    *_each("float[N,3] x -> y = $op <axis = $a, keepdims = $k> (x)", op=("ArgMax", "ArgMin"), a=(1, -1), k=(0, 1)),
    "float[3,N] x -> y = ArgMax (x)",
    *_each("float[N,3,2] x -> y = $op <axis = $a> (x)", op=("Softmax", "LogSoftmax", "Hardmax"), a=(-1, 1)),
    *_each("@11 float[N,3,2] x -> y = $op (x)", op=("Softmax", "LogSoftmax", "Hardmax")),
    "float[3,N] x -> y = Softmax <axis = 0> (x)",
    "float[N,3] x -> w = Constant <value = int64 {1}> (); y = CumSum <reverse = 1> (x, w)",
    "@26 float[N,3] x -> w = Constant <value = int64 {1}> (); y = CumProd (x, w)",
    "float[N,5] x -> w = Constant <value = int64[1] {2}> (); y1, y2 = TopK (x, w)",
    "float[5,N] x, int64[1] w -> y1, y2 = TopK <axis = 0> (x, w)",
    "float[N,3,3] x -> y = Det (x)",
    'float[N,5] x, int64[N] l -> y1, y2 = SoftmaxCrossEntropyLoss <reduction = "none"> (x, l)',
    'float[N,5,2] x, int64[N,2] l, float[5] w -> y = NegativeLogLikelihoodLoss <reduction = "none"> (x, l, w)',
)  # fmt: skip

PRODUCTS = (
    "float[N,3] x, float[3,2] w -> y = MatMul (x, w)",
    "float[N,4,3] x, float[3] w -> y = MatMul (x, w)",
    "float[4,3] w, float[3,N] x -> y = MatMul (w, x)",
    "float[3] w, float[3,N] x -> y = MatMul (w, x)",
    "float[N,3] x, float[2,3,4] w -> y = MatMul (x, w)",
    "float[N,2,3] x, float[1,3,4] w -> y = MatMul (x, w)",
    "float[N,2,4,3] x, float[N,2,3,4] b -> y = MatMul (x, b)",
    "float[N,3] x, float[2,3] w, float[2] w2 -> y = Gemm <transB = 1> (x, w, w2)",
    "float[3,N] x, float[3,2] w, float[N,1] c -> y = Gemm <transA = 1> (x, w, c)",
    "float[3,N] x, float[4,3] w, float[4,1] w2 -> y = Gemm (w, x, w2)",
    'float[N,4,3] x, float[N,5,3] b -> y = Einsum <equation = "nik,njk->nij"> (x, b)',
    'float[N,4,3] x, float[3,2] w -> y = Einsum <equation = "...k,kj->...j"> (x, w)',
    'float[2,N,3] x -> y = Einsum <equation = "abc->ba"> (x)',
    "uint8[N,3] x, uint8[3,2] w -> y = MatMulInteger (x, w)",
    "uint8[N,3] x, uint8[3,2] w, uint8 w2, uint8[2] w3 -> y = MatMulInteger (x, w, w2, w3)",
    "uint8[N,3] x, float w1_scale, uint8 w2, uint8[3,2] w3, float w4_scale, uint8 w5, float w6_scale, "
    "uint8 w7 -> y = QLinearMatMul (x, w1_scale, w2, w3, w4_scale, w5, w6_scale, w7)",
)  # fmt: skip

PICTURES = (
    *_each('float[N,2,$s] x, float[3,2,$k] w, float[3] w2 -> y = Conv <auto_pad = "$p"> (x, w, w2)',
           s=("6,6",), k=("3,3",), p=("NOTSET", "VALID", "SAME_UPPER")),
    "float[N,2,W] x, float[3,2,3] w -> y = Conv <pads = [1, 1], strides = [2]> (x, w)",
    "float[N,2,7] x, float[2,3,3] w -> y = ConvTranspose <strides = [2]> (x, w)",
    'float[N,2,7] x, float[2,3,3] w -> y = ConvTranspose <strides = [2], auto_pad = "SAME_UPPER"> (x, w)',
    "float[N,2,7] x, float[2,3,3] w -> y = ConvTranspose <output_shape = [15], strides = [2]> (x, w)",
    "uint8[N,2,5,5] x, uint8[3,2,2,2] w, uint8 w2 -> y = ConvInteger (x, w, w2)",
    "uint8[N,2,5,5] x, float w1_scale, uint8 w2, uint8[3,2,2,2] w3, float w4_scale, uint8 w5, "
    "float w6_scale, uint8 w7 -> y = QLinearConv (x, w1_scale, w2, w3, w4_scale, w5, w6_scale, w7)",
    "@22 float[N,1,3,3] x, float[1,1,2,2] w, float[N,8,2,2] o -> y = DeformConv (x, w, o)",
    *_each("float[N,2,7,7] x -> y = $op <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], "
           "ceil_mode = $c> (x)", op=("MaxPool", "AveragePool"), c=(0, 1)),
    "float[N,2,6] x -> y = LpPool <kernel_shape = [2]> (x)",
    *_each("float[N,2,4,4] x -> y = Global$op (x)", op=("AveragePool", "MaxPool", "LpPool")),
    "float[N,8,2,2] x -> y = DepthToSpace <blocksize = 2> (x)",
    "float[N,2,4,4] x -> y = SpaceToDepth <blocksize = 2> (x)",
    "float[N,8,4] x -> w1 = Constant <value = int64[2] {4, 4}> (); w2 = Constant <value = int64[2] {2, 2}> (); "
    "y = Col2Im <strides = [2, 2]> (x, w1, w2)",
    "float[N,2,4,4] x, float[N,3,3,2] g -> y = GridSample (x, g)",
    "float[N,2,3] t -> w = Constant <value = int64[3] {2, 4, 5}> (); n = Shape <end = 1> (t); "
    "s = Concat <axis = 0> (n, w); y = AffineGrid (t, s)",
    *_each('float[N,2,4,4] x -> w = Constant <value = float[4] {1.0, 1.0, 2.0, 0.5}> (); '
           'y = Resize <mode = "$m", coordinate_transformation_mode = "$c"> (x, , w)',
           m=("nearest", "linear"), c=("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")),
    "float[N,2,4,4] x -> s = Shape <end = 2> (x); w = Constant <value = int64[2] {7, 3}> (); "
    'f = Concat <axis = 0> (s, w); y = Resize <mode = "linear"> (x, , , f)',
    "float[N,2,4,4] x -> w = Constant <value = int64[2] {7, 3}> (); y = Resize <axes = [2, 3]> (x, , , w)",
    "@10 float[N,2,4,4] x -> w = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> (); y = Resize (x, w)",
    "@9 float[N,2,4,4] x -> w = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> (); y = Upsample (x, w)",
    "@7 float[N,2,4,4] x -> y = Upsample <scales = [1.0, 1.0, 2.0, 2.0]> (x)",
)  # fmt: skip

NORMALIZING = (
    "float[N,4,3] x, float[3] w, float[3] w2 -> y = LayerNormalization (x, w, w2)",
    "float[N,4,3] x, float[4,3] w -> y1, y2, y3 = LayerNormalization <axis = 1> (x, w)",
    "@24 float[N,4,3] x, float[3] w -> y = RMSNormalization (x, w)",
    "float[N,4,3] x, float[3] w -> y = SimplifiedLayerNormalization <axis = -1, epsilon = 0.00001> (x, w)",
    "float[N,4,3] x, float[4] w -> y = InstanceNormalization (x, w, w)",
    "@21 float[N,4,3] x, float[4] w -> y = GroupNormalization <num_groups = 2> (x, w, w)",
    "float[N,4] x -> y = LpNormalization (x)",
    "float[N,2,3,3] x -> y = MeanVarianceNormalization <axes = [2, 3]> (x)",
    "float[N,4,3,3] x -> y = LRN <size = 3> (x)",
    "float[N,4] x, float w_scale, uint8 w2 -> y = QuantizeLinear (x, w_scale, w2)",
    "float[N,4] x, float[4] w_scale, uint8[4] w2 -> y = QuantizeLinear (x, w_scale, w2)",
    "uint8[N,4] x, float[1] w_scale, uint8[1] w2 -> y = DequantizeLinear (x, w_scale, w2)",
    "uint8[N,4] x, float[4] w_scale, uint8[4] w2 -> y = DequantizeLinear <axis = -1> (x, w_scale, w2)",
    "float[N,4] x, float[N,2] s_scale -> y = QuantizeLinear <axis = 1, block_size = 2> (x, s_scale)",
)  # fmt: skip

SEQUENCES = (
    *_each("float[T,N,3] x, float[1,$g,3] w, float[1,$g,2] w2 -> y1, y2 = $op <hidden_size = 2> (x, w, w2)",
           op=("RNN",), g=(2,)),
    *_each("float[T,N,3] x, float[2,$g,3] w, float[2,$g,2] w2, float[2,$b] w3, int32[N] l, float[2,N,2] h -> "
           'l1 = Abs (l); o = Constant <value = int32[1] {1}> (); l2 = Add (l1, o); '
           'y1, y2 = $op <hidden_size = 2, direction = "bidirectional"> (x, w, w2, w3, l2, h)',
           op=("GRU",), g=(6,), b=(12,)),
    "float[T,N,3] x, float[1,8,3] w, float[1,8,2] w2, float[1,N,2] h, float[1,N,2] c, float[1,6] w3 -> "
    "y1, y2, y3 = LSTM <hidden_size = 2> (x, w, w2, , , h, c, w3)",
    # A first state of zeros, as many as there are items.
    "float[T,N,3] x, float[1,8,3] w, float[1,8,2] w2 -> n = Shape <start = 1, end = 2> (x); "
    "o = Constant <value = int64[1] {1}> (); t = Constant <value = int64[1] {2}> (); "
    "s = Concat <axis = 0> (o, n, t); h = ConstantOfShape (s); "
    "y1, y2, y3 = LSTM <hidden_size = 2> (x, w, w2, , , h, h)",
    "@23 float[N,2,T,4] q, float[N,2,S,4] k, float[N,2,S,4] v -> y = Attention (q, k, v)",
    "@23 float[N,T,8] q, float[N,S,8] k, float[N,S,8] v, float[T,S] w -> "
    "y = Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, v, w)",
    "@23 float[N,2,T,4] q, float[N,2,S,4] k, float[N,2,S,4] v, bool[N,1,T,S] m -> y = Attention (q, k, v, m)",
    "@23 float[N,2,T,4] q, float[N,2,S,4] k, float[N,2,S,4] v, float[N,2,P,4] pk, float[N,2,P,4] pv -> "
    "y1, y2, y3 = Attention <is_causal = 1> (q, k, v, , pk, pv)",
    "@23 float[N,2,T,4] x, float[6,2] w, float[6,2] w2, int64[N,T] i -> y = RotaryEmbedding (x, w, w2, i)",
    "@23 float[N,2,T,4] x, float[N,T,2] c, float[N,T,2] s -> y = RotaryEmbedding (x, c, s)",
    "@27 float[N,T,4] q, float[N,T,4] k, float[N,T,4] v -> "
    'y1, y2 = LinearAttention <q_num_heads = 2, kv_num_heads = 2, update_rule = "linear"> (q, k, v)',
    "@27 float[N,3,T] x, float[3,1,3] w, float[3] w2, float[N,3,2] p -> "
    "y1, y2 = CausalConvWithState (x, w, w2, p)",
    "@17 float[N,8,1] x -> y = DFT <axis = 1> (x)",
    "float[N,8,1] x -> w = Constant <value = int64 {1}> (); y = DFT <onesided = 1> (x, , w)",
    *_each("float[N,4] x -> w = Constant <value = int64 {4}> (); h = $op (w); y = Mul (x, h)",
           op=("HannWindow", "HammingWindow", "BlackmanWindow")),
    "float[N,5] x -> b = Constant <value = int64 {4}> (); d = Constant <value = int64 {8}> (); "
    "r = Constant <value = int64 {8000}> (); l = Constant <value = float {20.0}> (); "
    "u = Constant <value = float {4000.0}> (); m = MelWeightMatrix (b, d, r, l, u); y = MatMul (x, m)",
    "float[N,16,1] x, float[4] w -> f = Constant <value = int64 {2}> (); y = STFT (x, f, w)",
)  # fmt: skip

TEXTS = (
    'string[N] x -> y = RegexFullMatch <pattern = "a"> (x)',
    "string[N,2] x, string w -> y = StringConcat (x, w)",
    'string[N] x -> y = StringNormalizer <locale = "C.UTF-8", case_change_action = "UPPER"> (x)',
    'int64[N,3] x -> y = TfIdfVectorizer <mode = "TF", min_gram_length = 1, max_gram_length = 1, '
    "max_skip_count = 0, ngram_counts = [0], ngram_indexes = [0, 1], pool_int64s = [0, 1]> (x)",
    'string[N] x -> y = ai.onnx.ml.LabelEncoder <keys_strings = ["a", ""], values_int64s = [1, 2]> (x)',
)  # fmt: skip

_TREE = (
    "nodes_falsenodeids = [2, 0, 0], nodes_featureids = [0, 0, 0], "
    'nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_nodeids = [0, 1, 2], '
    "nodes_treeids = [0, 0, 0], nodes_truenodeids = [1, 0, 0], nodes_values = [0.1, 0.0, 0.0]"
)
TABLES = (
    "float[N,3] x -> y1, y2 = ai.onnx.ml.TreeEnsembleClassifier <class_ids = [0, 1], class_nodeids = [1, 2], "
    f"class_treeids = [0, 0], class_weights = [1.0, 1.0], classlabels_int64s = [5, 7], {_TREE}> (x)",
    "float[N,3] x -> y = ai.onnx.ml.TreeEnsembleRegressor <target_ids = [0, 0], target_nodeids = [1, 2], "
    f"target_treeids = [0, 0], target_weights = [1.0, 2.0], n_targets = 1, {_TREE}> (x)",
    "float[N,3] x -> y1, y2 = ai.onnx.ml.LinearClassifier <coefficients = [1.0, 2.0, 3.0, 0.5, 0.1, -1.0], "
    'intercepts = [0.0, 1.0], classlabels_ints = [3, 4], post_transform = "SOFTMAX"> (x)',
    "float[N,3] x -> y = ai.onnx.ml.LinearRegressor <coefficients = [1.0, 2.0, 3.0]> (x)",
    "float[N,2] x -> y = ai.onnx.ml.SVMRegressor <coefficients = [1.0, -1.0], n_supports = 2, rho = [0.5], "
    'support_vectors = [1.0, 0.0, 0.0, 1.0], kernel_type = "LINEAR", kernel_params = [0.1, 0.0, 3.0]> (x)',
    "float[N,2] x -> y1, y2 = ai.onnx.ml.SVMClassifier <classlabels_ints = [0, 1], coefficients = [1.0, -1.0], "
    "vectors_per_class = [1, 1], rho = [0.5], support_vectors = [1.0, 0.0, 0.0, 1.0], "
    'kernel_type = "LINEAR", kernel_params = [0.1, 0.0, 3.0]> (x)',
    "float[N,3] x -> y = ai.onnx.ml.Scaler <offset = [0.0, 1.0, 2.0], scale = [1.0, 2.0, 3.0]> (x)",
    *_each('float[N,3] x -> y = ai.onnx.ml.Normalizer <norm = "$n"> (x)', n=("MAX", "L1", "L2")),
    "float[N,3] x -> y = ai.onnx.ml.Imputer <imputed_value_floats = [1.0, 2.0, 3.0], replaced_value_float = 0.0> (x)",
    "int64[N] x -> y = ai.onnx.ml.OneHotEncoder <cats_int64s = [0, 1, 2]> (x)",
    "float[N,3] x -> y = ai.onnx.ml.Binarizer <threshold = 0.1> (x)",
    'string[N] x -> y = ai.onnx.ml.CategoryMapper <cats_int64s = [1, 2], cats_strings = ["a", ""]> (x)',
    "float[N,3] x -> w = Constant <value = int64[2] {0, 2}> (); y = ai.onnx.ml.ArrayFeatureExtractor (x, w)",
    # A label by its number.
    "float[N,3] x, int64[3] w -> i = ArgMax <axis = 1> (x); a = ai.onnx.ml.ArrayFeatureExtractor (w, i); "
    "s = Constant <value = int64[1] {-1}> (); y = Reshape (a, s)",
    "float[N,3] x, float[N,2] b -> y = ai.onnx.ml.FeatureVectorizer <inputdimensions = [3, 2]> (x, b)",
    "float[N,3] x -> y = ai.onnx.ml.TreeEnsemble <n_targets = 1, tree_roots = [0], "
    "nodes_splits = float[1] {0.1}, nodes_featureids = [0], nodes_modes = uint8[1] {0}, "
    "nodes_truenodeids = [0], nodes_trueleafs = [1], nodes_falsenodeids = [1], nodes_falseleafs = [1], "
    "leaf_targetids = [0, 0], leaf_weights = float[2] {1.0, 2.0}> (x)",
)  # fmt: skip

_Q = "float w1_scale, uint8 w2, float w3_scale, uint8 w4"
FUSED = (
    *_each("float[N,T,4] x -> y = com.microsoft.$op (x)", op=("Gelu", "QuickGelu")),
    "int32[N] x -> y = com.microsoft.MurmurHash3 (x)",
    *_each("float[N,T,4] x, float[4] w -> y = com.microsoft.$op (x, w)", op=("BiasGelu", "FastGelu")),
    "float[N,T,4] x, float[4] w, float[N,T,4] b -> y = com.microsoft.BiasAdd (x, w, b)",
    "float[N,T,4] x, float[N,T,4] b, float[4] w, float[4] w2, float[4] w3 -> "
    "y, a, b2, y2 = com.microsoft.SkipLayerNormalization (x, b, w, w2, w3)",
    "float[N,T,4] x, float[N,T,4] b, float[4] w -> y = com.microsoft.SkipSimplifiedLayerNormalization (x, b, w)",
    "int32[N,T] i, int32[N,T] s, float[5,4] w, float[8,4] w2, float[3,4] w3, float[4] w4, int32[N,T] m -> "
    "y1, y2 = com.microsoft.EmbedLayerNormalization (i, s, w, w2, w3, w4, w4, m)",
    "float[N,T,4] x, float[4,12] w, float[12] w2, int32[N,T] m -> "
    "y = com.microsoft.Attention <num_heads = 2> (x, w, w2, m)",
    "float[N,T,4] x, float[4,12] w, float[12] w2, float[2,N,2,P,2] p -> "
    "y1, y2 = com.microsoft.Attention <num_heads = 2, unidirectional = 1> (x, w, w2, , p)",
    "float[N,T,4] q, float[N,S,4] k, float[N,S,4] v, float[12] w, float[1,2,T,S] w2 -> "
    "y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, w, , w2)",
    "float[N,T,4] q, float[N,S,4] k, float[N,S,4] v, float[N,2,P,2] pk, float[N,2,P,2] pv -> "
    "y1, y2, y3 = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v, , , , pk, pv)",
    "float[N,2,T,4] x, int64[N,T] i, float[8,2] w, float[8,2] w2 -> y = com.microsoft.RotaryEmbedding (x, i, w, w2)",
    "float[N,2,T,4] x, int64[1] w3, float[8,2] w, float[8,2] w2 -> y = com.microsoft.RotaryEmbedding (x, w3, w, w2)",
    "uint8[N,T,4] x, int8[4,12] w, float[12] w2, float w3_scale, float w4_scale, int32[N] m, uint8 w5, int8 w6 -> "
    "y = com.microsoft.QAttention <num_heads = 2> (x, w, w2, w3_scale, w4_scale, m, w5, w6)",
    "float[N,2,3] x, float[4,3] w -> y = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (x, w)",
    "float[N,3,2] x, float[N,3,2] b -> y = com.microsoft.FusedMatMul <transA = 1> (x, b)",
    "float[N,2,3] x, float[4,3] w -> y = com.microsoft.TransposeMatMul <transB = 1> (x, w)",
    'float[N,3] x, float[3,2] w, float[2] w2 -> y = com.microsoft.FusedGemm <activation = "Relu"> (x, w, w2)',
    'float[N,2,5,5] x, float[3,2,2,2] w, float[3] w2, float[N,3,4,4] z -> '
    'y = com.microsoft.FusedConv <activation = "Relu"> (x, w, w2, z)',
    *_each("float[N,16] x, uint8[4,1,8] w, float[4] w_scale -> y = com.microsoft.MatMulNBits "
           "<K = 16, N = 4, bits = 4, block_size = 16, accuracy_level = $a> (x, w, w_scale)", a=(0, 4)),
    "float[N,3,3] x -> y = com.microsoft.Inverse (x)",
    'float[N,3] x, float[5,3] w -> y = com.microsoft.CDist <metric = "sqeuclidean"> (x, w)',
    "float[N,1,4,4] x, float[N,3,3,2] g -> y = com.microsoft.GridSample (x, g)",
    "float[N,3,3] x -> y = com.microsoft.Trilu (x)",
)  # fmt: skip
QUANTIZED = (
    *_each(f"uint8[N,4] x, {_Q} -> y = com.microsoft.$op (x, w1_scale, w2, w3_scale, w4)",
           op=("QLinearSigmoid", "QLinearLeakyRelu")),
    *_each(f"uint8[N,4] x, uint8[N,4] b, {_Q} -> "
           "y = com.microsoft.$op (x, w1_scale, w2, b, w3_scale, w4, w1_scale, w2)", op=("QLinearAdd", "QLinearMul")),
    f"bool[N,4] c, uint8[N,4] x, uint8[N,4] b, {_Q} -> "
    "y = com.microsoft.QLinearWhere (c, x, w1_scale, w2, b, w3_scale, w4, w1_scale, w2)",
    f"uint8[N,4] x, uint8[N,2] b, {_Q} -> y = com.microsoft.QLinearConcat <axis = 1> "
    "(w1_scale, w2, x, w3_scale, w4, b, w1_scale, w2)",
    *_each(f"uint8[N,4] x, {_Q} -> y = com.microsoft.QLinearSoftmax <axis = $a, opset = $o> "
           "(x, w1_scale, w2, w3_scale, w4)", a=(-1, 1), o=(11, 13)),
    f"uint8[N,2,4,4] x, {_Q} -> y = com.microsoft.QLinearAveragePool <kernel_shape = [2, 2]> "
    "(x, w1_scale, w2, w3_scale, w4)",
    f"uint8[N,4,4,2] x, {_Q} -> y = com.microsoft.QLinearAveragePool <kernel_shape = [2, 2], channels_last = 1> "
    "(x, w1_scale, w2, w3_scale, w4)",
    *_each(f"uint8[N,4,4,2] x, {_Q} -> y = com.microsoft.QLinearGlobalAveragePool <channels_last = $c> "
           "(x, w1_scale, w2, w3_scale, w4)", c=(0, 1)),
    "uint8[N,4,4,2] x -> y = com.microsoft.NhwcMaxPool <kernel_shape = [2, 2]> (x)",
    *_each(f"uint8[N,$s] x, uint8[3,2,2,2] w, {_Q} -> y = com.microsoft.QLinearConv <channels_last = $c> "
           "(x, w1_scale, w2, w, w3_scale, w4, w1_scale, w2)", s=("2,4,4",), c=(0,)),
    f"uint8[N,4,4,2] x, uint8[3,2,2,2] w, {_Q} -> y = com.microsoft.QLinearConv <channels_last = 1> "
    "(x, w1_scale, w2, w, w3_scale, w4, w1_scale, w2)",
    f"uint8[N,3] x, uint8[3,2] w, {_Q}, int32[2] w5 -> "
    "y = com.microsoft.QGemm (x, w1_scale, w2, w, w3_scale, w4, w5, w1_scale, w2)",
    f"uint8[N,3] x, uint8[3,2] w, {_Q} -> y = com.microsoft.MatMulIntegerToFloat (x, w, w1_scale, w3_scale, w2, w4)",
    "float[N,4] x, float w_scale, uint8 w2 -> y = com.microsoft.QuantizeLinear (x, w_scale, w2)",
    "uint8[N,4] x, float w_scale, uint8 w2 -> y = com.microsoft.DequantizeLinear (x, w_scale, w2)",
)  # fmt: skip

PROVEN = (
    *ELEMENTWISE, *SHAPING, *MOVING, *REDUCING, *PRODUCTS, *PICTURES, *NORMALIZING, *SEQUENCES,
    *TEXTS, *TABLES, *FUSED, *QUANTIZED,
)  # fmt: skip

# Operators that the runtime has no kernel for, or only in another version.
NOT_RUN = ("= Swish", "= SwiGLU", "= com.microsoft.BiasAdd", "@3 ")

# Operators that never keep items apart.
NEVER_PROVEN = {
    ("", "DynamicQuantizeLinear"),
    ("", "EyeLike"),
    ("", "MaxRoiPool"),
    ("", "NonMaxSuppression"),
    ("", "NonZero"),
    ("", "RoiAlign"),
    ("", "StringSplit"),
    ("", "Unique"),
    ("ai.onnx.ml", "CastMap"),
    ("ai.onnx.ml", "DictVectorizer"),
    ("ai.onnx.ml", "ZipMap"),
    ("com.microsoft", "DynamicQuantizeLSTM"),
    ("com.microsoft", "DynamicQuantizeMatMul"),
}

_M = "mixes items along N"
_U = "may mix items along N"
_ENTRY = "a constant has an entry for each"
_OTHERS = "each meets all others"
_SUMS = "it sums over them"
_JOINED = "a new axis may join parts of different items"


def _all(lines: tuple[str, ...], reason: str) -> dict[str, str]:
    """The lines, each with the reason; $op is the operator of the last statement."""
    return {line: reason.replace("$op", _operator(line)) for line in lines}


def _operator(line: str) -> str:
    statement = line.partition(" -> ")[2].rpartition(";")[2]
    name = statement.partition(" = ")[2].split()[0]
    return name.rpartition(".")[2]


MIXING = {
    **_all(
        (
            *_each("float[N,3] x, float[5,3] w -> y = $op (x, w)", op=_ARITHMETIC),
            *_each("bool[N,3] x, bool[5,1] w -> y = $op (w, x)", op=_LOGIC),
            "bool[5,1] w, float[N,3] x, float w2 -> y = Where (w, x, w2)",
        ),
        f"$op {_M}: {_ENTRY}",
    ),
    "float[N,3] x, float[3,N] b -> y = Add (x, b)": f"Add {_M}",
    "float[N,3] x, float[M,3] w -> y = Add (x, w)": f"Add {_U}: an operand may have an entry for each",
    "float[N,3] x, float[N] b -> y = Sub (x, b)": f"Sub {_M}",
    "float[N,3] x -> w = Constant <value = float {0.5}> (); t = Constant <value = bool {1}> (); "
    "y = Dropout (x, w, t)": "Dropout is random",
    "@6 float[N,3] x -> y = Dropout (x)": "Dropout is random",
    "float[N,3] x, float[3] w -> y, a, b = BatchNormalization <training_mode = 1> (x, w, w, w, w)":
        f"BatchNormalization {_M}: it normalizes by the batch",
    "float[3,N] x, float[N] b -> y = BatchNormalization (x, b, b, b, b)":
        f"BatchNormalization {_U}: its input 1 differs from item to item",
    **_all(
        (
            *_each("float[N,3] x -> w = Constant <value = int64[1] {0}> (); y = $op (x, w)", op=_REDUCTIONS),
            *_each("float[N,3] x -> y = $op <axis = 0> (x)",
                   op=("ArgMax", "ArgMin", "Softmax", "LogSoftmax", "Hardmax", "LpNormalization")),
            *_each("float[N,3] x -> y = $op (x)", op=("ReduceSum", "ReduceMax")),
            # Before opset 13 the axis and all behind it.
            *_each("@11 float[2,3,N] x -> y = $op <axis = 1> (x)", op=("Softmax", "LogSoftmax", "Hardmax")),
            *_each("float[N,3] x -> w = Constant <value = int64 {-2}> (); y = $op (x, w)", op=("CumSum",)),
            "float[N,3] x, int64[1] w -> y, a = TopK <axis = 0> (x, w)",
            "float[2,N,2] x -> y = Det (x)",
            "float[N,3,4] x, float[3] w -> y = LayerNormalization <axis = 0> (x, w)",
            "@24 float[4,N] x, float w -> y = RMSNormalization <axis = 1> (x, w)",
            "float[3,N,4] x, float[2] w -> y = InstanceNormalization (x, w, w)",
            "float[N,2,3,3] x -> y = MeanVarianceNormalization (x)",
            "float[3,N,3,3] x -> y = LRN <size = 3> (x)",
            "float[2,N,3,3] x, float[4,2,1,1] w -> y = Conv (x, w)",
            "float[2,4,N] x -> y = MaxPool <kernel_shape = [2]> (x)",
            "float[2,4,N] x -> y = GlobalAveragePool (x)",
            "float[2,N,3,3] x -> y = DepthToSpace <blocksize = 1> (x)",
            "float[N,4,3] x, float[1,2,3] w, float[1,2,2] w2 -> y = RNN <hidden_size = 2> (x, w, w2)",
            "float[N,2] x, float[N,2] b -> y = Concat <axis = 0> (x, b)",
            "float[N,4] x -> y, a = Split <axis = 0, num_outputs = 2> (x)",
            "float[N,4] x -> s = Constant <value = int64[1] {0}> (); e = Constant <value = int64[1] {1}> (); "
            "y = Slice (x, s, e, s)",
            "float[N,4] x -> s = Constant <value = int64[1] {-1}> (); e = Constant <value = int64[1] {-9999}> ();"
            " a = Constant <value = int64[1] {0}> (); y = Slice (x, s, e, a, s)",
            "float[N,4] x -> w = Constant <value = int64[4] {1, 0, 0, 0}> (); y = Pad (x, w)",
            "float[N,4] x -> w = Constant <value = int64[1] {3}> (); y = CenterCropPad <axes = [0]> (x, w)",
            "float[N,4] x, int64[N] l -> y = ReverseSequence <batch_axis = 1, time_axis = 0> (x, l)",
            "float[N,4] x, int64[N,4] i, float[N,4] u -> y = ScatterElements (x, i, u)",
            "float[N,4] x, int64[N,4] i -> y = GatherElements (x, i)",
            "float[N,1,4] x -> w = Constant <value = float[3] {2.0, 1.0, 1.0}> (); y = Resize (x, , w)",
            "@9 float[N,4] x -> w = Constant <value = float[2] {2.0, 1.0}> (); y = Upsample (x, w)",
            "float[N] x -> y = ai.onnx.ml.LinearRegressor <coefficients = [1.0]> (x)",
            'float[3,N] x -> y = ai.onnx.ml.Normalizer <norm = "L2"> (x)',
            "float[N,8,1] x -> w = Constant <value = int64 {0}> (); y = DFT (x, , w)",
            "@23 float[2,N,3,4] q, float[2,N,3,4] k, float[2,N,3,4] v -> y = Attention (q, k, v)",
        ),
        f"$op {_M}",
    ),
    "float[N,3] x, float[3,N] b -> y = MatMul (x, b)": f"MatMul {_M}: {_OTHERS}",
    "float[3,N] x, float[5,3] w -> y = MatMul (x, w)": f"MatMul {_M}: {_SUMS}",
    "float[N] x, float[5] w -> y = MatMul (x, w)": f"MatMul {_M}: {_SUMS}",
    "float[N,2,3] x, float[5,3,4] w -> y = MatMul (x, w)": f"MatMul {_M}: {_ENTRY}",
    "float[N,3] x, float[3,2] w, float[5,2] w2 -> y = Gemm (x, w, w2)": f"Gemm {_M}: {_ENTRY}",
    "float[N,3] x, float[5,2] w -> y = Gemm <transA = 1> (x, w)": f"Gemm {_M}: {_SUMS}",
    'float[N,3] x, float[N,3] b -> y = Einsum <equation = "ij,kj->ik"> (x, b)': f"Einsum {_M}: {_OTHERS}",
    'float[N,3] x, float[N,3] b -> y = Einsum <equation = "ij,ij->j"> (x, b)': f"Einsum {_M}: {_SUMS}",
    "uint8[N,3] x, uint8[3,2] w, uint8[5] w2 -> y = MatMulInteger (x, w, w2)":
        f"MatMulInteger {_U}: a scale may be for some of them",
    "float[N,3] x -> y, a, b = DynamicQuantizeLinear (x)":
        f"DynamicQuantizeLinear {_M}: one scale for all",
    "float[N,4] x, int8[4,2] w, float[2] w2 -> y = com.microsoft.DynamicQuantizeMatMul (x, w, w2)":
        f"DynamicQuantizeMatMul {_M}: one scale for all",
    "float[4,N,3] x, int8[1,3,8] w, int8[1,2,8] w2, float[1] w3, int8[1] w4 -> "
    "y = com.microsoft.DynamicQuantizeLSTM <hidden_size = 2> (x, w, w2, , , , , , w3, w4, w3, w4)":
        f"DynamicQuantizeLSTM {_M}: one scale for all",
    "float[N,4] x, float[5] w_scale -> y = QuantizeLinear <axis = 0> (x, w_scale)":
        f"QuantizeLinear {_U}: a scale may be for some of them",
    "uint8[N,4] x, float[4] s -> y = com.microsoft.QLinearSigmoid (x, s, , s)":
        "input 's' does not carry the axis N",
    "float[N,2,3] x -> w = Constant <value = int64[1] {-1}> (); a = Reshape (x, w); y = Neg (a)":
        "output 'y' has more than one entry for each item of N",
    "float[N,6] x -> w = Constant <value = int64[2] {-1, 4}> (); y = Reshape (x, w)": f"Reshape {_U}: {_JOINED}",
    "float[2,N,3] x -> w = Constant <value = int64[2] {-1, 3}> (); y = Reshape (x, w)":
        "output 'y' has more than one entry for each item of N",
    "float[2,N,3] x -> w = Constant <value = int64[2] {-1, 2}> (); y = Reshape (x, w)": f"Reshape {_U}: {_JOINED}",
    # [2, N] to [2 N] to [N, 2]: the entries of an item do not lie together.
    "float[2,N] x -> w = Constant <value = int64[1] {-1}> (); a = Reshape (x, w); "
    "v = Constant <value = int64[2] {-1, 2}> (); y = Reshape (a, v)": f"Reshape {_U}: {_JOINED}",
    "float[N,6] x -> w = Constant <value = int64[2] {5, 6}> (); y = Reshape (x, w)":
        f"Reshape {_M}: its shape has no axis for them",
    "float[N,6] x, int64[2] w -> y = Reshape (x, w)": f"Reshape {_M}: its shape has no axis for them",
    "float[N,2] x -> y = Flatten <axis = 0> (x)": "output 'y' has more than one entry for each item of N",
    "float[2,N,3] x -> y = Flatten <axis = 2> (x)": "output 'y' has more than one entry for each item of N",
    "float[N,3] x -> w = Constant <value = int64[1] {0}> (); y = Squeeze (x, w)":
        f"Squeeze {_M}: it asks for a single one",
    "float[N,1] x -> y = Squeeze (x)": f"Squeeze {_M}: the axis goes where there is a single one",
    "float[N,3] x -> w = Constant <value = int64[2] {5, 3}> (); y = Expand (x, w)":
        f"Expand {_U}: its shape may repeat or cut them",
    "float[N,3] x -> w = Constant <value = int64[2] {2, 1}> (); y = Tile (x, w)": f"Tile {_M}: it repeats them",
    "float[N,3] x -> s = Shape (x); n = Size (x); y = Identity (s)": "output 'y' does not carry the axis N",
    "float[N] x -> n = Size (x); z = Constant <value = int64 {0}> (); o = Constant <value = int64 {1}> (); "
    "y = Range (z, n, o)": "output 'y' tells items apart along N by their place",
    "float[N,3] x -> s = Shape <end = 1> (x); t = Concat <axis = 0> (s, s); y = ConstantOfShape (t)":
        f"ConstantOfShape {_M}: its shape has their number more than once",
    "float[N,3] x -> n = Shape <end = 1> (x); c = Cast <to = 1> (n); y = Div (x, c)":
        "Div computes with the number of items along N",
    "float[N,4] x, bool[N] c -> y = Compress <axis = 0> (x, c)": f"Compress {_M}: it drops some",
    "float[N,4] x, bool[4] w -> y = Compress (x, w)": f"Compress {_M}: it flattens them",
    "float[N,N2] x, float[N,4] b -> y = Trilu (b)": f"Trilu {_M}: what is kept depends on the place",
    "float[N,3] x -> y = EyeLike (x)": f"EyeLike {_M}: what it makes depends on the place",
    "float[N,3] x -> y = NonZero (x)": f"NonZero {_M}: what it finds in all of them decides the size",
    "float[N] x -> y = Unique (x)": f"Unique {_M}: what it finds in all of them decides the size",
    "float[N,4,4] x, float[N,1,4] s, int64[1] w -> y = NonMaxSuppression (x, s, w)":
        f"NonMaxSuppression {_M}: what it finds in all of them decides the size",
    "float[N,2,4,4] x, float[3,4] w, int64[3] w2 -> y = RoiAlign (x, w, w2)":
        f"RoiAlign {_M}: its regions choose them by number",
    "float[N,2,4,4] x, float[3,5] w -> y = MaxRoiPool <pooled_shape = [2, 2]> (x, w)":
        f"MaxRoiPool {_M}: its regions choose them by number",
    "float[N,4] x, int64[2] w -> y = Gather (x, w)": f"Gather {_M}: it chooses some by their place",
    "float[N,4] x, int64[N] i -> y = Gather <axis = 1> (x, i)": f"Gather {_M}: its indices are not told apart by item",
    "float[N,4] x, int64[2,4] w -> y = GatherElements (x, w)":
        f"GatherElements {_M}: not all of its inputs carry them on one axis",
    "float[N,4] x, int64[N,1] i -> y = GatherND (x, i)": f"GatherND {_M}: its indices are not told apart by item",
    "float[N,4] x, float[2,4] w2 -> w = Constant <value = int64[2,1] {0, 1}> (); y = ScatterND (x, w, w2)":
        f"ScatterND {_M}: it writes to some by their place",
    "float[N,2,8] x -> y, i = MaxPool <kernel_shape = [2]> (x); y2 = Identity (i)":
        "MaxPool mixes items: its indices count through the batch",
    "string[N] x -> y, a = StringSplit (x)": "StringSplit mixes items: it pads to the widest",
    'string[N] x -> y = StringNormalizer <stopwords = ["a"]> (x)': f"StringNormalizer {_M}: it drops stop words",
    'float[N,4] x -> y = ai.onnx.ml.ZipMap <classlabels_strings = ["a", "b", "c", "d"]> (x)':
        "ZipMap makes no tensor",
    'float[N,4] x -> y = ai.onnx.ml.DictVectorizer <string_vocabulary = ["a"]> (x)':
        "DictVectorizer makes no tensor",
    "float[N,4] x -> y = ai.onnx.ml.CastMap (x)": "CastMap makes no tensor",
    "float[N,5] x, int64[N] l -> y = SoftmaxCrossEntropyLoss (x, l)":
        f"SoftmaxCrossEntropyLoss {_M}: it joins their losses",
    'float[N,4] x -> w = Constant <value = float[2] {1.0, 2.0}> (); '
    'y = Resize <coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, , w)':
        f"Resize {_U}: it moves points along all axes",
    "float[N,4] x -> s = Shape <end = 1> (x); w = Constant <value = int64[1] {7}> (); f = Concat <axis = 0> (s, w);"
    ' y = Resize <keep_aspect_ratio_policy = "not_larger"> (x, , , f)':
        f"Resize {_U}: it fits all axes to one scale",
    "float[4,N,3] x, float[1,2,3] w, float[1,2,2] w2, float[1,5,2] w3 -> "
    "y = RNN <hidden_size = 2> (x, w, w2, , , w3)": f"RNN {_U}: its input 5 does not carry them",
    "@23 float[N,2,3,4] q, float[2,2,3,4] w, float[2,2,3,4] w2 -> y = Attention (q, w, w2)":
        f"Attention {_U}: not all of its inputs carry them",
    "@23 float[N,2,3,4] q, float[N,2,3,4] k, float[N,2,3,4] v, float[5,2,3,3] w -> y = Attention (q, k, v, w)":
        f"Attention {_M}: {_ENTRY}",
    "float[N,3] x -> y = RandomNormalLike (x)": "RandomNormalLike is random",
    "float[N,3] x -> r = RandomUniform <shape = [3]> (); y = Add (x, r)": "RandomUniform is random",
    "float[N,3] x -> y = com.microsoft.GroupQueryAttention (x)": "no rule for com.microsoft::GroupQueryAttention",
    "float[N,3] x -> s = SequenceConstruct (x); y = ConcatFromSequence <axis = 0> (s)":
        "no rule for ai.onnx::SequenceConstruct",
}  # fmt: skip
