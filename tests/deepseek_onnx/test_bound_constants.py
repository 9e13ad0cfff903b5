"""Inputs that are fixed to constants: any dtype, any size, any kind of model."""

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node
from onnx_models import make_model, tensor
from three_ways import as_artifact, bits, cut, plainly, run_graph

from deepseek_core import LoadOptions, Session, errors
from deepseek_onnx.frontend import whole_model_stage

X = np.array([[-2, -1, 0], [1, 2, 3]], np.float32)
C = np.array([1, 2, 3], np.float32)
NARROW = {
    "bfloat16": TensorProto.BFLOAT16, "float8_e4m3fn": TensorProto.FLOAT8E4M3FN,
    "float8_e5m2": TensorProto.FLOAT8E5M2, "int4": TensorProto.INT4, "uint4": TensorProto.UINT4,
}  # fmt: skip


def check(device, model, inputs, constants, *operators):
    """Bound whole and cut, it gives what ONNX Runtime gives for all inputs."""
    expected = bits(plainly(model, {**inputs, **constants}))
    stage = whole_model_stage(as_artifact(model)).bind(constants)
    assert bits(dict(device.load(stage, LoadOptions()).run(inputs))) == expected
    graph = cut(device, model, *operators).bind(constants)
    assert [spec.name for spec in graph.inputs] == list(inputs)
    assert bits(run_graph(device, graph, inputs)) == expected


