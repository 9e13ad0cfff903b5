"""What a proof asks of a model and says of it: inputs, outputs, functions, branches, versions."""

# ruff: noqa: E501 - a model is a line

from __future__ import annotations

import numpy as np
import onnx
import pytest
from batch_cases import case, feeds
from batch_runs import violations
from onnx import TensorProto, helper, numpy_helper, parser
from onnx_models import make_model, perceptron, tensor

from deepseek_onnx.batching import PROVEN, Verdict, prove
from deepseek_onnx.operators import attach_match, bind_gallery, match_hamming_function


def reason(line: str, *, fixed: tuple[str, ...] = ()) -> str:
    return prove(case(line).model, fixed=fixed).reason


def text(body: str, functions: str = "", opset: int = 18) -> onnx.ModelProto:
    """A model in the text form, with functions of the domain `local` behind the graph."""
    opsets = f'"" : {opset}, "local" : 1, "com.microsoft" : 1, "ai.deepseek" : 1'
    return parser.parse_model(f"<ir_version: 10, opset_import: [{opsets}]> {body} {functions}")


def proven(model: onnx.ModelProto, **options: object) -> Verdict:
    """The verdict, which is that the model is batched."""
    verdict = prove(model, **options)  # type: ignore[arg-type]
    assert verdict.reason == PROVEN
    return verdict


# Inputs and outputs.


def test_axes_name_every_value_that_has_an_entry_for_each_item():
    line = "float[N,2,3] x, float[2] w -> r = Constant <value = int64[2] {-1, 3}> (); a = Reshape (x, r);"
    line += (
        " b = Transpose <perm = [1, 2, 0]> (x); s = Shape (x); c = Reshape (a, s); y = Add (c, x)"
    )
    assert dict(prove(case(line).model, fixed=["w"]).axes) == {"x": 0, "b": 2, "c": 0, "y": 0}


def test_an_input_without_the_axis_is_named():
    assert reason("float[N,2] x, float[2] b -> y = Add (x, b)") == (
        "input 'b' does not carry the axis N"
    )
    assert reason("float[N,2] x, float[M,2] b -> y = Concat <axis = 1> (x, b)") == (
        "input 'b' does not carry the axis N"
    )


def test_a_fixed_input_need_not_have_the_axis():
    line = "float[N,2] x, float[2] b -> y = Add (x, b)"
    assert reason(line, fixed=("b",)) == PROVEN


def test_a_size_of_a_fixed_input_is_not_the_number_of_items():
    line = "float[N,2] x, float[N,2] b -> y = Add (x, b)"
    assert reason(line) == PROVEN
    assert (
        reason(line, fixed=("b",))
        == "Add may mix items along N: an operand may have an entry for each"
    )


def test_an_input_with_the_axis_twice_is_named():
    assert reason("float[N,N] x -> y = Relu (x)") == "input 'x' carries the axis N more than once"


def test_a_model_without_a_free_dimension_has_no_batch():
    assert reason("float[2,3] x -> y = Relu (x)") == "no input has a free dimension"
    assert reason("float[N,3] x -> y = Relu (x)", fixed=("x",)) == "no input has a free dimension"


def test_an_unnamed_dimension_is_named_after_its_input_and_axis():
    sequence = make_model([helper.make_node("Relu", ["x"], ["y"])], [tensor("x", [3, None])], ["y"])
    assert prove(sequence) == Verdict(symbol="x_1", axes={"x": 1, "y": 1}, reason=PROVEN)
    zero = make_model([helper.make_node("Relu", ["x"], ["y"])], [tensor("x", [0, 3])], ["y"])
    assert prove(zero).symbol == "x_0"


def test_unnamed_dimensions_of_two_inputs_are_two():
    add = helper.make_node("Add", ["a", "b"], ["y"])
    model = make_model([add], [tensor("a", [None, 2]), tensor("b", [None, 2])], ["y"])
    assert prove(model).reason == "input 'b' does not carry the axis a_0"


