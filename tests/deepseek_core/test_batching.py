"""The batch axis is declared or found, never taken from a name."""

import numpy as np
import pytest
from plain_graphs import chain, diamond, stage

from deepseek_core import Batching, Graph, TensorSpec
from deepseek_core.contracts.errors import ConfigError, TensorMismatch
from deepseek_core.contracts.frontend import with_declared_batch


def spec(name, shape, **more):
    return TensorSpec(name=name, dtype="float32", shape=shape, **more)


X = spec("x", ("N", 3))
STATE = spec("state", (2, "N", 4))
Y = spec("y", ("N", 5))


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        ([], None),
        (["N"], "N"),
        (["none"], False),
        (["x=0", "state=1"], {"x": 0, "state": 1}),
        (["a=b=0"], {"a=b": 0}),
        (["batch size"], "batch size"),
        ([" N ", ""], "N"),
    ],
)
def test_words_of_an_option_or_of_a_file_become_a_choice(words, choice):
    assert Batching.parse(words) == choice


def test_words_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="N, x=0 is no batch axis"):
        Batching.parse(["N", "x=0"])


@pytest.mark.parametrize("words", [["x=0", "x=1"], ["x=0", "s=1", "x=0"]])
def test_an_input_has_one_batch_axis(words):
    with pytest.raises(ConfigError, match="an input has one batch axis"):
        Batching.parse(words)


def test_an_axis_below_zero_is_no_symbol():
    assert Batching.parse(["x=-1"]) == {"x": -1}
    spec = TensorSpec(name="x", dtype="float32", shape=("N", 4))
    with pytest.raises(ConfigError, match="has no axis -1"):
        Batching.declare({"x": -1}, [spec], [])


def test_a_declared_symbol_is_found_wherever_it_stands():
    found = Batching.declare("N", [X, STATE], [Y])
    assert (found.source, dict(found.axes)) == ("declared", {"x": 0, "state": 1, "y": 0})
    assert found.symbol == "N"


def test_axes_may_be_declared_by_number():
    found = Batching.declare({"x": 0, "state": 1}, [X, STATE], [Y])
    assert (found.symbol, dict(found.axes)) == ("", {"x": 0, "state": 1})


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("M", "no input has an axis 'M'"),
        ({"z": 0}, "declared for 'z'"),
        ({"x": 2}, "has no axis 2"),
        ({"x": -1}, "has no axis -1"),
        ({"x": True}, "has no axis True"),
        (7, "a symbol or a mapping"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused_by_name(choice, words):
    with pytest.raises(ConfigError, match=words):
        Batching.declare(choice, [X, STATE], [Y])


def test_a_symbol_on_an_output_alone_is_no_batch_axis():
    with pytest.raises(ConfigError, match="free axes: M"):
        Batching.declare("N", [spec("x", ("M", 3))], [Y])


def test_none_is_a_declaration_too():
    found = Batching.declare(False, [X], [Y])
    assert (found.source, found.reason) == ("none", "declared so")


def test_an_unnamed_size_gets_the_symbol_and_a_named_one_keeps_its_name():
    found = Batching(source="proven", symbol="N", axes={"inner": 0, "y": 0})
    inner, y = found.applied([spec("inner", ("inner_0", 8)), spec("y", ("M", 5))])
    assert (inner.shape, inner.batch_axis) == (("N", 8), 0)
    assert (y.shape, y.batch_axis) == (("M", 5), 0)


def test_a_tensor_that_is_not_named_has_no_batch_axis():
    (x,) = Batching(reason="no").applied([spec("x", ("N", 3), batch_axis=0)])
    assert x.batch_axis is None


def test_a_batch_axis_lies_within_the_rank():
    with pytest.raises(ValueError, match="has no axis 2"):
        spec("x", ("N", 3), batch_axis=2)
    assert spec("x", None, batch_axis=2).sizes(4) == ()
    assert spec("state", (2, "N", 4), batch_axis=1).sizes(7) == (2, 7, 4)


def test_items_are_counted_where_all_inputs_agree():
    graph = diamond()
    assert graph.items(graph.admit({"x": np.ones((5, 2))})) == 5
    unbatched = graph.with_batching(Batching(reason="declared so"))
    assert unbatched.items(unbatched.admit({"x": np.ones((5, 2))})) is None
    assert unbatched.check_inputs({"x": np.ones((5, 2))}) == 1


def test_inputs_that_differ_in_size_are_one_call():
    graph = Graph(name="sum", stages=[stage("join", "Add", ["a", "b"], "s")], outputs=["s"])
    assert graph.items(graph.admit({"a": np.ones((5, 2)), "b": np.ones((1, 2))})) is None


def test_an_input_with_a_default_makes_one_call_when_it_is_given():
    graph = chain()
    extra = spec("scale", (), optional=True)
    graph = Graph(
        name="g", stages=graph.stages, outputs=["z"], declared_inputs=[*graph.inputs, extra]
    )
    assert graph.is_batched
    given = graph.admit({"x": np.ones((3, 2))})
    assert graph.items(given) == 3
    given = graph.admit({"x": np.ones((3, 2)), "scale": np.float32(2)})
    assert graph.items(given) is None


def test_what_carries_the_items_cannot_be_fixed():
    declared = with_declared_batch(chain(), {"x": 0, "z": 0})
    with pytest.raises(TensorMismatch, match="can't be fixed"):
        declared.bind(x=np.ones((3, 2)))


def test_names_of_inputs_are_free():
    graph = Graph(
        name="names", stages=[stage("join", "Add", ["self", "constants"], "s")], outputs=["s"]
    ).with_batching(Batching(reason="no"))
    bound = graph.bind({"self": np.ones((1, 2))}, constants=np.ones((1, 2)))
    assert bound.inputs == ()


def test_a_constant_is_a_copy_that_nobody_can_change():
    graph = diamond().with_batching(Batching(reason="no"))
    mine = np.ones((1, 2))
    bound = graph.bind(x=mine)
    mine[:] = 7
    (held,) = ({id(v): v for s in bound.stages for v in s.constants.values()}.values(),)
    for array in held:
        assert array.tolist() == [[1, 1]]
        assert not array.flags.writeable
