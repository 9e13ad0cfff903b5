"""Cases that are proven: elementwise operators, shapes, moves, reductions and products."""

# ruff: noqa: E501 - a model is a line

from batch_operators import ARITHMETIC, BITS, COMPARISONS, LOGIC, REDUCTIONS, UNARY
from batch_text import each

ELEMENTWISE = (
    *each("float[$shape] x -> y = $op (x)", op=UNARY, shape=("N,3", "3,N")),
    *each("@28 float[N,3] x -> y = $op (x)", op=("Swish",)),
    "@28 float[N,3] x, float[N,3] b -> y = SwiGLU (x, b)",
    "@28 float[N,3] x -> y = BitCast <to = 6> (x)",
    *each("float[N,3] x, $w w -> y = $op (x, w)",
           op=(*ARITHMETIC, *COMPARISONS), w=("float", "float[3]", "float[1,3]", "float[1,1]")),
    *each("float[3,N] x, $w w -> y = $op (w, x)",
           op=("Add", "Sub"), w=("float", "float[3,1]", "float[2,3,1]")),
    *each("float[N,3] x, float[N,1] b -> y = $op (x, b)", op=ARITHMETIC),
    *each("bool[N,3] x, bool[N,3] b -> y = $op (x, b)", op=LOGIC),
    *each("int32[N,3] x, int32[3] w -> y = $op (x, w)", op=BITS),
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
    "float[4,N,6] x -> s = Shape <start = 1, end = 2> (x); m = Constant <value = int64[1] {2}> (); "
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
    *each("float[N,2,3] x -> y = Transpose <perm = [$p]> (x)", p=("0,2,1", "1,0,2", "2,1,0")),
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
    *each("float[N,4] x -> w = Constant <value = int64[4] {0, 1, 0, 2}> (); "
           'y = Pad <mode = "$mode"> (x, w)', mode=("constant", "reflect", "edge", "wrap")),
    "@10 float[N,4] x -> y = Pad <pads = [0, 1, 0, -1]> (x)",
    "float[N,4] x, float w -> p = Constant <value = int64[2] {1, 1}> (); "
    "a = Constant <value = int64[1] {1}> (); y = Pad (x, p, w, a)",
    "float[N,4] x, bool[4] w -> y = Compress <axis = 1> (x, w)",
    "float[N,4] x -> w = Constant <value = int64[1] {3}> (); y = CenterCropPad <axes = [1]> (x, w)",
    "float[N,4] x, int64[N] l -> y = ReverseSequence <batch_axis = 0, time_axis = 1> (x, l)",
    "float[4,N] x, int64[N] l -> y = ReverseSequence (x, l)",
    "float[N,3,3] x -> y = Trilu (x)",
    *each("int64[N,2] x, float[2] w -> d = Constant <value = int64 {3}> (); "
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
    *each("float[N,3,2] x -> w = Constant <value = int64[$c] {$a}> (); y = $op <keepdims = $k> (x, w)",
           op=REDUCTIONS, c=(1,), a=(1, -1), k=(0, 1)),
    *each("@11 float[3,N,2] x -> y = $op <axes = [0, -1], keepdims = $k> (x)", op=REDUCTIONS, k=(0, 1)),
    "float[N,3] x -> y = ReduceSum <noop_with_empty_axes = 1> (x)",
    *each("float[N,3] x -> y = $op <axis = $a, keepdims = $k> (x)", op=("ArgMax", "ArgMin"), a=(1, -1), k=(0, 1)),
    "float[3,N] x -> y = ArgMax (x)",
    *each("float[N,3,2] x -> y = $op <axis = $a> (x)", op=("Softmax", "LogSoftmax", "Hardmax"), a=(-1, 1)),
    *each("@11 float[N,3,2] x -> y = $op (x)", op=("Softmax", "LogSoftmax", "Hardmax")),
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

# The numbers of the items: arange(n).
_NUMBERS = (
    "z = Constant <value = int64 {0}> (); o = Constant <value = int64 {1}> (); e = Constant <value = int64[1] {-1}> (); "
    "k = Constant <value = int64[1] {0}> (); n = Shape <end = 1> (x); m = Squeeze (n, k); a = Range (z, m, o); "
)
POINTING = (
    # x[arange(n), argmax], by tuples of indices and by places in a flat tensor.
    "float[N,T,2] x, int64[N,T] i -> " + _NUMBERS + "b = ArgMax <axis = 1, keepdims = 0> (i); "
    "c = Unsqueeze (a, e); d = Unsqueeze (b, e); f = Concat <axis = 1> (c, d); y = GatherND (x, f)",
    "float[N,T,2] x, int64[N,T] i -> " + _NUMBERS + "b = ArgMax <axis = 1, keepdims = 0> (i); "
    "t = Shape <start = 1, end = 2> (x); c = Mul (a, t); d = Add (c, b); "
    "l = Constant <value = int64[2] {-1, 2}> (); g = Reshape (x, l); y = Gather (g, d)",
    # mask[arange(n)[:, None], arange(T)], both spread to [N, T].
    "float[N,T] x -> "
    + _NUMBERS
    + "t = Shape <start = 1> (x); s = Squeeze (t, k); r = Range (z, s, o); "
    "c = Unsqueeze (a, e); h = Max (c, r); v = Shape (h); p = Expand (c, v); q = Expand (r, v); "
    "p1 = Unsqueeze (p, e); q1 = Unsqueeze (q, e); f = Concat <axis = -1> (p1, q1); y = GatherND (x, f)",
    # x[arange(n), i] = u.
    "float[N,3] x, int64[N] i, float[N] u -> "
    + _NUMBERS
    + "c = Unsqueeze (a, e); d = Unsqueeze (i, e); "
    "f = Concat <axis = 1> (c, d); y = ScatterND (x, f, u)",
)
