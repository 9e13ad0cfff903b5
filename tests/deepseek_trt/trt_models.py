"""Small models, each with what our rules should say of it; the real parser is asked the same."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from onnx import TensorProto, helper, numpy_helper

F32, F16, BF16, F64 = 1, 10, 16, 11
I8, U8, I16, I32, I64, BOOL, TEXT, FP8, INT4 = 3, 2, 5, 6, 7, 9, 8, 17, 22
node = helper.make_node


@attrs.frozen
class Case:
    """A model; `rule` is the one that refuses it, empty where it is taken."""

    name: str
    model: object = attrs.field(repr=False)
    rule: str = ""
    stage: str = "parse"


def model(
    nodes: Sequence[object],
    inputs: Sequence[tuple],
    outputs: Sequence[tuple] = (("y", F32),),
    weights: dict[str, object] | None = None,
    opset: int = 17,
    domains: Sequence[str] = (),
) -> object:
    """A model of these nodes; inputs are (name, type, shape), outputs (name, type)."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, t, None) for n, t in outputs],
        [
            value
            if isinstance(value, TensorProto)
            else numpy_helper.from_array(np.asarray(value), name)
            for name, value in (weights or {}).items()
        ],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X = [("x", F32, [2, 3, 4])]
IMAGE = [("x", F32, [1, 3, 8, 8])]
CONV = np.ones((4, 3, 3, 3), np.float32)
SCALE, ZERO = np.float32(0.1), np.int8(0)


