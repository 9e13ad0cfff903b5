"""Cases that are not proven, each with the reason."""

# ruff: noqa: E501 - a model is a line

from batch_operators import ARITHMETIC, LOGIC, REDUCTIONS
from batch_text import each

_M = "mixes items along N"
_U = "may mix items along N"
_ENTRY = "a constant has an entry for each"
_OTHERS = "each meets all others"
_SUMS = "it sums over them"
_JOINED = "a new axis may join parts of different items"

_PLACE = "tells items apart along N by their place"
_NUMBERS = (
    "z = Constant <value = int64 {0}> (); o = Constant <value = int64 {1}> (); e = Constant <value = int64[1] {-1}> (); "
    "k = Constant <value = int64[1] {0}> (); n = Shape <end = 1> (x); m = Squeeze (n, k); a = Range (z, m, o); "
)


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
            *each("float[N,3] x, float[5,3] w -> y = $op (x, w)", op=ARITHMETIC),
            *each("bool[N,3] x, bool[5,1] w -> y = $op (w, x)", op=LOGIC),
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
            *each("float[N,3] x -> w = Constant <value = int64[1] {0}> (); y = $op (x, w)", op=REDUCTIONS),
            *each("float[N,3] x -> y = $op <axis = 0> (x)",
                   op=("ArgMax", "ArgMin", "Softmax", "LogSoftmax", "Hardmax", "LpNormalization")),
            *each("float[N,3] x -> y = $op (x)", op=("ReduceSum", "ReduceMax")),
            # Before opset 13 the axis and all behind it.
            *each("@11 float[2,3,N] x -> y = $op <axis = 1> (x)", op=("Softmax", "LogSoftmax", "Hardmax")),
            *each("float[N,3] x -> w = Constant <value = int64 {-2}> (); y = $op (x, w)", op=("CumSum",)),
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
    # By -n, which with one item stands for what is left.
    "float[N,6] x -> s = Shape <end = 1> (x); m = Neg (s); t = Constant <value = int64[1] {6}> (); "
    "f = Concat <axis = 0> (m, t); y = Reshape (x, f)": f"Reshape {_U}: its shape is not known",
    # Backward to an end that the standard and a runtime read differently.
    "float[N,6] x -> s = Shape (x); b = Constant <value = int64[1] {1}> (); m = Neg (b); "
    "e = Constant <value = int64[1] {9223372036854775807}> (); z = Constant <value = int64[1] {0}> (); "
    "f = Slice (s, b, e, z, m); y = Reshape (x, f)": "Slice computes with the number of items along N",
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
    "float[N,4,3] x -> y = com.microsoft.Inverse (x)": f"Inverse {_U}: its matrices may not be square",
    "float[N,3] x -> y = com.microsoft.GroupQueryAttention (x)": "no rule for com.microsoft::GroupQueryAttention",
    "float[N,3] x -> s = SequenceConstruct (x); y = ConcatFromSequence <axis = 0> (s)":
        "no rule for ai.onnx::SequenceConstruct",
    # Each item points at the one before it, or somewhere behind its own entries.
    "float[N,2] x -> " + _NUMBERS + "b = Sub (a, o); c = Unsqueeze (b, e); y = GatherND (x, c)":
        f"GatherND {_PLACE}",
    "float[N,2] x -> " + _NUMBERS + "b = Add (a, o); y = Gather (x, b)": f"Gather {_PLACE}",
    "float[N,2] x, float[5] w -> " + _NUMBERS + "y = Gather (w, a)": f"Gather {_PLACE}",
    "float[N,4] x -> " + _NUMBERS + "t = Constant <value = int64 {3}> (); b = Mul (a, t); "
    "g = Reshape (x, e); y = Gather (g, b)": f"Gather {_PLACE}",
    "float[N,4] x -> " + _NUMBERS + "c = Cast <to = 1> (a); d = Unsqueeze (c, e); b = Add (x, d); y = Relu (b)":
        f"Relu {_PLACE}",
    # The number of an item in the second column reads along the second axis.
    "float[N,4] x, int64[N] i -> " + _NUMBERS + "c = Unsqueeze (a, e); d = Unsqueeze (i, e); "
    "f = Concat <axis = 1> (d, c); y = GatherND (x, f)": f"GatherND {_PLACE}",
}  # fmt: skip
