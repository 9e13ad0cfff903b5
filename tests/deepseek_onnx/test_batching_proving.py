"""What a proof asks of a model and says of it: inputs, outputs, functions, branches, versions."""

# ruff: noqa: E501 - a model is a line

from __future__ import annotations

import numpy as np
import pytest
from batch_models import proven, text
from batch_text import case
from onnx import TensorProto, helper, numpy_helper
from onnx_models import make_model, perceptron, tensor

from deepseek_onnx.batching import PROVEN, Verdict, prove


def reason(line: str, *, fixed: tuple[str, ...] = ()) -> str:
    return prove(case(line).model, fixed=fixed).reason


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
        "input 'b' is not a tensor of known rank"
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
    line = "float[N,2] x, float[2] w, float r, bool t -> a = Dropout (w, r, t); y = Mul (x, a)"
    assert reason(line, fixed=("w", "r", "t")) == "Dropout is random"


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