def test_an_input_without_a_rank_is_named():
    add = helper.make_node("Add", ["a", "b"], ["y"])
    unranked = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    assert prove(make_model([add], [tensor("a", ["N", 2]), unranked], ["y"])).reason == (
        "input 'b' is no tensor of known rank"
    )


def test_the_first_symbol_that_is_proven_wins():
    assert prove(case("float[A,B] x -> y = Relu (x)").model).symbol == "A"
    assert prove(case("float[A,B] x -> y = Softmax <axis = 0> (x)").model).symbol == "B"


def test_the_reason_is_that_of_the_first_symbol_on_all_inputs():
    assert reason("float[A,tokens] x, float[tokens] b -> y = Softmax <axis = -1> (b)") == (
        "Softmax mixes items along tokens"
    )
    assert reason("float[A,B] x -> y = ReduceSum (x)") == "ReduceSum mixes items along A"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (tensor("y", ["N", 2]), PROVEN),
        (tensor("y", ["M", 2]), PROVEN),
        (tensor("y", [None, 2]), PROVEN),
        (tensor("y", [0, 2]), PROVEN),
        (tensor("y", [1, 2]), "output 'y' is declared with 1 along N"),
        (tensor("y", ["N", 2, 1]), "output 'y' is declared with another rank"),
    ],
)
def test_what_is_declared_of_an_output_may_not_contradict_the_proof(output, expected):
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], [tensor("x", ["N", 2])], [output])
    assert prove(model).reason == expected


def test_an_output_that_is_no_tensor_is_named():
    line = 'float[N,2] x -> y1 = Relu (x); y2 = ai.onnx.ml.ZipMap <classlabels_strings = ["a", "b"]> (x)'
    assert reason(line) == "ZipMap makes no tensor"


def test_an_initializer_that_is_also_an_input_is_fixed():
    # Files of IR version 3 list all weights as inputs.
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = np.ones((2, 3), dtype=np.float32)
    inputs = [tensor("x", ["N", 2]), tensor("w", ["K", 3])]
    assert proven(make_model([node], inputs, ["y"], {"w": weights})).symbol == "N"


def test_weights_whose_data_was_stripped_are_enough():
    model = perceptron(width=40, layers=3)
    for initializer in model.graph.initializer:
        initializer.ClearField("raw_data")
    assert proven(model).symbol == "n"


def test_a_shape_whose_data_was_stripped_is_not():
    model = case("float[N,2,3] x -> y = Reshape (x, s)").model
    shape = numpy_helper.from_array(np.array([-1, 6]), "s")
    model.graph.initializer.append(shape)
    assert prove(model).reason == PROVEN
    model.graph.initializer[0].ClearField("raw_data")
    assert prove(model).reason == "Reshape mixes items along N: its shape has no axis for them"


def test_what_the_file_says_of_inner_values_proves_nothing():
    model = case("float[N,2] x -> a = Softmax <axis = 0> (x); y = Relu (a)").model
    model.graph.value_info.append(tensor("a", ["N", 2]))
    assert prove(model).reason == "Softmax mixes items along N"


# Operators without a rule, and what makes constants.


def test_an_unknown_operator_proves_nothing():
    foo = helper.make_node("Foo", ["x"], ["y"], domain="com.acme")
    model = make_model([foo], [tensor("x", ["N", 2])], ["y"], domains=["com.acme"])
    assert prove(model).reason == "no rule for com.acme::Foo"


def test_chance_makes_no_constant():
    line = "float[N,2] x, float[2] w -> a = Bernoulli (w); y = Mul (x, a)"
    assert reason(line, fixed=("w",)) == "Bernoulli is random"


LOOP = """agraph (float[N,2] x) => (y) {
  m = Constant <value = int64 {3}> ()
  c = Constant <value = bool {1}> ()
  s = Constant <value = float {1}> ()
  r = Loop (m, c, $state) <body = b (int64 i, bool ci, float[a,b] v) => (bool co, float[a,b] vo) {
    co = Identity (ci)
    vo = $next
  }>
  y = Clip (x, r)
}"""


