"""Loaded stages: right on any input, quick to run, clear when an input does not fit."""

import threading

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_models import as_stage, make_model, one_node, perceptron, tensor

from deepseek_core import HostTensor, LoadOptions, errors


@pytest.fixture
def doubled(cpu):
    """y = x + x, for x[n, 4]."""
    node = helper.make_node("Add", ["x", "x"], ["y"])
    return cpu.load(as_stage(make_model([node], [tensor("x", ["n", 4])], ["y"])), LoadOptions())


def test_a_run_equals_the_raw_session(cpu):
    model = perceptron(32, 3)
    x = np.random.default_rng(1).standard_normal((5, 32)).astype(np.float32)
    raw = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ours = cpu.load(as_stage(model), LoadOptions()).run({"x": x})
    assert list(ours) == ["y"]
    np.testing.assert_array_equal(ours["y"], raw.run(None, {"x": x})[0])


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        np.asfortranarray,
        lambda a: a[:0],
        lambda a: np.broadcast_to(a[0], a.shape),
        lambda a: a.astype(">f4"),
    ],
    ids=["strided", "reversed", "fortran", "empty", "broadcast", "big-endian"],
)
def test_any_memory_layout_is_right(doubled, view):
    x = view(np.arange(24, dtype=np.float32).reshape(6, 4))
    np.testing.assert_array_equal(doubled.run({"x": x})["y"], x + x)


def test_a_zero_dimensional_input_may_be_an_array_or_a_numpy_scalar(cpu):
    loaded = cpu.load(as_stage(one_node("Neg", [tensor("x", [])])), LoadOptions())
    for x in (np.array(2, np.float32), np.float32(2)):
        y = loaded.run({"x": x})["y"]
        assert y.shape == ()
        assert y == -2


def test_a_host_tensor_is_taken(doubled):
    x = np.ones((2, 4), np.float32)
    held = HostTensor(data=x.tobytes(), dtype="float32", shape=(2, 4))
    np.testing.assert_array_equal(doubled.run({"x": held})["y"], x + x)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, ["'x'", "missing", "float32 [n, 4]"]),
        ({"x": np.ones((2, 3), np.float32)}, ["'x'", "float32 [n, 4]", "float32 [2, 3]"]),
        ({"x": np.ones((2, 4))}, ["'x'", "float32 [n, 4]", "float64 [2, 4]"]),
        ({"x": np.ones(4, np.float32)}, ["'x'", "float32 [n, 4]", "float32 [4]"]),
        ({"x": None}, ["'x'", "NoneType"]),
        (
            {"x": np.ones((2, 4), np.float32), "z": np.ones(1)},
            ["no input 'z'", "x: float32 [n, 4]"],
        ),
    ],
    ids=["missing", "shape", "dtype", "rank", "none", "unknown"],
)
def test_an_input_that_does_not_fit_is_named(doubled, inputs, words, capfd):
    with pytest.raises(errors.TensorMismatch) as caught:
        doubled.run(inputs)
    for word in words:
        assert word in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_an_operator_that_fails_tells_its_own_words(cpu):
    inputs = [tensor("x", ["n"]), tensor("i", [1], TensorProto.INT64)]
    loaded = cpu.load(as_stage(one_node("Gather", inputs)), LoadOptions())
    with pytest.raises(errors.DeviceError, match="out of data bounds") as caught:
        loaded.run({"x": np.ones(3, np.float32), "i": np.array([7])})
    assert caught.value.device_id == "onnx:cpu"


