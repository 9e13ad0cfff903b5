"""`outputs=`: what a caller wants of a model, and what then is asked of him."""

import numpy as np
import pytest
from onnx import helper
from onnx_models import make_model, tensor
from three_ways import bits, plainly

from deepseek_core import Session, errors

X = np.array([[-2, -1, 0], [1, 2, 3]], np.float32)
GIVEN = {"x": X, "z": X + 1}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with Session(
        devices=["onnx:cpu"], threads=1, cache_dir=tmp_path_factory.mktemp("cache")
    ) as opened:
        yield opened


def model(*outputs: str):
    """h = -x, y = max(h, 0), q = y + z; a default w and a constant c that no node reads."""
    nodes = [
        helper.make_node("Neg", ["x"], ["h"]),
        helper.make_node("Relu", ["h"], ["y"]),
        helper.make_node("Add", ["y", "z"], ["q"]),
        helper.make_node("Dropout", ["q"], ["d", ""]),
    ]
    inputs = [tensor("x", ["n", 3]), tensor("z", ["n", 3]), tensor("w", [3])]
    held = {"w": np.ones(3, np.float32), "c": np.arange(3, dtype=np.float32)}
    ends = [tensor(o, [3]) if o in held else o for o in outputs or ("q", "w", "c", "d")]
    return make_model(nodes, inputs, ends, held)


@pytest.mark.parametrize(
    ("outputs", "needed"),
    [
        (["h"], ["x"]), (["y", "h"], ["x"]), (["q"], ["x", "z"]), (["d", "h"], ["x", "z"]),
        (["w"], ["w"]), (["c"], []), (["h", "w", "c"], ["x", "w"]), (["h", "h"], ["x"]),
    ],
    ids=str,
)  # fmt: skip
def test_any_value_of_the_main_graph_may_be_wanted(session, outputs, needed):
    graph = session.load(model(), outputs=outputs)
    assert [spec.name for spec in graph.inputs] == needed
    given = {name: GIVEN[name] for name in needed if name in GIVEN}
    found = session.plan(graph).run(given).outputs
    expected = plainly(model(*dict.fromkeys(outputs)), {**GIVEN})
    assert list(found) == list(dict.fromkeys(outputs))
    assert bits(dict(found)) == bits(expected)


def test_a_default_that_is_wanted_may_be_given(session):
    graph = session.load(model(), outputs=["w", "h"])
    w = np.full(3, 7, np.float32)
    found = session.plan(graph).run({"x": X, "w": w}).outputs
    assert bits(dict(found)) == bits({"w": w, "h": -X})


@pytest.mark.parametrize("outputs", [["x"], ["nowhere"], [""]], ids=str)
def test_what_is_no_output_nor_made_inside_is_refused(session, outputs):
    with pytest.raises(errors.GraphError, match=r"has no output.*its outputs are q, w, c, d"):
        session.load(model(), outputs=outputs)


@pytest.mark.parametrize("outputs", ["h", ["h", 3], [None]], ids=str)
def test_what_is_no_list_of_names_is_refused(session, outputs):
    with pytest.raises(errors.ConfigError) as caught:
        session.load(model(), outputs=outputs)
    assert caught.value.message == f"names must be given as a list, got {outputs!r}"


def test_an_input_that_is_an_output_may_be_wanted(session):
    node = helper.make_node("Neg", ["x"], ["y"])
    both = make_model([node], [tensor("x", ["n", 3])], ["y", tensor("x", ["n", 3])])
    found = session.plan(session.load(both, outputs=["x"])).run({"x": X}).outputs
    assert bits(dict(found)) == bits({"x": X})


@pytest.mark.parametrize(
    ("told", "axis"),
    [("n", "n"), ("x=0,z=0", "axis 0 of x, axis 0 of z"), (" n ,", "n")],
)
def test_a_file_declares_its_batch_axis_by_symbol_or_number(session, told, axis):
    declared = model("q")
    declared.metadata_props.add(key="deepseek.batch_axis", value=told)
    assert session.load(declared).batch_text == f"batch axis: {axis}, declared"


@pytest.mark.parametrize("told", ["m", "x=9", "x=0,z", "nowhere=0"])
def test_a_file_that_declares_what_it_does_not_have_runs_all_the_same(session, told):
    declared = model("q")
    declared.metadata_props.add(key="deepseek.batch_axis", value=told)
    text = session.load(declared).batch_text
    assert text.startswith("not batched: its metadata deepseek.batch_axis is of no use: ")


@pytest.mark.parametrize("outputs", [["q"], ["w", "q"], ["d"]])
def test_what_a_file_declares_of_outputs_that_nobody_wants_does_no_harm(session, outputs):
    declared = model("q", "w", "c", "d")
    declared.metadata_props.add(key="deepseek.batch_axis", value="x=0,z=0,q=0,d=0")
    graph = session.load(declared, outputs=outputs)
    assert "its metadata" not in graph.batch_text


@pytest.mark.parametrize("told", [{}, [], "", 0, True, {"x": -1}, {"x": "0"}, {"x": 0.0}], ids=repr)
def test_a_batch_axis_that_a_caller_can_not_mean_is_refused(session, told):
    with pytest.raises(errors.ConfigError):
        session.load(model("q"), batch_axis=told)


def test_a_caller_s_batch_axis_goes_before_the_file_s(session):
    declared = model("q")
    declared.metadata_props.add(key="deepseek.batch_axis", value="n")
    assert session.load(declared, batch_axis=False).batch_text == "not batched: declared so"