@pytest.mark.parametrize(
    ("state", "statement", "expected"),
    [
        ("s", "Add (v, v)", PROVEN),
        ("x", "Add (v, v)", "no rule for ai.onnx::Loop"),
        ("s", "Add (v, x)", "no rule for ai.onnx::Loop"),
        ("s", "RandomNormalLike (v)", "no rule for ai.onnx::Loop"),
        ("s", "com.microsoft.Gelu (v)", "no rule for ai.onnx::Loop"),
    ],
)
def test_a_loop_over_constants_makes_a_constant_and_any_other_proves_nothing(
    state, statement, expected
):
    assert prove(text(LOOP.replace("$state", state).replace("$next", statement))).reason == expected


def test_a_node_before_what_it_reads_proves_nothing():
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Relu", ["x"], ["a"])]
    model = make_model(nodes, [tensor("x", ["N", 2])], ["y"])
    assert prove(model).reason == "nothing makes 'a' before Relu reads it"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("float[N,2] x -> y = Add (x)", "Add lacks its input 1"),
        ("float[N,2] x -> y = Softmax <axis = 5> (x)", "Softmax has no axis 5"),
        ("float[N,2] x -> y = Transpose <perm = [0, 0]> (x)",
         "Transpose has an order that names an axis twice or not at all"),
        ("float[N,2,3] x -> y = Einsum <equation = \"ab->a\"> (x)",
         "Einsum has an equation that does not fit its operands"),
        ("float[N,2,3] x, float[2,2,3] w -> y = Conv <strides = [0]> (x, w)", "Conv contradicts itself"),
    ],
)  # fmt: skip
def test_a_node_that_contradicts_its_operator_is_named(line, expected):
    assert prove(case(line).model, fixed=["w"]).reason == expected


# Functions.


def test_a_function_is_followed_into_its_body():
    model = text(
        "agraph (float[N,2] x) => (y) { y = local.f <axis = 1> (x) }",
        '<domain: "local", opset_import: ["" : 18]> f <axis> (a) => (b) { b = Softmax <axis: int = @axis> (a) }',
    )
    assert proven(model).axes == {"x": 0, "y": 0}
    model.graph.node[0].attribute[0].i = 0
    assert prove(model).reason == "Softmax mixes items along N"


def test_a_function_has_versions_and_default_attributes_of_its_own():
    body = "agraph (float[N,2,3] x) => (y) { y = local.f (x) }"
    function = '<domain: "local", opset_import: ["" : $v]> f <axis: int = $a> (a) => (b) '
    function += "{ b = Softmax <axis: int = @axis> (a) }"
    of = {
        (v, a): function.replace("$v", str(v)).replace("$a", str(a))
        for v in (11, 13)
        for a in (0, 2)
    }
    assert prove(text(body, of[11, 2])).reason == PROVEN
    assert prove(text(body, of[13, 2])).reason == PROVEN
    assert prove(text(body, of[13, 0])).reason == "Softmax mixes items along N"


def test_functions_of_one_name_differ_by_overload():
    model = text(
        "agraph (float[N,2] x) => (y) { y = local.f:second (x) }",
        '<domain: "local", overload: "first", opset_import: ["" : 18]> f (a) => (b) '
        "{ b = Softmax <axis = 0> (a) } "
        '<domain: "local", overload: "second", opset_import: ["" : 18]> f (a) => (b) { b = Relu (a) }',
    )
    assert prove(model).reason == PROVEN
    model.graph.node[0].overload = "first"
    assert prove(model).reason == "Softmax mixes items along N"
    model.graph.node[0].overload = "third"
    assert prove(model).reason == "no rule for local::f"


