"""Models as stages: equal numbers wherever they are cut, clear errors where they can't be read."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import as_artifact, make_model, perceptron, tensor

from deepseek_core import Artifact, Graph, LoadOptions, OpenOptions, Support, errors
from deepseek_onnx.device import DEVICE_ID, open_device
from deepseek_onnx.frontend import OnnxFrontend, whole_model_stage


def everywhere(_op):
    return {"cpu": Support.yes()}


def split(**devices):
    """Each keyword is a device and the operators it runs; `cpu` runs whatever the others do."""

    def supporters(op):
        answers = {
            device: Support.yes() if op.name in ops else Support.no(f"{device} lacks {op.name}")
            for device, ops in devices.items()
        }
        return {"cpu": Support.yes(), **answers}

    return supporters


def read(model, supporters=everywhere) -> Graph:
    return OnnxFrontend().read(as_artifact(model), supporters)


def run_graph(graph: Graph, inputs, device):
    values = dict(inputs)
    for stage in graph.stages:
        loaded = device.load(stage, LoadOptions())
        values |= loaded.run({spec.name: values[spec.name] for spec in stage.inputs})
    return [values[name] for name in graph.outputs]


def run_whole(model, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def same(model, inputs, supporters, device):
    graph = read(model, supporters)
    ours, whole = run_graph(graph, inputs, device), run_whole(model, inputs)
    for mine, reference in zip(ours, whole, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-5)
    return graph


def convnet(batch="N"):
    """x[N, 3, 8, 8] -> embedding[N, 16]; the Reshape to [-1, 256] loses the batch's symbol."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Constant", [], ["shape"], value_ints=[-1, 256]),
        helper.make_node("Reshape", ["r", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "m"], ["embedding"]),
    ]
    weights = {
        "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "m": rng.standard_normal((256, 16)).astype(np.float32),
    }
    return make_model(nodes, [tensor("x", [batch, 3, 8, 8])], ["embedding"], weights)