@pytest.mark.parametrize("width", [3, 40_000], ids=["small", "large"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "bool"])
def test_numbers(cpu, dtype, width):
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT),
        make_node("Add", ["x", "f"], ["h"]),
        make_node("Relu", ["h"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n", width]), tensor("c", [2, width], element)], ["y"])
    c = np.random.default_rng(0).integers(0, 2, (2, width)).astype(dtype)
    check(cpu, model, {"x": np.ones((2, width), np.float32)}, {"c": c}, "Relu")


@pytest.mark.parametrize("width", [3, 150_001], ids=["small", "large"])
@pytest.mark.parametrize("dtype", NARROW)
def test_numbers_that_numpy_lacks(cpu, dtype, width):
    nodes = [
        make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT),
        make_node("Add", ["x", "f"], ["y"]),
    ]
    inputs = [tensor("x", ["n"]), tensor("c", [width], NARROW[dtype])]
    model = make_model(nodes, inputs, ["y"], opset=21, ir_version=10)
    values = np.arange(width) % 7
    c = values.astype(getattr(ml_dtypes, dtype))
    stage = whole_model_stage(as_artifact(model)).bind({"c": c})
    x = np.zeros(width, np.float32)
    found = cpu.load(stage, LoadOptions()).run({"x": x})
    assert bits(found["y"]) == bits(values.astype(np.float32))


TEXTS = {
    "str": np.array(["a", "ü"]), "object": np.array(["a", "ü"], object),
    "bytes": np.array([b"a", b"b"]), "none": np.array([], object),
    "many str": np.array(["text"] * 20_000), "many objects": np.array(["text"] * 20_000, object),
}  # fmt: skip


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_text(cpu, texts):
    node = make_node("StringConcat", ["s", "x"], ["y"])
    inputs = [tensor(name, ["n"], TensorProto.STRING) for name in "sx"]
    model = make_model([node], inputs, ["y"], opset=20, ir_version=9)
    stage = whole_model_stage(as_artifact(model)).bind({"s": texts})
    x = np.array(["!"] * len(texts), object)
    found = cpu.load(stage, LoadOptions()).run({"x": x})["y"]
    plain = [t.decode() if isinstance(t, bytes) else t for t in texts.tolist()]
    assert found.tolist() == [f"{t}!" for t in plain]


def test_a_nan_keeps_its_bits(cpu):
    nodes = [make_node("Neg", ["x"], ["y"]), make_node("Identity", ["c"], ["z"])]
    model = make_model(nodes, [tensor("x", ["n", 3]), tensor("c", [3])], ["y", "z"])
    c = np.array([0x7FC00001, 0x7F800001, 0xFFC12345], np.uint32).view(np.float32)
    stage = whole_model_stage(as_artifact(model)).bind({"c": c})
    assert cpu.load(stage, LoadOptions()).run({"x": X})["z"].tobytes() == c.tobytes()


@pytest.mark.parametrize("size", [3, 300_000], ids=["small", "large"])
def test_a_default_is_replaced(cpu, tmp_path, size):
    nodes = [
        make_node("Add", ["x", "w"], ["h"]),
        make_node("Relu", ["h"], ["r"]),
        make_node("Mul", ["r", "w"], ["y"]),
    ]
    w = np.arange(size, dtype=np.float32)
    model = make_model(nodes, [tensor("x", ["n"]), tensor("w", [size])], ["y"], {"w": w})
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    check(cpu, path, {"x": np.ones(size, np.float32)}, {"w": 3 * w + 1}, "Relu")


def chosen():
    """y = max(x + w if flag else x * w, 0): constants of such a model are fed with each run."""

    def branch(op):
        node = make_node(op, ["x", "w"], [op])
        return helper.make_graph([node], op, [], [tensor(op, None)])

    nodes = [
        make_node("If", ["flag"], ["h"], then_branch=branch("Add"), else_branch=branch("Mul")),
        make_node("Relu", ["h"], ["y"]),
    ]
    inputs = [tensor("x", ["n", 3]), tensor("w", [3]), tensor("flag", [], TensorProto.BOOL)]
    return make_model(nodes, inputs, [tensor("y", ["n", 3])])


@pytest.mark.parametrize("flag", [True, False])
def test_what_a_branch_reads(cpu, flag):
    check(cpu, chosen(), {"x": X}, {"w": C, "flag": np.array(flag)}, "Relu")


def test_a_bound_call_of_a_model_with_branches_has_its_constants(cpu):
    constants = {"w": C, "flag": np.array(True)}
    loaded = cpu.load(whole_model_stage(as_artifact(chosen())).bind(constants), LoadOptions())
    x, y = X.copy(), np.empty_like(X)
    call = loaded.bind({"x": x}, {"y": y})
    for _ in range(2):
        call()
        assert bits(y) == bits(plainly(chosen(), {"x": x, **constants})["y"])
        x *= -1


@pytest.mark.parametrize("name", ["w", "nowhere"])
def test_a_constant_can_not_be_passed_again(cpu, name):
    constants = {"w": C, "flag": np.array(True)}
    loaded = cpu.load(whole_model_stage(as_artifact(chosen())).bind(constants), LoadOptions())
    with pytest.raises(errors.TensorMismatch, match=f"has no input '{name}'"):
        loaded.run({"x": X, name: C})


def added(shape):
    """y = x + w, both of this shape."""
    inputs = [tensor("x", shape), tensor("w", shape)]
    return make_model([make_node("Add", ["x", "w"], ["y"])], inputs, ["y"])


def test_a_constant_is_a_copy(cpu):
    model = added(["n"])
    for size in (3, 40_000):
        w = np.ones(size, np.float32)
        loaded = cpu.load(whole_model_stage(as_artifact(model)).bind({"w": w}), LoadOptions())
        w[:] = 9
        assert loaded.run({"x": np.zeros(size, np.float32)})["y"].max() == 1


@pytest.mark.parametrize(
    "given",
    [X.astype(np.float64), X[0], np.ones((2, 4), np.float32), None, "s", [[1.0], [2.0, 3.0]],
     np.ma.masked_array(X, mask=X > 0), {"a": 1}],
    ids=["dtype", "rank", "size", "None", "text", "ragged", "masked", "dict"],
)  # fmt: skip
def test_a_constant_that_does_not_fit_is_refused(given):
    model = added(["n", 3])
    with pytest.raises(errors.TensorMismatch, match="tensor 'w': expected float32"):
        whole_model_stage(as_artifact(model)).bind({"w": given})


def test_an_input_that_carries_the_items_may_be_fixed_unless_that_is_declared(tmp_path):
    model = added(["n", 3])
    with Session(devices=["onnx:cpu"], threads=1, cache_dir=tmp_path) as session:
        assert session.load(model).batch_text == "batch axis: n, proven"
        graph = session.load(model, w=X)
        assert graph.batch_text.startswith("not batched: Add may mix items along n")
        assert bits(session.plan(graph).run({"x": X}).outputs["y"]) == bits(X + X)
        declared = session.load(model, batch_axis="n")
        with pytest.raises(errors.TensorMismatch, match="carries the items of a batch"):
            declared.bind(w=X)
