"""What OpenVINO is not given: each limit is one, and none is more than it must be.

The provider itself, asked without the limits, gives each wrong answer below. Once a newer one does
not, the test of that limit fails, and the limit can go.
"""

import subprocess
import sys
import textwrap

import attrs
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("deepseek_openvino", reason="make providers")

from deepseek_core import Artifact, LatencyClass, LoadOptions, OpenOptions, errors
from deepseek_onnx.frontend import whole_model_stage
from deepseek_openvino.hooks import provider
from deepseek_openvino.limits import LARGEST_INTEGER

ELEMENT = {
    "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8, "int32": TensorProto.INT32, "int64": TensorProto.INT64,
    "uint64": TensorProto.UINT64, "bool": TensorProto.BOOL,
}  # fmt: skip


def model(op, inputs, output, *, constants=(), opset=18, **attributes):
    """One operator; `inputs` are (name, dtype, shape), `output` is a dtype."""
    names = [*(name for name, _, _ in inputs), *(name for name, _ in constants)]
    node = helper.make_node(op, names, ["y"], **attributes)
    given = [helper.make_tensor_value_info(n, ELEMENT[d], s) for n, d, s in inputs]
    made = [helper.make_tensor_value_info("y", ELEMENT[output], None)]
    stored = [numpy_helper.from_array(value, name) for name, value in constants]
    graph = helper.make_graph([node], op, given, made, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def stage_of(proto: onnx.ModelProto):
    return whole_model_stage(Artifact.from_bytes(proto.SerializeToString(), format="onnx"))


@pytest.fixture
def unlimited(tmp_path):
    """The provider as it is."""
    bare = attrs.evolve(provider(), refusal=None, input_refusal=None)
    device = bare.open("openvino:cpu", OpenOptions(threads=1, cache_dir=tmp_path))
    yield device
    device.close()


def right(proto, inputs):
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)[0]


def pair(op, dtype, a, b, output=None):
    """An operator of two vectors, and values for it."""
    inputs = [("a", dtype, ["n"]), ("b", dtype, ["n"])]
    return model(op, inputs, output or dtype), {"a": np.array(a, dtype), "b": np.array(b, dtype)}


TIES = np.ones(4, np.float32)
PICTURE = np.arange(35, dtype=np.float32).reshape(1, 1, 5, 7)
REFUSED = {
    "float64": pair("Add", "float64", [1 / 3], [1e-10]),
    "narrow sums": pair("Add", "int8", [127], [1]),
    "narrow quotients": pair("Div", "uint8", [255], [2]),
    "uint64": pair("Max", "uint64", [2**63], [1]),
    "ties of TopK": (
        model("TopK", [("x", "float32", ["n"])], "float32", constants=[("k", np.array([3]))]),
        {"x": TIES},
    ),
    "repeats of Tile": (
        model("Tile", [("x", "float32", list("abcd")), ("r", "int64", [4])], "float32"),
        {"x": np.ones((2, 3, 4, 5), np.float32), "r": np.array([7, 6, 4, 2])},
    ),
    "old Softmax": (
        model("Softmax", [("x", "float32", ["n", 2, 3])], "float32", opset=11, axis=1),
        {"x": np.arange(6, dtype=np.float32).reshape(1, 2, 3)},
    ),
    "Resize with antialias": (
        model(
            "Resize", [("x", "float32", [1, 1, 5, 7])], "float32", mode="linear", antialias=1,
            constants=[
                ("roi", np.zeros(0, np.float32)), ("scales", np.array([1, 1, 0.6, 0.6], np.float32))
            ],
        ),
        {"x": PICTURE},
    ),
    "windows of padding": (  # openvino#20879 and #18731
        model(
            "MaxPool", [("x", "float32", [1, 1, 5, 5])], "float32", ceil_mode=1,
            kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1],
        ),
        {"x": PICTURE[..., :5]},
    ),
    "windows with gaps": (
        model(
            "MaxPool", [("x", "float32", [1, 1, 5, 5])], "float32", ceil_mode=1,
            kernel_shape=[1, 1], strides=[3, 3],
        ),
        {"x": PICTURE[..., :5]},
    ),
    "coupled gates": (
        model(
            "LSTM", [("x", "float32", [2, 1, 1])], "float32", hidden_size=1, input_forget=1,
            constants=[(n, np.ones((1, 4, 1), np.float32)) for n in "wr"],
        ),
        {"x": np.ones((2, 1, 1), np.float32)},
    ),
    "a short vector's length": (
        model("LpNormalization", [("x", "float32", [1, 2])], "float32", axis=-1),
        {"x": np.array([[3e-5, 4e-5]], np.float32)},
    ),
    "Einsum of scalars": (
        model("Einsum", [("a", "float32", [])], "float32", equation="->"),
        {"a": np.array(5, np.float32)},
    ),
}  # fmt: skip
BOUNDS = {
    "wide integers": (
        model("Identity", [("x", "int64", ["n"])], "int64"), {"x": np.array([2**40, 1])}
    ),
    "integers compared": pair("Equal", "int32", [2**31 - 1], [2**31 - 2], "bool"),
    "NaN": (
        model("Relu", [("x", "float32", ["n"])], "float32"), {"x": np.array([np.nan], np.float32)}
    ),
}  # fmt: skip