@st.composite
def dags(draw):
    """A random graph of x[n, 4] and z[n, 4] with several outputs, and operators given away."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values, nodes = ["x", "z"], []
    weights = {"w": rng.standard_normal((4, 4)).astype(np.float32) / 4, "b": np.ones(4, np.float32)}
    for i in range(draw(st.integers(1, 12))):
        op = draw(st.sampled_from(["Add", "Mul", "Relu", "Tanh", "MatMul", "Sub"]))
        first = draw(st.sampled_from(values))
        second = "w" if op == "MatMul" else draw(st.sampled_from([*values, "b"]))
        inputs = [first] if op in ("Relu", "Tanh") else [first, second]
        nodes.append(helper.make_node(op, inputs, [f"v{i}"], name=f"node{i}"))
        values.append(f"v{i}")
    outputs = draw(st.lists(st.sampled_from(values[2:]), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        nodes.reverse()  # files in the wild are not always sorted
    names = st.sets(st.sampled_from(["Add", "Mul", "Relu", "Tanh", "MatMul", "Sub"]))
    devices = {"gpu": draw(names), "fpga": draw(names)}
    inputs = [tensor("x", ["n", 4]), tensor("z", ["n", 4])]
    return make_model(nodes, inputs, outputs, weights), devices


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    options = OpenOptions(threads=1, cache_dir=tmp_path_factory.mktemp("cache"))
    opened = open_device(DEVICE_ID, options)
    yield opened
    opened.close()


@given(case=dags())
@settings(max_examples=60, deadline=None)
def test_a_cut_model_gives_the_numbers_of_the_whole_one(device, case):
    model, devices = case
    rng = np.random.default_rng(1)
    inputs = {name: rng.standard_normal((3, 4)).astype(np.float32) for name in "xz"}
    graph = read(model, split(**devices))
    in_order = onnx.ModelProto()
    in_order.CopyFrom(model)
    if model.graph.node[0].output[0] != "v0":
        in_order.graph.ClearField("node")
        in_order.graph.node.extend(reversed(model.graph.node))
    whole = run_whole(in_order, inputs)
    for mine, reference in zip(run_graph(graph, inputs, device), whole, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-5)


def test_one_support_set_makes_one_stage_with_a_proven_batch_axis(device):
    x = np.random.default_rng(3).standard_normal((5, 3, 8, 8)).astype(np.float32)
    graph = same(convnet(), {"x": x}, everywhere, device)
    (stage,) = graph.stages
    assert (stage.name, stage.kind, stage.batched) == ("convolution", "convolution", True)
    assert str(graph.inputs[0]) == "x: float32 [N, 3, 8, 8]"
    assert str(graph.output_specs[0]) == "embedding: float32 [N, 16]"
    assert graph.batch_text == "batch axis: N, proven"
    assert stage.work.flops_per_item == 2 * (4 * 64 * 27 + 256 * 16) + 2 * 256
    assert graph.name == "test"


def test_the_batch_survives_a_reshape_at_a_border(device):
    x = np.random.default_rng(3).standard_normal((5, 3, 8, 8)).astype(np.float32)
    graph = same(convnet(), {"x": x}, split(gpu=["MatMul"]), device)
    assert [stage.name for stage in graph.stages] == ["convolution", "gemm"]
    assert str(graph.stages[1].inputs[0]) == "flat: float32 [N, 256]"
    assert [op.name for op in graph.stages[0].operations] == ["Conv", "Relu", "Reshape"]


def test_a_fixed_batch_is_no_batch():
    graph = read(convnet(batch=2))
    assert graph.inputs[0].shape == (2, 3, 8, 8)
    assert not graph.stages[0].divisible


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([["N", 4]], [("N", 4)]),
        ([[None, 4]], [("x0_0", 4)]),
        ([[-1, 4]], [("x0_0", 4)]),
        ([["N", 4], ["N", 1]], [("N", 4), ("N", 1)]),
        ([["rows", 4], ["batch", 4]], [("rows", 4), ("batch", 4)]),
        ([["seq_len", "batch"]], [("seq_len", "batch")]),
        ([[None, None]], [("x0_0", "x0_1")]),
    ],
)
def test_symbols_keep_the_names_of_the_file(shapes, expected):
    inputs = [tensor(f"x{i}", shape) for i, shape in enumerate(shapes)]
    nodes = [helper.make_node("Neg", [f"x{i}"], [f"y{i}"]) for i in range(len(shapes))]
    graph = read(make_model(nodes, inputs, [f"y{i}" for i in range(len(shapes))]))
    assert [spec.shape for spec in graph.inputs] == expected


def test_equal_kinds_are_numbered(device):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n", 2])], ["y"], {"w": np.eye(2, dtype=np.float32)})
    x = np.array([[1, -2]], np.float32)
    graph = same(model, {"x": x}, split(gpu=["MatMul"]), device)
    assert [stage.name for stage in graph.stages] == ["gemm", "elementwise", "gemm_2"]


def test_each_stage_holds_only_its_own_initializers():
    graph = read(convnet(), split(gpu=["MatMul"]))
    held = [
        {t.name for t in onnx.load_model_from_string(stage.artifact.read()).graph.initializer}
        for stage in graph.stages
    ]
    assert held == [{"w", "shape"}, {"m"}]


def test_equal_files_make_equal_fingerprints():
    first, second = (read(convnet(), split(gpu=["MatMul"])) for _ in range(2))
    assert [s.fingerprint for s in first.stages] == [s.fingerprint for s in second.stages]


def match_function():
    body = [
        helper.make_node("Transpose", ["gallery"], ["columns"]),
        helper.make_node("MatMul", ["queries", "columns"], ["dots"]),
        helper.make_node("TopK", ["dots", "k"], ["distances", "indices"]),
    ]
    return helper.make_function(
        "ai.deepseek", "MatchL2", ["queries", "gallery", "k"], ["indices", "distances"], body,
        [helper.make_opsetid("", 18)],
    )  # fmt: skip


def test_a_model_local_function_is_one_operation_with_its_domain(device):
    nodes = [
        helper.make_node("Relu", ["x"], ["e"]),
        helper.make_node("MatchL2", ["e", "g", "k"], ["i", "d"], domain="ai.deepseek", name="m"),
    ]
    inputs = [tensor("x", ["N", 4]), tensor("g", ["rows", 4]), tensor("k", [1], TensorProto.INT64)]
    model = make_model(
        nodes, inputs, ["i", "d"], functions=[match_function()], domains=["ai.deepseek"], opset=18
    )
    rng = np.random.default_rng(4)
    given = {
        "x": rng.standard_normal((3, 4)).astype(np.float32),
        "g": rng.standard_normal((9, 4)).astype(np.float32),
        "k": np.array([2]),
    }
    graph = same(model, given, split(fpga=["MatchL2"]), device)
    assert [stage.name for stage in graph.stages] == ["elementwise", "matching"]
    (match,) = graph.stages[1].operations
    assert match.qualified_name == "ai.deepseek::MatchL2"
    assert [str(spec) for spec in match.inputs] == [
        "e: float32 [N, 4]", "g: float32 [rows, 4]", "k: int64 [1]",
    ]  # fmt: skip
    assert [spec.dtype for spec in match.outputs] == ["int64", "float32"]
    assert device.supports(match)
    bound = graph.bind(g=given["g"], k=given["k"])
    for mine, whole in zip(
        run_graph(bound, {"x": given["x"]}, device), run_whole(model, given), strict=True
    ):
        np.testing.assert_allclose(mine, whole, rtol=1e-4, atol=1e-5)


def test_an_operator_that_no_device_runs_is_named_with_each_refusal():
    def supporters(op):
        if op.name == "Relu":
            return {"a": Support.no("a lacks it"), "b": Support.no("b too")}
        return {"a": Support.yes(), "b": Support.no("b never")}

    model = make_model(
        [helper.make_node("Relu", ["x"], ["h"], name="act"), helper.make_node("Neg", ["h"], ["y"])],
        [tensor("x", ["n"])],
        ["y"],
    )
    with pytest.raises(errors.NoDevice, match="Relu \\(node 'act'\\)") as caught:
        read(model, supporters)
    assert caught.value.refusals == {"a": "a lacks it", "b": "b too"}
    assert "a lacks it" in str(caught.value)


def test_no_device_at_all_is_told():
    with pytest.raises(errors.NoDevice, match="no device is present"):
        read(perceptron(), lambda op: {})


def test_equal_operations_are_asked_once():
    asked = []

    def supporters(op):
        asked.append(op.name)
        return {"cpu": Support.yes()}

    read(perceptron(8, 6), supporters)
    assert sorted(asked) == ["MatMul", "Relu"]


def test_an_initializer_listed_as_input_is_no_input(device):
    model = make_model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        [tensor("x", ["n"]), tensor("w", [1])],
        ["y"],
        {"w": np.array([3], np.float32)},
        ir_version=3,
    )
    graph = same(model, {"x": np.ones(2, np.float32)}, everywhere, device)
    assert [spec.name for spec in graph.inputs] == ["x"]


@pytest.mark.parametrize("flag", [True, False])
def test_subgraphs_keep_what_they_take_from_around_them(device, flag):
    def branch(op):
        node = helper.make_node(op, ["outer", "w"], ["inner"])
        return helper.make_graph([node], op, [], [tensor("inner", None)])

    nodes = [
        helper.make_node("Relu", ["x"], ["outer"]),
        helper.make_node(
            "If", ["flag"], ["y"], then_branch=branch("Add"), else_branch=branch("Mul")
        ),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    inputs = [tensor("x", ["n", 2]), tensor("flag", [], TensorProto.BOOL)]
    model = make_model(nodes, inputs, ["z"], {"w": np.array([5, 7], np.float32)})
    given = {"x": np.array([[1, -1]], np.float32), "flag": np.array(flag)}
    graph = read(model, split(gpu=["Relu", "Neg"]))
    np.testing.assert_array_equal(run_graph(graph, given, device)[0], run_whole(model, given)[0])
    assert {spec.name for s in graph.stages for spec in s.inputs} == {"x", "outer", "flag", "y"}
    assert all(device.supports(op) for stage in graph.stages for op in stage.operations)


def test_a_loop_is_asked_with_its_captured_values(device):
    body = helper.make_graph(
        [
            helper.make_node("Add", ["sum_in", "step"], ["sum_out"]),
            helper.make_node("Identity", ["keep_in"], ["keep_out"]),
        ],
        "body",
        [tensor("i", [], TensorProto.INT64), tensor("keep_in", [], TensorProto.BOOL),
         tensor("sum_in", ["n"])],
        [tensor("keep_out", [], TensorProto.BOOL), tensor("sum_out", ["n"])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Neg", ["x"], ["step"]),
        helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body),
    ]
    # Inference can't know that a loop keeps the shape; exporters declare it.
    outputs = [tensor("y", ["n"])]
    model = make_model(nodes, [tensor("x", ["n"])], outputs, {"trips": np.array(3)})
    graph = same(model, {"x": np.ones(2, np.float32)}, split(gpu=["Neg"]), device)
    assert all(device.supports(op) for stage in graph.stages for op in stage.operations)


def test_sequences_stay_inside_of_a_stage(device):
    nodes = [
        helper.make_node("SequenceConstruct", ["x", "x"], ["pair"]),
        helper.make_node("ConcatFromSequence", ["pair"], ["y"], axis=0),
    ]
    model = make_model(nodes, [tensor("x", ["n", 2])], ["y"])
    supporters = split(gpu=["SequenceConstruct"])
    graph = same(model, {"x": np.ones((1, 2), np.float32)}, supporters, device)
    assert len(graph.stages) == 1
    assert all(device.supports(op) for op in graph.stages[0].operations)


def test_an_output_that_is_constant_gets_a_node(device):
    nodes = [helper.make_node("Neg", ["x"], ["y"])]
    model = make_model(nodes, [tensor("x", ["n"])], ["y", "c"], {"c": np.ones(2, np.float32)})
    same(model, {"x": np.ones(2, np.float32)}, everywhere, device)


def test_dead_nodes_are_left_out():
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Exp", ["x"], ["unused"])]
    graph = read(make_model(nodes, [tensor("x", ["n"])], ["y"]))
    assert [op.name for op in graph.stages[0].operations] == ["Neg"]


def test_a_contrib_operator_gets_its_dtype_from_the_runtime(device):
    nodes = [
        helper.make_node("Gelu", ["x"], ["h"], domain="com.microsoft"),
        helper.make_node("Neg", ["h"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y"], domains=["com.microsoft"])
    graph = same(model, {"x": np.ones((2, 3), np.float32)}, split(gpu=["Neg"]), device)
    assert graph.stages[1].inputs[0].dtype == "float32"


def save(path: Path, model, *, beside: bool) -> Path:
    onnx.save_model(
        model, path, save_as_external_data=beside, location="weights.bin", size_threshold=0
    )
    return path


def test_data_files_beside_the_model_are_read(tmp_path, device):
    model = convnet()
    path = save(tmp_path / "net.onnx", convnet(), beside=True)
    graph = OnnxFrontend().read(Artifact.from_path(path), split(gpu=["MatMul"]))
    assert graph.name == "net"
    x = np.ones((2, 3, 8, 8), np.float32)
    (whole,) = run_whole(model, {"x": x})
    np.testing.assert_allclose(run_graph(graph, {"x": x}, device)[0], whole, rtol=1e-4, atol=1e-5)
    stage = whole_model_stage(Artifact.from_path(path))
    loaded = device.load(stage, LoadOptions()).run({"x": x})
    np.testing.assert_allclose(loaded["embedding"], whole, rtol=1e-4, atol=1e-5)


def test_a_missing_data_file_is_named(tmp_path):
    path = save(tmp_path / "net.onnx", convnet(), beside=True)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(errors.ArtifactError, match=r"weights\.bin"):
        OnnxFrontend().read(Artifact.from_path(path), everywhere)


def test_a_model_cut_anywhere_is_refused(tmp_path):
    content = perceptron(4).SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(errors.ArtifactError, match="export the model again"):
            OnnxFrontend().read(Artifact.from_path(path), everywhere)


def test_a_missing_file_is_an_artifact_error(tmp_path):
    path = save(tmp_path / "net.onnx", perceptron(), beside=False)
    artifact = Artifact.from_path(path)
    path.unlink()
    with pytest.raises(errors.ArtifactError, match=r"net\.onnx"):
        OnnxFrontend().read(artifact, everywhere)


@pytest.mark.parametrize(
    ("nodes", "outputs", "words"),
    [
        ([helper.make_node("Neg", ["nowhere"], ["y"])], ["y"], "'nowhere'"),
        (
            [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])],
            ["b"],
            "cycle",
        ),
        ([helper.make_node("Neg", ["x"], ["y"])], ["y", "z"], "'z'"),
    ],
    ids=["dangling", "cycle", "output that nothing makes"],
)
def test_a_model_that_contradicts_itself_is_refused(nodes, outputs, words):
    with pytest.raises(errors.ArtifactError, match=words):
        read(make_model(nodes, [tensor("x", ["n"])], outputs))


@pytest.mark.parametrize(
    ("quantized", "kind", "flops_per_item"),
    [
        (helper.make_node("MatMulInteger", ["x", "w"], ["y"]), "gemm", 2 * 8 * 4),
        (helper.make_node("Gemm", ["x", "w"], ["y"]), "gemm", 2 * 8 * 4),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), "gemm", 2 * 8 * 4),
    ],
    ids=lambda value: getattr(value, "op_type", None),
)
def test_work_counts_multiplications_of_each_product(quantized, kind, flops_per_item):
    integer = quantized.op_type == "MatMulInteger"
    w = np.ones((4, 8), np.int8 if integer else np.float32)
    x = tensor("x", ["n", 4], TensorProto.UINT8 if integer else TensorProto.FLOAT)
    (stage,) = read(make_model([quantized], [x], ["y"], {"w": w})).stages
    assert (stage.kind, stage.work.flops_per_item) == (kind, flops_per_item)
    assert stage.work.fixed_bytes == w.nbytes


def test_a_quantized_convolution_between_its_casts_is_a_convolution():
    scale = {"s": np.float32(0.1), "u": np.uint8(128), "i": np.int8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "u"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "u"], ["d"]),
        helper.make_node("DequantizeLinear", ["w8", "s", "i"], ["w"]),
        helper.make_node("Conv", ["d", "w"], ["y"]),
    ]
    weights = {"w8": np.ones((4, 3, 1, 1), np.int8), **{k: np.array(v) for k, v in scale.items()}}
    (stage,) = read(make_model(nodes, [tensor("x", ["n", 3, 8, 8])], ["y"], weights)).stages
    assert stage.kind == "convolution"
    assert stage.work.flops_per_item >= 2 * 4 * 64 * 3


def test_string_constants_pass_through(device):
    nodes = [
        helper.make_node("Constant", [], ["names"], value_strings=[b"a", b"b"]),
        helper.make_node("Gather", ["names", "x"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n"], TensorProto.INT64)], ["y"])
    (out,) = run_graph(read(model), {"x": np.array([1, 0])}, device)
    assert list(out) == ["b", "a"]


def test_an_output_of_unknown_rank_needs_no_cut(device):
    nodes = [
        helper.make_node("Neg", ["x"], ["negated"]),
        helper.make_node("Reshape", ["negated", "shape"], ["y"]),
    ]
    inputs = [tensor("x", ["n"]), tensor("shape", ["rank"], TensorProto.INT64)]
    model = make_model(nodes, inputs, ["y"])
    given = {"x": np.arange(6, dtype=np.float32), "shape": np.array([2, 3])}
    graph = same(model, given, everywhere, device)
    assert graph.output_specs[0].shape is None
    assert [stage.name for stage in graph.stages] == ["elementwise"]


def test_what_cannot_pass_a_border_keeps_the_model_whole(device):
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["inner"]),
        helper.make_node("Neg", ["inner"], ["y"]),
    ]
    inputs = [tensor("x", ["n"]), tensor("shape", ["rank"], TensorProto.INT64)]
    graph = read(make_model(nodes, inputs, ["y"]), split(gpu=["Neg"]))
    assert len(graph.stages) == 1


def test_without_one_device_for_all_of_it_what_cannot_be_cut_is_refused():
    def supporters(op):
        able = {"a": op.name == "Reshape", "b": op.name == "Neg"}
        return {d: Support.yes() if ok else Support.no("no") for d, ok in able.items()}

    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["inner"]),
        helper.make_node("Neg", ["inner"], ["y"]),
    ]
    inputs = [tensor("x", ["n"]), tensor("shape", ["rank"], TensorProto.INT64)]
    with pytest.raises(errors.NoDevice, match="can't be cut"):
        read(make_model(nodes, inputs, ["y"]), supporters)