def test_functions_call_functions_and_hand_on_attributes():
    model = text(
        "agraph (float[N,2] x, float[2] w) => (y) { y = local.outer <k = 1> (x, w) }",
        '<domain: "local", opset_import: ["" : 18, "local" : 1]> outer <k> (a, c) => (b) '
        "{ t = local.inner <axis: int = @k> (a)\n b = Add (t, c) } "
        '<domain: "local", opset_import: ["" : 18]> inner <axis> (a) => (b) '
        "{ b = Softmax <axis: int = @axis> (a) }",
    )
    assert prove(model, fixed=["w"]).reason == PROVEN


def test_a_function_that_calls_itself_proves_nothing():
    model = text(
        "agraph (float[N,2] x) => (y) { y = local.f (x) }",
        '<domain: "local", opset_import: ["local" : 1]> f (a) => (b) { b = local.f (a) }',
    )
    assert prove(model).reason == "f has too deep a body"


def test_functions_that_double_at_every_call_are_not_followed_forever():
    functions = "".join(
        f'<domain: "local", opset_import: ["local" : 1, "" : 18]> f{i} (a) => (b) '
        f"{{ t = local.f{i + 1} (a)\n b = local.f{i + 1} (t) }} "
        for i in range(40)
    )
    last = '<domain: "local", opset_import: ["" : 18]> f40 (a) => (b) { b = Relu (a) }'
    model = text("agraph (float[N,2] x) => (y) { y = local.f0 (x) }", functions + last)
    assert prove(model).reason.endswith("has too many bodies in it")


def test_a_body_that_bears_an_operators_name_must_agree_with_the_operator():
    # A runtime may take its own operator instead of the body.
    body = "agraph (float[N,2] x) => (y) { y = com.microsoft.$name (x) }"
    function = '<domain: "com.microsoft", opset_import: ["" : 18]> $name (a) => (b) { b = $op (a) }'
    both = text(
        body.replace("$name", "Gelu"), function.replace("$name", "Gelu").replace("$op", "Relu")
    )
    assert prove(both).reason == PROVEN
    liar = text(
        body.replace("$name", "Gelu"),
        function.replace("$name", "Gelu").replace("$op", "Softmax <axis = 0>"),
    )
    assert prove(liar).reason == "Softmax mixes items along N"


# The SDK's own operators.


def matching(metric: str, dtype: int) -> onnx.ModelProto:
    width = 2 if metric == "hamming" else 8
    embed = helper.make_node("Identity", ["picture"], ["embedding"])
    model = make_model(
        [embed], [tensor("picture", ["N", width], dtype)], [tensor("embedding", ["N", width], dtype)],
        opset=18,
    )  # fmt: skip
    return attach_match(model, query="embedding", metric=metric)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "dtype"),
    [("l2", TensorProto.FLOAT), ("l2", TensorProto.INT8), ("hamming", TensorProto.UINT8)],
)
def test_a_matching_stage_is_proven_with_its_gallery_and_k_fixed(metric, dtype):
    model = matching(metric, dtype)
    verdict = proven(model, fixed=["gallery", "k"])
    assert {n: verdict.axes[n] for n in ("picture", "indices", "distances")} == {
        "picture": 0, "indices": 0, "distances": 0,
    }  # fmt: skip
    inputs = feeds(model, 5, {"num_gallery": 70}) | {"k": np.array([2])}
    assert list(violations(model, verdict, inputs)) == []
    gallery = inputs["gallery"]
    assert prove(bind_gallery(model, gallery), fixed=["k"]).reason == PROVEN


def test_a_gallery_may_not_be_the_batch():
    assert prove(matching("l2", TensorProto.FLOAT), fixed=["k", "picture"]).symbol is None


def test_a_function_that_merely_has_our_name_is_not_trusted():
    model = matching("l2", TensorProto.FLOAT)
    (function,) = model.functions
    function.node[-1].op_type = "Neg"
    del function.node[-1].input[1:]
    assert prove(model, fixed=["gallery", "k"]).symbol is None
    liar = text(
        "agraph (uint8[N,2] q, uint8[3,2] g, int64[1] k) => (i, d) { i, d = ai.deepseek.MatchHamming (q, g, k) }",
        '<domain: "ai.deepseek", opset_import: ["" : 18]> MatchHamming (query, gallery, k) => (indices, distances)'
        " { z = Constant <value = int64[1] {0}> ()\n f = Cast <to = 1> (query)\n"
        " distances = ReduceMax (f, z)\n indices = Identity (distances) }",
    )
    assert prove(liar, fixed=["g", "k"]).reason == "ReduceMax mixes items along N"