def outputs_of(proto):
    """Indices too, where the operator has them."""
    if proto.graph.node[0].op_type == "TopK":
        proto.graph.node[0].output.append("i")
        proto.graph.output.insert(0, helper.make_tensor_value_info("i", TensorProto.INT64, None))
    return proto


@pytest.mark.parametrize("name", [*REFUSED, *BOUNDS])
def test_without_the_limit_the_answer_is_wrong(name, unlimited):
    proto, inputs = {**REFUSED, **BOUNDS}[name]
    proto = outputs_of(onnx.ModelProto.FromString(proto.SerializeToString()))
    stage = stage_of(proto)
    found = unlimited.load(stage, LoadOptions()).run(inputs)[proto.graph.output[0].name]
    assert not np.array_equal(right(proto, inputs), found, equal_nan=found.dtype.kind == "f")


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_wrong_is_refused_in_words(name, openvino):
    stage = stage_of(REFUSED[name][0])
    support = openvino.supports_stage(stage, LatencyClass.OFFLINE)
    assert not support
    assert stage.operations[0].name in support.reason
    with pytest.raises(errors.Unsupported, match="does not run stage"):
        openvino.load(stage, LoadOptions())


@pytest.mark.parametrize("name", BOUNDS)
def test_a_run_that_would_be_wrong_is_refused_and_the_next_one_is_right(name, openvino):
    proto, inputs = BOUNDS[name]
    loaded = openvino.load(stage_of(proto), LoadOptions())
    with pytest.raises(errors.Unsupported, match=r"does not run stage .* on these inputs: "):
        loaded.run(inputs)
    plain = {n: np.ones_like(a) for n, a in inputs.items()}
    assert np.array_equal(loaded.run(plain)["y"], right(proto, plain))


def test_windows_that_touch_the_picture_are_counted_by_ceil_mode(openvino):
    """As SqueezeNet and GoogLeNet have them."""
    pool = model(
        "MaxPool", [("x", "float32", [1, 1, 5, 7])], "float32", ceil_mode=1, kernel_shape=[3, 3],
        strides=[2, 2],
    )  # fmt: skip
    found = openvino.load(stage_of(pool), LoadOptions()).run({"x": PICTURE})["y"]
    assert np.array_equal(found, right(pool, {"x": PICTURE}))


def test_bound_calls_have_the_same_limits(openvino):
    proto, inputs = BOUNDS["NaN"]
    x, y = np.ones(1, np.float32), np.zeros(1, np.float32)
    call = openvino.load(stage_of(proto), LoadOptions()).bind({"x": x}, {"y": y})
    call()
    assert y[0] == 1
    x[...] = inputs["x"]
    with pytest.raises(errors.Unsupported, match="NaN"):
        call()


def test_the_largest_integer_is_kept(openvino):
    proto, _ = pair("Equal", "int64", [0], [0], "bool")
    a = np.array([LARGEST_INTEGER, -LARGEST_INTEGER])
    inputs = {"a": a, "b": a - np.sign(a)}
    loaded = openvino.load(stage_of(proto), LoadOptions())
    assert not loaded.run(inputs)["y"].any()


CRASHES = {
    "strings": """
        node = helper.make_node("Identity", ["x"], ["y"])
        x, y = (helper.make_tensor_value_info(n, TensorProto.STRING, ["n"]) for n in "xy")
        given, inputs = [x], {"x": np.array(["a" * 300, "b" * 300], object)}
        """,
    "GatherND of unknown rank": """
        node = helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=1)
        x, y = (helper.make_tensor_value_info(n, TensorProto.INT32, None) for n in "xy")
        given, inputs = [x, helper.make_tensor_value_info("i", TensorProto.INT64, None)], {}
        """,
}


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("name", CRASHES)
def test_what_ends_the_process_is_refused(name, limited, tmp_path):
    evolve = "" if limited else "p = attrs.evolve(p, refusal=None, input_refusal=None)"
    code = f"""
import attrs, numpy as np, sys
from pathlib import Path
from onnx import TensorProto, helper
from deepseek_core import Artifact, LoadOptions, OpenOptions, errors
from deepseek_onnx.frontend import whole_model_stage
from deepseek_openvino.hooks import provider
{textwrap.dedent(CRASHES[name])}
graph = helper.make_graph([node], "g", given, [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
p = provider()
{evolve}
device = p.open("openvino:cpu", OpenOptions(threads=1, cache_dir=Path({str(tmp_path)!r})))
stage = whole_model_stage(Artifact.from_bytes(model.SerializeToString(), format="onnx"))
try:
    loaded = device.load(stage, LoadOptions())
    for _ in range(20):
        loaded.run(inputs)
except errors.Unsupported:
    sys.exit(7)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=120, check=False
    )
    assert (done.returncode == 7) is limited, done.stderr.decode()
    assert limited or done.returncode < 0, "it crashes no more: the limit can go"