@pytest.mark.parametrize(
    ("element", "dtype"),
    [
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
        (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn),
        (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2),
        (TensorProto.INT4, ml_dtypes.int4),
        (TensorProto.UINT4, ml_dtypes.uint4),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_dtypes_that_numpy_lacks_go_in_and_out(cpu, element, dtype):
    values = np.array([1, 2, 3, 4, 7], np.float32)
    widen = one_node("Cast", [tensor("x", ["n"], element)], opset=21, to=TensorProto.FLOAT)
    narrow = one_node("Cast", [tensor("x", ["n"])], opset=21, to=element)
    out = cpu.load(as_stage(widen), LoadOptions()).run({"x": values.astype(dtype)})["y"]
    np.testing.assert_array_equal(out, values.astype(dtype).astype(np.float32))
    back = cpu.load(as_stage(narrow), LoadOptions()).run({"x": values})["y"]
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.astype(np.float32), values.astype(dtype).astype(np.float32))


def test_a_wrong_dtype_beside_bfloat16_is_named(cpu):
    model = one_node("Cast", [tensor("x", ["n"], TensorProto.BFLOAT16)], to=TensorProto.FLOAT)
    loaded = cpu.load(as_stage(model), LoadOptions())
    with pytest.raises(errors.TensorMismatch, match="expected bfloat16"):
        loaded.run({"x": np.ones(3, np.float32)})


def gallery_model():
    """y[n, rows] = x . gallery^T - |gallery|^2, with scale and k as small constants."""
    nodes = [
        helper.make_node("Mul", ["gallery", "gallery"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axis"], ["norms"], keepdims=0),
        helper.make_node("Transpose", ["gallery"], ["columns"]),
        helper.make_node("MatMul", ["x", "columns"], ["dots"]),
        helper.make_node("Sub", ["dots", "norms"], ["scores"]),
        helper.make_node("TopK", ["scores", "k"], ["values", "indices"]),
    ]
    inputs = [
        tensor("x", ["n", 128]),
        tensor("gallery", ["rows", 128]),
        tensor("k", [1], TensorProto.INT64),
    ]
    return make_model(nodes, inputs, ["values", "indices"], {"axis": np.array([1])})


@pytest.mark.parametrize("rows", [10, 120_000], ids=["inline", "60 MB beside the model"])
def test_constants_become_initializers_whatever_their_size(cpu, rows):
    rng = np.random.default_rng(2)
    gallery = rng.standard_normal((rows, 128)).astype(np.float32)
    x = gallery[:3] + 0.01
    stage = as_stage(gallery_model()).bind({"gallery": gallery, "k": np.array([2])})
    loaded = cpu.load(stage, LoadOptions())
    assert [spec.name for spec in stage.inputs] == ["x"]
    scores = x @ gallery.T - (gallery * gallery).sum(1)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    np.testing.assert_array_equal(loaded.run({"x": x})["indices"], best)


def test_a_constant_without_an_input_is_refused(cpu):
    import attrs

    stage = attrs.evolve(as_stage(perceptron()), constants={"other": np.ones(1)})
    with pytest.raises(errors.ArtifactError, match="'other'"):
        cpu.load(stage, LoadOptions())


def test_a_bound_call_reads_and_writes_its_arrays(doubled):
    x, y = np.zeros((2, 4), np.float32), np.empty((2, 4), np.float32)
    call = doubled.bind({"x": x}, {"y": y})
    for value in (1, 3):
        x[...] = value
        call()
        np.testing.assert_array_equal(call.outputs["y"], x + x)
    assert call.outputs["y"] is y


def test_outputs_that_are_not_bound_are_left_out(cpu):
    stage = as_stage(gallery_model()).bind({"k": np.array([1])})
    loaded = cpu.load(stage, LoadOptions())
    x, gallery = np.eye(2, 128, dtype=np.float32), np.eye(4, 128, dtype=np.float32)
    indices = np.empty((2, 1), np.int64)
    loaded.bind({"x": x, "gallery": gallery}, {"indices": indices})()
    np.testing.assert_array_equal(indices[:, 0], [0, 1])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones((4, 4), np.float32)[::2], np.ones((2, 4), np.float32), "'x' is not C-cont"),
        (np.ones((2, 4), np.float32), np.ones((4, 2), np.float32).T, "'y' is not C-cont"),
        (np.ones((2, 4), np.float32), np.ones((3, 4), np.float32), "given float32 [3, 4]"),
        (np.ones((2, 4), np.float32), np.ones((2, 4)), "given float64"),
        (
            np.ones((2, 4), np.float32),
            np.frombuffer(bytes(32), np.float32).reshape(2, 4),
            "'y' is read-only",
        ),
    ],
    ids=["strided in", "strided out", "shape", "dtype", "read-only"],
)
def test_arrays_that_cannot_be_bound_are_refused(doubled, x, y, words):
    with pytest.raises(errors.InputError) as caught:
        doubled.bind({"x": x}, {"y": y})
    assert words in str(caught.value)


def test_a_binding_names_what_is_missing_or_unknown(doubled):
    x = np.ones((2, 4), np.float32)
    with pytest.raises(errors.TensorMismatch, match="'x' is missing"):
        doubled.bind({}, {})
    with pytest.raises(errors.TensorMismatch, match="no tensor 'z'"):
        doubled.bind({"x": x}, {"z": x})


def test_eight_threads_run_at_once(doubled):
    found, barrier = [], threading.Barrier(8)

    def work(i):
        barrier.wait()
        for j in range(20):
            x = np.full((3, 4), 100 * i + j, np.float32)
            found.append((x, doubled.run({"x": x})["y"]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    for x, y in found:
        np.testing.assert_array_equal(y, 2 * x)


def test_after_close_everything_says_so(doubled):
    x, y = np.ones((2, 4), np.float32), np.ones((2, 4), np.float32)
    call = doubled.bind({"x": x}, {"y": y})
    doubled.close()
    doubled.close()
    for use in (
        lambda: doubled.run({"x": x}),
        lambda: doubled.bind({"x": x}, {"y": y}),
        call,
    ):
        with pytest.raises(errors.DeviceClosed, match="onnx:cpu"):
            use()


def test_warmup_runs_any_stage(cpu, doubled):
    doubled.warmup(3)
    gather = [tensor("x", ["n"]), tensor("i", [1], TensorProto.INT64)]
    cpu.load(as_stage(one_node("Gather", gather)), LoadOptions()).warmup(0)
