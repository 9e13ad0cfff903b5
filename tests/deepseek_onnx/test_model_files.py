"""Files that are models, nearly models, or nothing like them."""

import io
import os
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import make_model, perceptron, tensor
from three_ways import as_artifact, check, cut
from wire import field, nested_ifs

from deepseek_core import Artifact, LatencyClass, LoadOptions, Support, errors
from deepseek_onnx.frontend import OnnxFrontend, whole_model_stage
from deepseek_onnx.model import load
from deepseek_onnx.skeleton import NotWire, skeleton

WIDTH = 600  # weights of more than a MiB: the file is mapped, not read
X = {"x": np.ones((2, WIDTH), np.float32)}


def read(artifact: Artifact):
    return OnnxFrontend().read(artifact, lambda op: {"cpu": Support.yes()})


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("model.onnx", bytes(2 << 20))
    return made.getvalue()


RANDOM = np.random.default_rng(0)
LARGE = perceptron(WIDTH).SerializeToString()
NO_MODELS = {
    "nothing": b"",
    "100 random bytes": RANDOM.bytes(100),
    "2 MiB of random bytes": RANDOM.bytes(2 << 20),
    "zeros": bytes(2 << 20),
    "ones": b"\xff" * (2 << 20),
    "text": b"to be or not to be, that is the question\n" * (1 << 16),
    "a zip archive": archive(),
    "a graph said to be of 2^63 bytes": field(7, b"")[:1] + b"\xff" * 8 + b"\x7f" + bytes(2 << 20),
    "the first half": LARGE[: len(LARGE) // 2],
    "all but the last byte": LARGE[:-1],
    "all but the last 40 bytes": LARGE[:-40],
    "Ifs nested 60 deep": nested_ifs(60, bytes(16)),
    "Ifs nested 2000 deep": nested_ifs(2000, field(2, b"x" * (2 << 20))),
}


@pytest.mark.parametrize("content", NO_MODELS.values(), ids=NO_MODELS)
@pytest.mark.parametrize("as_file", [True, False], ids=["file", "bytes"])
def test_what_is_no_model_is_refused(tmp_path, content, as_file):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    artifact = Artifact.from_path(path) if as_file else Artifact.from_bytes(content, format="onnx")
    with pytest.raises(errors.ArtifactError, match="not a complete ONNX model"):
        read(artifact)


def test_zeros_are_not_walked_through(tmp_path):
    path = tmp_path / "zeros.onnx"
    path.touch()
    os.truncate(path, 64 << 20)  # takes no space on the disk
    start_s = time.thread_time()
    with pytest.raises(errors.ArtifactError, match="not a complete ONNX model"):
        read(Artifact.from_path(path))
    assert time.thread_time() - start_s < 1  # byte by byte it takes eight


def test_a_file_larger_than_memory_is_not_read(tmp_path):
    path = tmp_path / "huge.onnx"
    path.write_bytes(field(7, b"")[:1] + b"\xff" * 7 + b"\x01")
    os.truncate(path, 1 << 40)
    with pytest.raises(errors.ArtifactError, match=r"huge\.onnx is not a complete ONNX model"):
        read(Artifact.from_path(path))


def test_a_folder_is_refused_also_one_that_was_a_file(tmp_path):
    with pytest.raises(errors.ArtifactError, match="folder"):
        Artifact.from_path(tmp_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(LARGE)
    artifact = Artifact.from_path(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.ArtifactError, match="directory"):
        read(artifact)


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.onnx"))
    path.write_bytes(LARGE)
    with pytest.raises(errors.ArtifactError, match="rename it"):
        read(Artifact.from_path(path))


@pytest.mark.parametrize(
    "tail",
    [
        field(100, b"hello"),
        b"\xa5\x06abcd\xa1\x06abcdefgh\xa0\x06\x01",
        b"\xa3\x06\x08\x01\xa4\x06",
    ],
    ids=["bytes", "numbers", "a group"],
)
def test_fields_that_nobody_knows_are_passed_over(cpu, tmp_path, tail):
    path = tmp_path / "model.onnx"
    path.write_bytes(LARGE + tail)
    assert len(check(cpu, path, X, "Relu").stages) == 2


def test_large_tensors_are_not_read(tmp_path):
    path = tmp_path / "large.onnx"
    path.write_bytes(perceptron(1600).SerializeToString())  # 10 MB
    tracemalloc.start()
    try:
        model = load(Artifact.from_path(path))
        stage = whole_model_stage(Artifact.from_path(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert model.proto.ByteSize() < 1 << 10
    assert stage.artifact.original.path == path


def test_a_skeleton_tells_where_the_data_lies():
    made = onnx.load_model_from_string(skeleton(memoryview(LARGE), "here.onnx"))
    (weights,) = made.graph.initializer
    place = {entry.key: entry.value for entry in weights.external_data}
    start, length = int(place["offset"]), int(place["length"])
    assert place["location"] == "here.onnx"
    original = onnx.load_model_from_string(LARGE).graph.initializer[0]
    assert LARGE[start : start + length] == original.raw_data


@pytest.mark.parametrize("end", [1, 5, len(LARGE) // 2, len(LARGE) - 1])
def test_a_skeleton_of_a_cut_message_is_refused(end):
    with pytest.raises(NotWire):
        skeleton(memoryview(LARGE)[:end], "here.onnx")


def test_a_tensor_whose_data_is_not_in_one_piece_is_kept():
    numbers = np.arange(4000, dtype=np.float32)
    halves = field(4, numbers[:2000].tobytes()) + field(4, numbers[2000:].tobytes())
    content = field(7, field(5, b"\x08\xa0\x1f\x10\x01" + field(8, b"w") + halves))
    kept = onnx.load_model_from_string(skeleton(memoryview(content), "here.onnx"))
    assert list(kept.graph.initializer[0].float_data) == numbers.tolist()


BIG = RANDOM.standard_normal(300_000).astype(np.float32)


def in_a_constant():
    nodes = [helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(BIG))]
    return nodes, ["x", "c"], {}


def in_a_list_of_floats():
    return [helper.make_node("Constant", [], ["c"], value_floats=BIG.tolist())], ["x", "c"], {}


def in_a_branch():
    def branch(op):
        held = onnx.numpy_helper.from_array(BIG, "held")
        node = helper.make_node(op, ["x", "held"], ["out"])
        return helper.make_graph([node], op, [], [tensor("out", None)], [held])

    node = helper.make_node(
        "If", ["flag"], ["c"], then_branch=branch("Add"), else_branch=branch("Mul")
    )
    flag = onnx.numpy_helper.from_array(np.array(True), "flag")
    return [node], ["x", "c"], {"initializer": [flag]}


def in_a_function():
    value = onnx.numpy_helper.from_array(BIG)
    body = [
        helper.make_node("Constant", [], ["held"], value=value),
        helper.make_node("Add", ["a", "held"], ["b"]),
    ]
    function = helper.make_function("my", "Held", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    return [helper.make_node("Held", ["x"], ["c"], domain="my")], ["x", "c"], {"function": function}


def in_a_sparse_tensor():
    values = onnx.numpy_helper.from_array(BIG, "c")
    places = onnx.numpy_helper.from_array(np.arange(BIG.size), "places")
    return [], ["x", "c"], {"sparse": helper.make_sparse_tensor(values, places, [BIG.size])}


def in_a_default():
    given = {"initializer": [onnx.numpy_helper.from_array(BIG, "c")], "input": tensor("c", ["n"])}
    return [], ["x", "c"], given


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "bytes"])
@pytest.mark.parametrize(
    "made",
    [
        in_a_constant, in_a_list_of_floats, in_a_branch, in_a_function, in_a_sparse_tensor,
        in_a_default,
    ],
)  # fmt: skip
def test_large_data_counts_wherever_it_is(cpu, tmp_path, made, as_file):
    nodes, operands, more = made()
    nodes += [helper.make_node("Add", operands, ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    functions = [more["function"]] if "function" in more else []
    domains = ["my"] if functions else []
    model = make_model(
        nodes, [tensor("x", ["n"])], [tensor("y", ["n"])], functions=functions, domains=domains
    )
    model.graph.initializer.extend(more.get("initializer", []))
    model.graph.sparse_initializer.extend([more["sparse"]] if "sparse" in more else [])
    model.graph.input.extend([more["input"]] if "input" in more else [])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert len(check(cpu, path if as_file else model, {"x": BIG}, "Relu").stages) >= 2


def test_types_are_asked_of_the_runtime_also_for_large_bytes(cpu):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Gelu", ["a"], ["h"], domain="com.microsoft"),
        helper.make_node("Neg", ["h"], ["y"]),
    ]
    weights = {"w": RANDOM.standard_normal((WIDTH, WIDTH)).astype(np.float32)}
    inputs = [tensor("x", ["n", WIDTH], TensorProto.FLOAT)]
    model = make_model(nodes, inputs, ["y"], weights, domains=["com.microsoft"])
    graph = check(cpu, model, X, "Neg")
    assert graph.stages[-1].inputs[0].dtype == "float32"


def test_the_working_folder_may_change_after_a_model_was_read(cpu, tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(LARGE)
    monkeypatch.chdir(tmp_path)
    stage = whole_model_stage(as_artifact(Path("model.onnx")))
    graph = cut(cpu, Path("model.onnx"), "Relu")
    monkeypatch.chdir("/")
    assert cpu.supports_stage(stage, LatencyClass.OFFLINE)
    assert all(cpu.load(part, LoadOptions()) for part in graph.stages)