def test_a_body_of_ours_is_trusted_byte_for_byte():
    model = matching("hamming", TensorProto.UINT8)
    (function,) = model.functions
    assert function == match_hamming_function()
    function.doc_string = "changed"
    assert prove(model, fixed=["gallery", "k"]).symbol is None


# If.

BRANCHES = """agraph (float[N,$size] x, bool[1] w) => (y) {
  s = Shape <start = 1> (x)
  o = Constant <value = int64[1] {1}> ()
  e = Equal (s, o)
  c = $condition
  r = If (c) <
    then_branch = t () => (float[a] u) { u = $then }, else_branch = f () => (float[a] v) { v = $else }
  >
  $after
}"""


def branching(**parts: str) -> onnx.ModelProto:
    body = BRANCHES
    defaults = {"size": "2", "condition": "Identity (w)", "then": "Relu (x)", "else": "Neg (x)"}
    for name, part in ({"after": "y = Identity (r)"} | defaults | parts).items():
        body = body.replace(f"${name}", part)
    return text(body)


def test_an_if_is_proven_where_its_branches_agree():
    assert prove(branching(), fixed=["w"]).reason == PROVEN


def test_an_if_is_not_proven_where_a_branch_mixes():
    model = branching(**{"else": "Softmax <axis = 0> (x)"})
    assert prove(model, fixed=["w"]).reason == "Softmax mixes items along N"


def test_an_if_whose_branch_is_known_has_one():
    model = branching(condition="Identity (e)", then="Softmax <axis = 0> (x)")
    assert prove(model, fixed=["w"]).reason == PROVEN


def test_an_if_by_an_items_value_proves_nothing():
    model = branching()
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "N"
    model.graph.input[1].type.tensor_type.shape.dim[0].ClearField("dim_value")
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "N"
    assert prove(model).reason == "If mixes items along N: one branch for all"


def test_an_if_by_the_number_of_items_proves_nothing():
    model = branching(condition="Equal (n, o)")
    model.graph.node.insert(0, helper.make_node("Shape", ["x"], ["n"], end=1))
    assert prove(model, fixed=["w"]).reason == (
        "If may mix items along N: its branch depends on how many there are"
    )


SQUEEZED = {
    "size": "T",
    "condition": "Identity (e)",
    "then": "Squeeze (x, o)",
    "else": "Identity (x)",
}


def test_branches_of_different_ranks_are_both_followed():
    # An exporter's squeeze of an axis whose size it does not know; both ranks run.
    model = branching(**SQUEEZED)
    verdict = proven(model, fixed=["w"])
    assert verdict.axes["y"] == 0
    for size in (1, 3):
        assert list(violations(model, verdict, feeds(model, 4, {"T": size}))) == []


def test_a_branch_that_no_runtime_can_go_on_from_is_never_taken():
    after = "q = Unsqueeze (r, o)\n y = Einsum <equation = $equation> (q)"
    one = branching(**SQUEEZED, after=after.replace("$equation", '"ab->a"'))
    assert prove(one, fixed=["w"]).reason == PROVEN
    none = branching(**SQUEEZED, after=after.replace("$equation", '"abcd->a"'))
    assert (
        prove(none, fixed=["w"]).reason == "Einsum has an equation that does not fit its operands"
    )


def test_a_branch_that_runs_and_mixes_is_not_overlooked():
    mixing = branching(**SQUEEZED, after="y = Softmax <axis = -1> (r)")
    assert prove(mixing, fixed=["w"]).reason == "Softmax mixes items along N"
