"""Operators with bodies, model-local functions, If, Loop and Scan: whole and cut."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node
from onnx_models import make_model, tensor
from three_ways import as_one, check, cut

from deepseek_core import errors

X = np.array([[-2, -1, 0], [1, 2, 3]], np.float32)
C = np.array([1, 2, 3], np.float32)
FLAG = tensor("flag", [], TensorProto.BOOL)


def graph_of(*nodes, name="body", outputs=()):
    return helper.make_graph(nodes, name, [], [tensor(output, None) for output in outputs])


def branch(op, *inputs):
    return graph_of(make_node(op, inputs, [f"{op}_out"]), name=op, outputs=[f"{op}_out"])


def with_function(function, node, *, domain="my", after="Abs", ir_version=8):
    nodes = [node, make_node(after, ["h"], ["y"])]
    return make_model(
        nodes, [tensor("x", ["n", 3])], ["y"], functions=function, domains=[domain],
        ir_version=ir_version,
    )  # fmt: skip


def function_of(name, op, *, domain="my", inner_domain="", **more):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    body = [make_node(op, ["a"], ["b"], domain=inner_domain)]
    return helper.make_function(domain, name, ["a"], ["b"], body, opsets, **more)


def test_a_function_may_have_the_name_of_an_operator(cpu):
    node = make_node("Relu", ["x"], ["h"], domain="my")
    model = with_function([function_of("Relu", "Neg")], node, after="Relu")
    assert len(check(cpu, model, {"x": X}, "Relu").stages) == 1
    assert len(check(cpu, model, {"x": X}, "Abs").stages) == 1


def test_a_function_that_replaces_an_operator_is_taken_as_the_runtime_takes_it(cpu):
    model = with_function([function_of("Relu", "Neg", domain="")], make_node("Relu", ["x"], ["h"]))
    check(cpu, model, {"x": X}, "Abs")


def test_functions_of_one_name_are_told_apart_by_their_overload(cpu):
    functions = [
        function_of("F", "Neg", overload="one"),
        function_of("F", "Exp", overload="two"),
    ]
    first, second = (make_node("F", [a], [b], domain="my") for a, b in ("xg", "gh"))
    first.overload, second.overload = "one", "two"
    model = with_function(functions, first, ir_version=10)
    model.graph.node.insert(1, second)
    assert len(check(cpu, model, {"x": X}, "Abs").stages) == 2


def test_functions_call_functions_from_bodies_and_branches(cpu):
    functions = [function_of("G", "F", inner_domain="my"), function_of("F", "Neg")]
    other = make_node("G", ["x"], ["G_out"], domain="my")
    choice = make_node(
        "If", ["flag"], ["h"], then_branch=graph_of(other, outputs=["G_out"]),
        else_branch=branch("Exp", "x"),
    )  # fmt: skip
    model = with_function(functions, choice)
    model.graph.input.append(FLAG)
    for flag in (True, False):
        given = {"x": X, "flag": np.array(flag)}
        del model.graph.output[0].type.tensor_type.shape.dim[:]
        model.graph.output[0].CopyFrom(tensor("y", ["n", 3]))
        check(cpu, model, given, "Abs")


@pytest.mark.parametrize("circle", [["F"], ["F", "G"], ["F", "G", "H"]], ids=str)
def test_functions_that_call_each_other_in_a_circle_are_refused(cpu, circle):
    """Some versions of the runtime end the process, at the latest when they load it."""
    functions = [
        function_of(name, after, inner_domain="my")
        for name, after in zip(circle, [*circle[1:], circle[0]], strict=True)
    ]
    model = with_function(functions, make_node("F", ["x"], ["h"], domain="my"))
    for use in (lambda: as_one(cpu, model, {"x": X}), lambda: cut(cpu, model, "Abs")):
        with pytest.raises(errors.ArtifactError, match="is recursive"):
            use()


def test_branches_inside_of_branches_take_values_from_outside(cpu):
    inner = make_node(
        "If", ["flag"], ["inner"], then_branch=branch("Add", "h", "w"),
        else_branch=branch("Sub", "h", "k"),
    )  # fmt: skip
    nodes = [
        make_node("Constant", [], ["k"], value_float=3.0),
        make_node("Neg", ["x"], ["h"]),
        make_node(
            "If", ["flag"], ["r"], then_branch=graph_of(inner, outputs=["inner"]),
            else_branch=branch("Mul", "h", "k"),
        ),
        make_node("Relu", ["r"], ["y"]),
    ]  # fmt: skip
    model = make_model(nodes, [tensor("x", ["n", 3]), FLAG], [tensor("y", ["n", 3])], {"w": C})
    for flag in (True, False):
        graph = check(cpu, model, {"x": X, "flag": np.array(flag)}, "Relu", "Neg")
        assert len(graph.stages) == 3


def test_loops_and_scans_take_values_from_outside(cpu):
    loop = helper.make_graph(
        [make_node("Add", ["h", "h"], ["out"]), make_node("Identity", ["go"], ["go_on"])], "loop",
        [tensor("i", [], TensorProto.INT64), tensor("go", [], TensorProto.BOOL)],
        [tensor("go_on", [], TensorProto.BOOL), tensor("out", None)],
    )  # fmt: skip
    scan = helper.make_graph(
        [make_node("Add", ["state", "h"], ["next"]), make_node("Neg", ["next"], ["each"])], "scan",
        [tensor("state", ["n", 3]), tensor("row", ["n", 3])],
        [tensor("next", ["n", 3]), tensor("each", ["n", 3])],
    )  # fmt: skip
    nodes = [
        make_node("Relu", ["x"], ["h"]),
        make_node("Loop", ["trips", ""], ["rows"], body=loop),
        make_node("Scan", ["h", "rows"], ["last", "all"], body=scan, num_scan_inputs=1),
        make_node("Relu", ["all"], ["y"]),
    ]
    outputs = [tensor("y", ["t", "n", 3]), tensor("last", ["n", 3])]
    model = make_model(nodes, [tensor("x", ["n", 3])], outputs, {"trips": np.array(2)})
    model.graph.value_info.append(tensor("rows", ["t", "n", 3]))
    assert len(check(cpu, model, {"x": X}, "Relu").stages) == 3