def quantized(zero: object, scale: object = SCALE, opset: int = 17, **weights: object) -> object:
    """x -> QuantizeLinear -> DequantizeLinear -> y."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], name="quantize"),
        node("DequantizeLinear", ["q", "s", "z"], ["y"], name="dequantize"),
    ]
    return model(nodes, X, weights={"s": scale, "z": zero, **weights}, opset=opset)


def quantized_conv(bias: str = "", axis: int = 0) -> object:
    """A convolution in TensorRT's placement; `bias` is "", "float" or "int32"."""
    count = CONV.shape[axis]
    nodes = [
        node("QuantizeLinear", ["x", "xs", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "xs", "z"], ["xf"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=axis),
    ]
    weights = {
        "xs": SCALE,
        "z": ZERO,
        "w": np.ones(CONV.shape, np.int8),
        "ws": np.full(count, 0.1, np.float32),
        "wz": np.zeros(count, np.int8),
    }
    inputs = ["xf", "wf"]
    if bias:
        inputs.append("b")
    if bias == "int32":
        nodes.append(node("DequantizeLinear", ["bq", "xs"], ["b"], name="bias"))
        weights["bq"] = np.ones(4, np.int32)
    elif bias:
        weights["b"] = np.ones(4, np.float32)
    nodes += [node("Conv", inputs, ["c"], name="conv"), node("Relu", ["c"], ["y"])]
    return model(nodes, IMAGE, weights=weights)


def one(
    operator: str, kind: int = F32, shape: Sequence = (2, 3, 4), out: int = 0, **given
) -> object:
    """One operator of one input."""
    opset = given.pop("opset", 17)
    return model(
        [node(operator, ["x"], ["y"], name="it", **given)],
        [("x", kind, list(shape))],
        [("y", out or kind)],
        opset=opset,
    )


def two(operator: str, other: object, inputs: Sequence[tuple] = X, **given) -> object:
    """One operator of an input and a constant."""
    return model(
        [node(operator, ["x", "w"], ["y"], name="it", **given)], inputs, weights={"w": other}
    )


def resized(scales: bool = True, **given) -> object:
    """A Resize by constant scales, or by scales that are an input."""
    inputs = IMAGE if scales else [*IMAGE, ("s", F32, [4])]
    weights = {"s": np.array([1, 1, 2, 2], np.float32)} if scales else {}
    return model(
        [node("Resize", ["x", "", "s"], ["y"], name="it", **given)],
        inputs,
        weights=weights,
        opset=18,
    )


def branches() -> object:
    """An If whose branches are told apart by an input."""

    def branch(name: str, operator: str) -> object:
        out = helper.make_tensor_value_info(f"{name}_y", F32, [2, 3, 4])
        return helper.make_graph([node(operator, ["x"], [f"{name}_y"])], name, [], [out])

    choose = node(
        "If",
        ["c"],
        ["y"],
        name="choose",
        then_branch=branch("t", "Relu"),
        else_branch=branch("e", "Neg"),
    )
    return model([choose], [*X, ("c", BOOL, [])])


def branches_of_two_ranks() -> object:
    """An If whose branches give different ranks."""
    given = branches()
    other = next(a.g for a in given.graph.node[0].attribute if a.name == "else_branch")
    other.node[0].CopyFrom(node("ReduceMax", ["x"], ["e_y"], keepdims=0))
    other.output[0].type.tensor_type.ClearField("shape")
    return given


def branches_with_unknown() -> object:
    """An If with an operator in a branch that nobody knows."""
    given = branches()
    given.graph.node[0].attribute[0].g.node[0].op_type = "Unheard"
    return given


def loop(count: object = None) -> object:
    """A Loop of three trips, or of as many as an input says."""
    body = helper.make_graph(
        [node("Identity", ["c"], ["c2"]), node("Add", ["v", "v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", I64, []),
            helper.make_tensor_value_info("c", BOOL, []),
            helper.make_tensor_value_info("v", F32, [2, 3, 4]),
        ],
        [
            helper.make_tensor_value_info("c2", BOOL, []),
            helper.make_tensor_value_info("v2", F32, [2, 3, 4]),
        ],
    )
    weights = {"n": np.int64(3), "go": np.bool_(True)} if count is None else {"go": np.bool_(True)}
    inputs = X if count is None else [*X, ("n", I64, [])]
    return model(
        [node("Loop", ["n", "go", "x"], ["y"], name="loop", body=body)], inputs, weights=weights
    )


def own_function(inner: str) -> object:
    """A model that calls a function of its own, which calls one operator."""
    function = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [node(inner, ["a"], ["b"], name="inner")],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    given = model([node("Twice", ["x"], ["y"], name="call", domain="mine")], X, domains=["mine"])
    given.functions.append(function)
    return given


FP8_ZERO = helper.make_tensor("z", FP8, [], [0.0])
_AXES = ints(1)

TAKEN = [
    Case("relu", one("Relu")),
    Case("conv_float", two("Conv", CONV, IMAGE)),
    Case("conv_quantized_per_channel", quantized_conv()),
    Case("conv_quantized_float_bias", quantized_conv("float")),
    Case("conv_quantized_along_input_channels", quantized_conv(axis=1)),
    Case("quantized_symmetric", quantized(ZERO)),
    Case("matmul", two("MatMul", np.ones((4, 5), np.float32))),
    Case("half", one("Softmax", F16)),
    Case("bfloat16", one("Relu", BF16)),
    Case("double", one("Relu", F64)),
    Case("int64_input", one("Abs", I64)),
    Case("bool_not", one("Not", BOOL)),
    Case("uint8_image_cast", one("Cast", U8, out=F32, to=F32)),
    Case("cast_to_uint8_output", one("Cast", out=U8, to=U8)),
    Case("uint8_table_gathered", model(
        [node("Gather", ["w", "x"], ["m"]), node("Cast", ["m"], ["y"], to=F32)],
        [("x", I64, [2])], weights={"w": np.arange(200, dtype=np.uint8)})),
    Case("reduce_constant_axes", two("ReduceSum", _AXES)),
    Case("squeeze", two("Squeeze", ints(0), [("x", F32, [1, 3])])),
    Case("unsqueeze_axes_of_a_range", model(
        [node("Range", ["b", "e", "d"], ["a"]), node("Unsqueeze", ["x", "a"], ["y"])], X,
        weights={"b": np.int64(0), "e": np.int64(2), "d": np.int64(1)})),
    Case("resize", resized(mode="nearest")),
    Case("resize_by_computed_scales", model(
        [node("Shape", ["x"], ["a"]), node("Cast", ["a"], ["f"], to=F32),
         node("Div", ["t", "f"], ["s"]), node("Resize", ["x", "", "s"], ["y"])],
        IMAGE, weights={"t": np.array([1, 3, 16, 16], np.float32)})),
    Case("if", branches()),
    Case("loop", loop()),
    Case("own_function", own_function("Relu")),
    Case("lstm", model(
        [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4)], [("x", F32, [5, 1, 3])],
        weights={"w": np.ones((1, 16, 3), np.float32), "r": np.ones((1, 16, 4), np.float32)})),
    Case("gelu_of_microsoft", model(
        [node("Gelu", ["x"], ["y"], domain="com.microsoft")], X, domains=["com.microsoft"])),
    Case("opset_9", one("Relu", opset=9)),
    Case("opset_21", one("Relu", opset=21)),
    Case("six_dimensions", one("Relu", shape=(1, 2, 1, 2, 1, 2))),
    Case("scalar", one("Relu", shape=())),
    Case("batch_norm", model(
        [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"])], IMAGE,
        weights={n: np.ones(3, np.float32) for n in "sbmv"})),
]  # fmt: skip

REFUSED = [
    Case("zero_point_not_zero", quantized(np.int8(3)), "zero_point"),
    Case("zero_point_uint8_128", quantized(np.uint8(128)), "zero_point"),
    Case("bias_int32", quantized_conv("int32"), "int32_dequantize"),
    Case("weights_uint8", model(
        [node("DequantizeLinear", ["w", "s", "z"], ["y"])], X,
        weights={"w": np.arange(6, dtype=np.uint8), "s": SCALE, "z": np.uint8(0)}),
        "uint8_dequantize"),
    Case("quantized_int16", quantized(np.int16(0), opset=21), "quantized_type"),
    Case("scale_negative", quantized(ZERO, np.float32(-0.1)), "scale"),
    Case("scale_zero", quantized(ZERO, np.float32(0)), "scale"),
    Case("scale_nan", quantized(ZERO, np.float32("nan")), "scale"),
    Case("unknown_operator", model(
        [node("Unheard", ["x"], ["y"], name="it", domain="acme")], X, domains=["acme"]),
        "operator"),
    Case("qlinear_conv", model(
        [node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"], name="it")],
        [("x", I8, [1, 3, 8, 8])], [("y", I8)],
        {"s": SCALE, "z": ZERO, "w": np.ones(CONV.shape, np.int8)}), "operator"),
    Case("dynamic_quantize", model(
        [node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
         node("DequantizeLinear", ["q", "s", "z"], ["y"])], X), "operator"),
    Case("unknown_in_a_branch", branches_with_unknown(), "operator"),
    Case("unknown_in_a_function", own_function("Det"), "operator"),
    Case("string_input", one("Identity", TEXT), "border_type"),
    Case("int16_input", one("Identity", I16), "border_type"),
    Case("sequence", model(
        [node("SequenceConstruct", ["x", "x"], ["q"]),
         node("ConcatFromSequence", ["q"], ["y"], axis=0)], X), "operator"),
    Case("int16_weights", model(
        [node("Cast", ["w"], ["f"], to=F32), node("Add", ["x", "f"], ["y"])], X,
        weights={"w": np.ones(4, np.int16)}), "weights_type"),
    Case("cast_to_int16", model(
        [node("Cast", ["x"], ["i"], to=I16), node("Cast", ["i"], ["y"], to=F32)], X), "cast"),
    Case("uint8_inside", model(
        [node("Cast", ["x"], ["i"], to=U8), node("Cast", ["i"], ["y"], to=F32)], X), "uint8"),
    Case("uint8_concat", model(
        [node("Concat", ["x", "x"], ["c"], axis=0), node("Cast", ["c"], ["y"], to=F32)],
        [("x", U8, [2, 3])]), "element_type"),
    Case("relu_int32", one("Relu", I32), "element_type"),
    Case("softmax_int64", one("Softmax", I64), "element_type"),
    Case("add_bool", model(
        [node("Add", ["x", "x"], ["y"])], [("x", BOOL, [2])], [("y", BOOL)]), "element_type"),
    Case("mod_float", model([node("Mod", ["x", "x"], ["y"])], X), "mod"),
    Case("reduce_axes_given", model(
        [node("ReduceSum", ["x", "a"], ["y"])], [*X, ("a", I64, [1])]), "axes"),
    Case("reduce_axes_computed", model(
        [node("Add", ["a", "a"], ["b"]), node("ReduceSum", ["x", "b"], ["y"])], X,
        weights={"a": ints(1)}), "axes"),
    Case("resize_scales_given", resized(scales=False, mode="nearest"), "resize_scales"),
    Case("resize_antialias", resized(mode="linear", antialias=1), "resize"),
    Case("max_pool_dilated", one("MaxPool", shape=(1, 3, 8, 8), kernel_shape=[2, 2],
        dilations=[2, 2]), "dilations"),
    Case("max_pool_indices", model(
        [node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2])], IMAGE,
        [("y", F32), ("i", I64)]), "outputs"),
    Case("batch_norm_training", model(
        [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y", "m2", "v2"], training_mode=1)],
        IMAGE, weights={n: np.ones(3, np.float32) for n in "sbmv"}), "training"),
    Case("dropout_training", model(
        [node("Dropout", ["x", "r", "t"], ["y"])], X,
        weights={"r": np.float32(0.5), "t": np.bool_(True)}), "training"),
    Case("scatter_add", model(
        [node("ScatterND", ["x", "i", "u"], ["y"], reduction="add")], [("x", F32, [4])],
        weights={"i": np.array([[1]], np.int64), "u": np.ones(1, np.float32)}), "reduction"),
    Case("old_broadcast", model(
        [node("Add", ["x", "x"], ["y"])], X, opset=6), "opset"),
    Case("slice_starts_without_axes", model(
        [node("Slice", ["x", "b", "e"], ["y"])], X, weights={"b": ints(0), "e": ints(1)}), "slice"),
    Case("vector_times_stack", model(
        [node("MatMul", ["x", "w"], ["y"])], [("x", F32, [3])],
        weights={"w": np.ones((2, 3, 4), np.float32)}), "matmul"),
    Case("nonzero", one("NonZero", out=I64), "plugin"),
    Case("lstm_coupled", model(
        [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4, input_forget=1)],
        [("x", F32, [5, 1, 3])],
        weights={"w": np.ones((1, 16, 3), np.float32), "r": np.ones((1, 16, 4), np.float32)}),
        "lstm"),
    Case("mixed_types", model(
        [node("Add", ["x", "z"], ["y"])], [*X, ("z", F16, [2, 3, 4])]), "mixed_types"),
    Case("split_in_too_many_parts", model(
        [node("Split", ["x"], ["y", "b", "c", "d"], num_outputs=4)], [("x", F32, [5])], opset=18),
        "split"),
    Case("nine_dimensions", one("Relu", shape=[1] * 9), "dimensions"),
    Case("input_from_nowhere", model([node("Add", ["x", "nobody"], ["y"])], X), "graph"),
    Case("circle", model(
        [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Neg", ["a"], ["y"])], X),
        "graph"),
    Case("two_of_one_name", model(
        [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])], X), "graph"),
    Case("output_from_nowhere", model([node("Relu", ["x"], ["a"])], X), "graph"),
    Case("conv_of_4_dimensions", model(
        [node("Conv", ["x", "w"], ["y"])], [("x", F32, [1, 3, 4, 4, 4, 4])],
        weights={"w": np.ones((4, 3, 2, 2, 2, 2), np.float32)}), "spatial"),
    Case("einsum_capitals", one("Einsum", shape=(2, 3), equation="IJ->I"), "equation"),
    Case("resize_cubic_3_dimensions", model(
        [node("Resize", ["x", "", "s"], ["y"], mode="cubic")], [("x", F32, [1, 1, 4, 4, 4])],
        weights={"s": np.array([1, 1, 2, 2, 2], np.float32)}, opset=18), "resize_dimensions"),
    Case("random_bfloat16", one("RandomUniformLike", out=BF16, dtype=BF16), "random"),
    Case("sparse_constant", model([
        node("Constant", [], ["c"], sparse_value=helper.make_sparse_tensor(
            numpy_helper.from_array(np.ones(1, np.float32)),
            numpy_helper.from_array(ints(0)), [4])),
        node("Add", ["x", "c"], ["y"])], X), "constant"),
]  # fmt: skip

# Taken by the parser, then not built for SM86.
NOT_BUILT = [
    Case("dynamic_batch", one("Relu", shape=("n", 3, 4)), "profile", "build"),
    Case("sizes_given", model(
        [node("Reshape", ["x", "s"], ["y"])], [*X, ("s", I64, [2])]), "profile", "build"),
    Case("zero_point_given", model(
        [node("QuantizeLinear", ["x", "s", "z"], ["q"]),
         node("DequantizeLinear", ["q", "s", "z"], ["y"])],
        [*X, ("z", I8, [])], weights={"s": SCALE}), "zero_point_constant", "build"),
    Case("fp8_on_ampere", model(
        [node("QuantizeLinear", ["x", "s", "z"], ["q"]),
         node("DequantizeLinear", ["q", "s", "z"], ["y"])],
        X, weights={"s": np.float32(1), "z": FP8_ZERO}, opset=19), "target_type", "build"),
    Case("cast_to_fp8", model(
        [node("Cast", ["x"], ["q"], to=FP8), node("Cast", ["q"], ["y"], to=F32)], X, opset=19),
        "cast", "build"),
    Case("sigmoid_int8", one("Sigmoid", I8), "element_type", "build"),
    Case("int8_table_gathered", model(
        [node("Gather", ["w", "x"], ["g"]), node("DequantizeLinear", ["g", "s", "z"], ["y"])],
        [("x", I64, [2])], weights={"w": np.ones((9, 4), np.int8), "s": SCALE, "z": ZERO}),
        "quantized_constant", "build"),
    Case("if_of_two_ranks", branches_of_two_ranks(), "branch_ranks", "build"),
    Case("top_k_5000", model(
        [node("TopK", ["x", "k"], ["y", "i"])], [("x", F32, [1, 9000])],
        weights={"k": ints(5000)}), "top_k", "build"),
    Case("suppression", model(
        [node("NonMaxSuppression", ["b", "s"], ["y"])],
        [("b", F32, [1, 4, 4]), ("s", F32, [1, 1, 4])], [("y", I64)]), "no_runner", "build"),
]  # fmt: skip

# Taken and built, and computed otherwise than the model says.
WRONG = [
    Case("uint8_zero_point_0", quantized(np.uint8(0)), "uint8_zero_point", "value"),
    Case("no_zero_point_is_uint8", model(
        [node("QuantizeLinear", ["x", "s"], ["q"]), node("DequantizeLinear", ["q", "s"], ["y"])], X,
        weights={"s": SCALE}), "uint8_zero_point", "value"),
    Case("triangle_not_said", one("Trilu", shape=(3, 4)), "other_default", "value"),
    Case("lstm_batch_first", model(
        [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=4, layout=1)], [("x", F32, [1, 5, 3])],
        weights={"w": np.ones((1, 16, 3), np.float32), "r": np.ones((1, 16, 4), np.float32)}),
        "ignored_attribute", "value"),
    Case("last_window_in_the_padding", one(
        "MaxPool", shape=(1, 1, 2, 2), kernel_shape=[1, 1], strides=[2, 2], ceil_mode=1),
        "last_window", "value"),
    Case("input_of_no_shape", model([node("Relu", ["x"], ["y"])], [("x", F32, None)]), "rank",
        "value"),
    Case("relu_of_somebody_else", model(
        [node("Relu", ["x"], ["y"], domain="acme")], X, domains=["acme"]), "domain", "value"),
]  # fmt: skip

ALL = [*TAKEN, *REFUSED, *NOT_BUILT, *WRONG]
