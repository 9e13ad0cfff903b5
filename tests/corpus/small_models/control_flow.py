"""If, Loop and Scan: with captured values, with shapes that depend on data, with shadowed names."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from small_models.building import (
    BOOL,
    INT64,
    Built,
    Cases,
    as_model,
    floats,
    node,
    rows,
    sequence,
    subgraph,
    tensor,
    weights,
)

cases = Cases("control flow")


def _x_and_flag(rng, items):
    return {"x": floats(rng, items, 3), "flag": np.array(bool(rng.random() < 0.5))}


@cases.add
def if_with_captured_values() -> Built:
    """Both branches read what flows outside."""
    yes = subgraph("yes", [node("Add", ["h", "w"], ["a"])], (), [tensor("a", ["N", 3])])
    no = subgraph("no", [node("Neg", ["h"], ["b"])], (), [tensor("b", ["N", 3])])
    nodes = [
        node("Relu", ["x"], ["h"]),
        node("If", ["flag"], ["y"], then_branch=yes, else_branch=no),
    ]
    inputs = [tensor("x", ["N", 3]), tensor("flag", [], BOOL)]
    model = as_model(nodes, inputs, [tensor("y", ["N", 3])], {"w": weights(0, 3)})
    return Built(model=model, inputs=_x_and_flag, axes={"x": 0})


@cases.add
def if_whose_branches_differ_in_rank() -> Built:
    """One branch gives a number, the other one a matrix."""
    yes = subgraph("yes", [node("ReduceSum", ["x"], ["a"], keepdims=0)], (), [tensor("a", None)])
    no = subgraph("no", [node("Neg", ["x"], ["b"])], (), [tensor("b", None)])
    nodes = [node("If", ["flag"], ["y"], then_branch=yes, else_branch=no)]
    inputs = [tensor("x", ["N", 3]), tensor("flag", [], BOOL)]
    return Built(model=as_model(nodes, inputs, [tensor("y", None)]), inputs=_x_and_flag)


@cases.add
def if_on_the_number_of_items() -> Built:
    """More than two items are treated in another way."""
    yes = subgraph("yes", [node("Neg", ["x"], ["a"])], (), [tensor("a", ["batch", 3])])
    no = subgraph("no", [node("Identity", ["x"], ["b"])], (), [tensor("b", ["batch", 3])])
    nodes = [
        node("Shape", ["x"], ["size"], start=0, end=1),
        node("Greater", ["size", "two"], ["is_more"]),
        node("If", ["is_more"], ["y"], then_branch=yes, else_branch=no),
    ]
    ends = [tensor("x", ["batch", 3])], [tensor("y", ["batch", 3])]
    return Built(model=as_model(nodes, *ends, {"two": [2]}), inputs=rows("x", 3))


@cases.add
def if_within_if() -> Built:
    """The inner branches read across two borders."""
    deep = subgraph("deep", [node("Mul", ["x", "w"], ["d"])], (), [tensor("d", ["N", 3])])
    flat = subgraph("flat", [node("Add", ["x", "w"], ["f"])], (), [tensor("f", ["N", 3])])
    inner = node("If", ["flag"], ["i"], then_branch=deep, else_branch=flat)
    yes = subgraph("yes", [inner], (), [tensor("i", ["N", 3])])
    no = subgraph("no", [node("Neg", ["x"], ["o"])], (), [tensor("o", ["N", 3])])
    nodes = [node("If", ["other"], ["y"], then_branch=yes, else_branch=no)]
    inputs = [tensor("x", ["N", 3]), tensor("flag", [], BOOL), tensor("other", [], BOOL)]
    model = as_model(nodes, inputs, [tensor("y", ["N", 3])], {"w": weights(0, 3)})

    def make(rng, items):
        flags = {name: np.array(bool(rng.random() < 0.5)) for name in ("flag", "other")}
        return {"x": floats(rng, items, 3), **flags}

    return Built(model=model, inputs=make, axes={"x": 0})


@cases.add
def if_that_needs_no_input() -> Built:
    """A condition that is a constant, as optimizers leave it."""
    yes = subgraph("yes", [node("Neg", ["x"], ["a"])], (), [tensor("a", ["N", 3])])
    no = subgraph("no", [node("Relu", ["x"], ["b"])], (), [tensor("b", ["N", 3])])
    nodes = [node("If", ["always"], ["y"], then_branch=yes, else_branch=no)]
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    model = as_model(nodes, *ends, {"always": np.array(True)})
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


def _loop(body_nodes, *, scanned: bool, constants=None) -> Built:
    """Loop over `turns`, carrying `s`; the body makes `s_out` and, if scanned, `each`."""
    body = subgraph(
        "body",
        [*body_nodes, node("Identity", ["go"], ["go_out"])],
        [tensor("turn", [], INT64), tensor("go", [], BOOL), tensor("s", ["N", 3])],
        [
            tensor("go_out", [], BOOL),
            tensor("s_out", ["N", 3]),
            *([tensor("each", ["N", 3])] if scanned else []),
        ],
    )
    outputs = [tensor("y", ["N", 3]), *([tensor("all", ["turns", "N", 3])] if scanned else [])]
    nodes = [node("Loop", ["turns", "", "x"], [o.name for o in outputs], body=body)]
    inputs = [tensor("turns", [], INT64), tensor("x", ["N", 3])]

    def make(rng, items):
        return {"turns": np.array(rng.integers(0, 4)), "x": floats(rng, items, 3)}

    return Built(model=as_model(nodes, inputs, outputs, constants), inputs=make)


@cases.add
def loop_with_captured_values() -> Built:
    """The body adds a constant of the outside; in some calls it never runs."""
    body = [node("Add", ["s", "w"], ["s_out"])]
    return _loop(body, scanned=False, constants={"w": weights(0, 3)})


@cases.add
def loop_that_collects() -> Built:
    """What each turn gives comes out on an axis of its own, of length 0 at times."""
    body = [node("Add", ["s", "s"], ["s_out"]), node("Neg", ["s"], ["each"])]
    return _loop(body, scanned=True)


@cases.add
def loop_over_a_sequence() -> Built:
    """A sequence grows turn by turn."""
    inside = [tensor("turn", [], INT64), tensor("go", [], BOOL), sequence("s")]
    body = subgraph(
        "body",
        [
            node("Identity", ["go"], ["go_out"]),
            node("SequenceInsert", ["s", "x"], ["s_out"]),
        ],
        inside,
        [tensor("go_out", [], BOOL), sequence("s_out")],
    )
    nodes = [
        node("SequenceEmpty", [], ["nothing"]),
        node("Loop", ["turns", "", "nothing"], ["grown"], body=body),
        node("SequenceLength", ["grown"], ["y"]),
    ]
    inputs = [tensor("turns", [], INT64), tensor("x", ["N", 3])]

    def make(rng, items):
        return {"turns": np.array(rng.integers(1, 4)), "x": floats(rng, items, 3)}

    return Built(model=as_model(nodes, inputs, [tensor("y", [], INT64)]), inputs=make)


@cases.add
def loop_until_done() -> Built:
    """How often it turns depends on the data: a few times, and on zeros to the bound."""
    body = subgraph(
        "body",
        [
            node("Add", ["s", "s"], ["s_out"]),
            node("ReduceMax", ["s_out"], ["most"], keepdims=0),
            node("Less", ["most", "limit"], ["go_out"]),
        ],
        [tensor("turn", [], INT64), tensor("go", [], BOOL), tensor("s", ["N", 3])],
        [tensor("go_out", [], BOOL), tensor("s_out", ["N", 3])],
        {"limit": np.float32(100)},
    )
    nodes = [node("Abs", ["x"], ["a"]), node("Loop", ["bound", "yes", "a"], ["y"], body=body)]
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    model = as_model(nodes, *ends, {"yes": np.array(True), "bound": np.array(20_000)})
    return Built(model=model, inputs=lambda rng, items: {"x": 1 + abs(floats(rng, items, 3))})


@cases.add
def scan_over_items() -> Built:
    """A running sum by Scan along the first axis."""
    body = subgraph(
        "body",
        [node("Add", ["s", "one"], ["s_out"]), node("Identity", ["s_out"], ["each"])],
        [tensor("s", [3]), tensor("one", [3])],
        [tensor("s_out", [3]), tensor("each", [3])],
    )
    nodes = [node("Scan", ["start", "x"], ["total", "y"], body=body, num_scan_inputs=1)]
    outputs = [tensor("total", [3]), tensor("y", ["batch", 3])]
    model = as_model(nodes, [tensor("x", ["batch", 3])], outputs, {"start": np.zeros(3, "f")})
    return Built(model=model, inputs=rows("x", 3))


@cases.add
def scan_over_the_second_axis() -> Built:
    """Scan backwards along the second axis: the items of the first one stay apart."""
    body = subgraph(
        "body",
        [node("Max", ["s", "one"], ["s_out"]), node("Identity", ["s_out"], ["each"])],
        [tensor("s", ["N"]), tensor("one", ["N"])],
        [tensor("s_out", ["N"]), tensor("each", ["N"])],
    )
    scan = node(
        "Scan",
        ["start", "x"],
        ["total", "y"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
        scan_input_directions=[1],
    )
    nodes = [node("ReduceMin", ["x", "last"], ["start"], keepdims=0), scan]
    outputs = [tensor("total", ["N"]), tensor("y", ["N", "time"])]
    model = as_model(nodes, [tensor("x", ["N", "time"])], outputs, {"last": [1]})
    return Built(model=model, inputs=rows("x", 5), axes={"x": 0})


@cases.add
def inner_constant_beside_outer_ones() -> Built:
    """Each branch has a constant of its own under the same name."""
    one = {"c": np.full(3, 1, "f")}
    two = {"c": np.full(3, 2, "f")}
    yes = subgraph("yes", [node("Add", ["x", "c"], ["r"])], (), [tensor("r", ["N", 3])], one)
    no = subgraph("no", [node("Add", ["x", "c"], ["r"])], (), [tensor("r", ["N", 3])], two)
    nodes = [node("If", ["flag"], ["y"], then_branch=yes, else_branch=no)]
    inputs = [tensor("x", ["N", 3]), tensor("flag", [], BOOL)]
    model = as_model(nodes, inputs, [tensor("y", ["N", 3])])
    return Built(model=model, inputs=_x_and_flag, axes={"x": 0})


@cases.add
def inner_name_that_is_used_outside_later() -> Built:
    """A branch makes an `r`, and a later node outside makes another one."""
    yes = subgraph("yes", [node("Neg", ["x"], ["r"])], (), [tensor("r", ["N", 3])])
    no = subgraph("no", [node("Abs", ["x"], ["r"])], (), [tensor("r", ["N", 3])])
    nodes = [
        node("If", ["flag"], ["h"], then_branch=yes, else_branch=no),
        node("Relu", ["h"], ["r"]),
        node("Add", ["r", "h"], ["y"]),
    ]
    inputs = [tensor("x", ["N", 3]), tensor("flag", [], BOOL)]
    model = as_model(nodes, inputs, [tensor("y", ["N", 3])])
    return Built(model=model, inputs=_x_and_flag, axes={"x": 0})


@cases.add
def inner_input_that_shadows_an_outer_name() -> Built:
    """The body's input is called as a constant outside, which another node reads."""
    body = subgraph(
        "body",
        [node("Identity", ["go"], ["go_out"]), node("Add", ["w", "w"], ["s_out"])],
        [tensor("turn", [], INT64), tensor("go", [], BOOL), tensor("w", ["N", 3])],
        [tensor("go_out", [], BOOL), tensor("s_out", ["N", 3])],
    )
    nodes = [
        node("Loop", ["turns", "", "x"], ["h"], body=body),
        node("Add", ["h", "w"], ["y"]),
    ]
    constants = {"w": weights(0, 3), "turns": np.array(2)}
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    return Built(model=as_model(nodes, *ends, constants), inputs=rows("x", 3))


@cases.add
def sequence_map() -> Built:
    """SequenceMap, a function of the standard with a body."""
    body = subgraph(
        "body", [node("Neg", ["one"], ["each"])], [tensor("one", None)], [tensor("each", None)]
    )
    nodes = [
        node("SplitToSequence", ["x"], ["s"], axis=0),
        node("SequenceMap", ["s"], ["t"], body=body),
        node("ConcatFromSequence", ["t"], ["y"], axis=0),
    ]
    ends = [tensor("x", ["N", 3])], [tensor("y", None, TensorProto.FLOAT)]
    return Built(model=as_model(nodes, *ends), inputs=rows("x", 3))
