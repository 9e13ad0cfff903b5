"""Axes that a user declares are followed as far as rules lead, and by name from there."""

from __future__ import annotations

from batch_text import case
from onnx import helper
from onnx_models import make_model, tensor

from deepseek_onnx.batching import follow


def test_declared_axes_are_followed_through_the_graph():
    model = case("float[3,2] x, float[2] b -> a = Transpose (x); y = Add (x, b)").model
    assert follow(model, {"x": 0}) == {"x": 0, "a": 1, "y": 0}


def test_all_other_inputs_are_fixed():
    model = case("float[N,2] x, float[N,2] b -> y1 = Add (x, b); y2 = Relu (x)").model
    assert follow(model, {"x": 0}) == {"x": 0, "y2": 0}


def test_a_value_that_can_not_be_followed_has_the_axis_that_the_file_names():
    nodes = [
        helper.make_node("Foo", ["x"], ["a"], domain="com.acme"),
        helper.make_node("Transpose", ["a"], ["b"]),
        helper.make_node("Foo", ["b"], ["y"], domain="com.acme"),
    ]
    model = make_model(
        nodes, [tensor("x", ["N", 2])], [tensor("y", [3, "N"])], domains=["com.acme"]
    )
    model.graph.value_info.append(tensor("a", ["N", 5]))
    assert follow(model, {"x": 0}, symbol="N") == {"x": 0, "a": 0, "b": 1, "y": 1}
    assert follow(model, {"x": 0}) == {"x": 0}


def test_a_name_on_two_axes_leads_nowhere():
    node = helper.make_node("Foo", ["x"], ["y"], domain="com.acme")
    model = make_model(
        [node], [tensor("x", ["N", 2])], [tensor("y", ["N", "N"])], domains=["com.acme"]
    )
    assert follow(model, {"x": 0}, symbol="N") == {"x": 0}


def test_a_rule_is_believed_before_a_name():
    model = make_model(
        [helper.make_node("Transpose", ["x"], ["y"])],
        [tensor("x", ["N", 2])],
        [tensor("y", ["N", 2])],
    )
    assert follow(model, {"x": 0}, symbol="N") == {"x": 0, "y": 1}


def test_what_is_declared_is_kept_even_where_it_fits_nothing():
    model = case("float[N,2] x -> y = Relu (x)").model
    assert follow(model, {"x": 7, "z": 0}) == {"x": 7, "z": 0}
