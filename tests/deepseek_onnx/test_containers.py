"""Sequences, maps and optionals, in and out."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node
from onnx_models import make_model, one_node, tensor
from three_ways import as_artifact, as_one, bits, check, cut, plainly

from deepseek_core import LoadOptions, Session, errors
from deepseek_onnx.frontend import whole_model_stage
from deepseek_onnx.shapes import container_text, type_of

X = np.array([[-2, -1, 0], [1, 2, 3]], np.float32)
FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
SEQUENCE = helper.make_sequence_type_proto(FLOATS)
OPTIONAL = helper.make_optional_type_proto(FLOATS)
MAP = helper.make_map_type_proto(TensorProto.STRING, FLOATS)


def value(name, held):
    return helper.make_value_info(name, held)


def joined():
    """y = max(all of the sequence s, 0) + k."""
    nodes = [
        make_node("ConcatFromSequence", ["s"], ["h"], axis=0),
        make_node("Relu", ["h"], ["r"]),
        make_node("Add", ["r", "k"], ["y"]),
    ]
    rows = helper.make_sequence_type_proto(
        helper.make_tensor_type_proto(TensorProto.FLOAT, ["n", 3])
    )
    return make_model(nodes, [value("s", rows), tensor("k", [3])], ["y"])


K = np.array([1, 2, 3], np.float32)


def test_a_sequence_goes_in(cpu):
    assert len(check(cpu, joined(), {"s": [X, X[:1]], "k": K}, "Relu").stages) == 3


def test_a_sequence_comes_out(cpu):
    nodes = [make_node("Relu", ["x"], ["r"]), make_node("SequenceConstruct", ["r", "x"], ["s"])]
    model = make_model(nodes, [tensor("x", ["n", 3])], [value("s", SEQUENCE)])
    assert len(check(cpu, model, {"x": X}, "Relu").stages) == 2


def test_a_sequence_passes_through(cpu):
    nodes = [
        make_node("Identity", ["s"], ["t"]),
        make_node("SequenceLength", ["t"], ["count"]),
        make_node("Neg", ["count"], ["y"]),
    ]
    model = make_model(nodes, [value("s", SEQUENCE)], ["y", value("t", SEQUENCE)])
    for given in ([X, X], []):
        assert len(check(cpu, model, {"s": given}, "Neg").stages) == 2


@pytest.mark.parametrize("given", [{"o": X}, {"o": None}, {}], ids=["a tensor", "None", "nothing"])
def test_an_optional_may_be_left_out(cpu, given):
    nodes = [make_node("OptionalHasElement", ["o"], ["h"]), make_node("Not", ["h"], ["y"])]
    model = make_model(nodes, [value("o", OPTIONAL)], ["y"], opset=18)
    assert len(check(cpu, model, given, "Not").stages) == 2


@pytest.mark.parametrize("empty", [True, False])
def test_an_optional_comes_out(cpu, empty):
    made = make_node("Optional", [], ["o"], type=FLOATS) if empty else None
    nodes = [make_node("Relu", ["x"], ["y"]), made or make_node("Optional", ["y"], ["o"])]
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y", value("o", OPTIONAL)], opset=18)
    check(cpu, model, {"x": X}, "Relu")


def test_a_map_goes_in(cpu):
    nodes = [
        make_node(
            "DictVectorizer", ["d"], ["h"], domain="ai.onnx.ml", string_vocabulary=["a", "b"]
        ),
        make_node("Relu", ["h"], ["y"]),
    ]
    model = make_model(nodes, [value("d", MAP)], ["y"], domains=["ai.onnx.ml"])
    check(cpu, model, {"d": {"a": 1.5, "b": -2.0}}, "Relu")


def test_maps_in_a_sequence_come_out(cpu):
    maps = helper.make_map_type_proto(TensorProto.INT64, FLOATS)
    nodes = [
        make_node("Relu", ["x"], ["r"]),
        make_node("ZipMap", ["r"], ["m"], domain="ai.onnx.ml", classlabels_int64s=[1, 2, 3]),
    ]
    outputs = [value("m", helper.make_sequence_type_proto(maps))]
    model = make_model(nodes, [tensor("x", ["n", 3])], outputs, domains=["ai.onnx.ml"])
    assert len(check(cpu, model, {"x": X}, "Relu").stages) == 2


def test_a_model_of_sequences_may_be_selected_from_and_bound(tmp_path):
    with Session(devices=["onnx:cpu"], threads=1, cache_dir=tmp_path) as session:
        h = session.plan(session.load(joined(), outputs=["h"])).run({"s": [X, X]}).outputs
        assert bits(dict(h)) == bits({"h": np.concatenate([X, X])})
        y = session.plan(session.load(joined(), k=K)).run({"s": [X, X]}).outputs
        assert bits(dict(y)) == bits(plainly(joined(), {"s": [X, X], "k": K}))


SAME = {
    "a tuple": (X, X), "big-endian": [X.astype(">f4"), X], "strided": [np.repeat(X, 2, 0)[::2], X],
    "reversed": [X[::-1][::-1], X], "read-only": [np.broadcast_to(X, X.shape), X],
}  # fmt: skip


@pytest.mark.parametrize("given", SAME.values(), ids=SAME)
def test_tensors_in_a_sequence_are_read_by_value(cpu, given):
    """ONNX Runtime by itself takes big-endian numbers for others."""
    expected = plainly(joined(), {"s": [X, X], "k": K})
    assert bits(as_one(cpu, joined(), {"s": given, "k": K})) == bits(expected)


def test_tensors_of_other_libraries_may_be_in_a_sequence(cpu):
    torch = pytest.importorskip("torch")
    given = [torch.from_numpy(X.copy()), X]
    expected = plainly(joined(), {"s": [X, X], "k": K})
    assert bits(as_one(cpu, joined(), {"s": given, "k": K})) == bits(expected)


@pytest.mark.parametrize(
    "given", [None, X, [X, None], [X.astype(float)], [[1.0, 2.0]], "ab", {"a": 1.0}, [X, "a"]],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_what_is_no_such_sequence_is_an_error_of_the_input(cpu, given):
    loaded = cpu.load(whole_model_stage(as_artifact(joined())), LoadOptions())
    with pytest.raises(errors.InputError):
        loaded.run({"s": given, "k": K})


@pytest.mark.parametrize(
    "beside", [value("s", SEQUENCE), tensor("s", ["n"], TensorProto.STRING)], ids=["list", "text"]
)
def test_what_can_not_be_passed_beside_bfloat16_is_refused_when_it_is_loaded(cpu, beside):
    nodes = [make_node("Identity", ["s"], ["t"]), make_node("Identity", ["b"], ["c"])]
    inputs = [beside, tensor("b", ["n"], TensorProto.BFLOAT16)]
    model = make_model(nodes, inputs, [value("t", beside.type), "c"])
    with pytest.raises(errors.Unsupported, match=r"can't pass s: .*cast them inside of the model"):
        cpu.load(whole_model_stage(as_artifact(model)), LoadOptions())


@pytest.mark.parametrize(
    "held",
    [
        FLOATS, SEQUENCE, OPTIONAL, MAP, helper.make_sequence_type_proto(MAP),
        helper.make_optional_type_proto(SEQUENCE), helper.make_map_type_proto(7, MAP),
    ],
    ids=container_text,
)  # fmt: skip
def test_a_type_is_what_its_words_say(held):
    assert type_of(container_text(held)) == held


@pytest.mark.parametrize("text", ["", "tensor(colors)", "sequence()", "map(int64)", "list(x", "()"])
def test_other_words_are_no_type(text):
    assert type_of(text) is None


def test_a_sequence_never_passes_a_border(cpu):
    model = one_node("SequenceConstruct", [tensor("x", ["n"]), tensor("z", ["n"])])
    model.graph.node[0].output[0] = "s"
    model.graph.node.append(make_node("SequenceLength", ["s"], ["y"]))
    assert len(cut(cpu, model, "SequenceLength").stages) == 1
