"""Files of public reports, lowered for both targets, say what the float model says.

Each case names its report: the repository and the number of the issue or pull request.
"""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare, open_session
from deepseek_compress.quantize.calibrating import calibrate
from deepseek_compress.train.onnx_files import onnx_predictor

HEAD = '<ir_version: 9, opset_import: ["" : 17]> reported '
DRAW = np.random.default_rng(0)


def weight(*shape):
    return (DRAW.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)


def floats(*values):
    return np.array(values, np.float32)


def model(text, **constants):
    made = parser.parse_model(HEAD + text)
    for name, values in constants.items():
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    onnx.checker.check_model(made)
    return made


W, V = weight(3, 3, 3, 3), weight(3, 3, 3, 3)
TINY = floats(1e-8, 1, 1).reshape(3, 1, 1, 1)
CASES = {
    # onnxruntime 19694: scales of a transposed convolution lie along another axis
    "ConvTranspose": model(
        "(float[N,3,8,8] x) => (float[N,8,8,8] y) { y = ConvTranspose<pads=[1,1,1,1]>(x, w, b) }",
        w=weight(3, 8, 3, 3), b=weight(8),
    ),
    # onnxruntime 24705: a copy of the shared bias b got the name of the tensor b0
    "a name that a copy would get": model(
        "(float[N,3,8,8] x) => (float[N,3,4,4] y) { b0 = Conv(x, w, b) y = Conv(b0, v, b) }",
        w=W, v=V, b=floats(0.1, 0.2, 0.3),
    ),
    # the same kind, with the names that our own lowering would like to give
    "names of what is added": model(
        "(float[N,3,8,8] x) => (float[N,3,2,2] y)"
        "{ h = Conv(x, x__scale) h__float = Relu(h)"
        " h__integer = Conv(h__float, h__scale) y = Conv(h__integer, w__integer) }",
        x__scale=W, h__scale=V, w__integer=weight(3, 3, 3, 3),
    ),
    "a weight called as another's integers": model(
        "(float[N,3,8,8] x) => (float[N,3,4,4] y) { h = Conv(x, w) y = Conv(h, w__integer) }",
        w=W, w__integer=V,
    ),
    # onnxruntime 22020: a large bias beside tiny weights leaves int32
    "a bias that leaves int32": model(
        "(float[N,3,8,8] x) => (float[N,3,4,4] y) { h = Conv(x, w, b) y = Conv(h, v) }",
        w=W * TINY, v=V, b=floats(5, -4.5, 0.1),
    ),
    # onnxruntime 9425, 11660: a Relu was dropped whose work nothing did
    "a Relu beside another reader": model(
        "(float[N,3,8,8] x) => (float[N,3,4,4] y, float[N,3,6,6] z)"
        "{ h = Conv(x, w) a = Relu(h) z = Sigmoid(h) y = Conv(a, v) }",
        w=W, v=V,
    ),
    # onnxruntime 5586: a Clip without bounds, or with one
    "Clip without bounds": model(
        "(float[N,3,8,8] x) => (float[N,3,4,4] y) { h = Conv(x, w) a = Clip(h) y = Conv(a, v) }",
        w=W, v=V,
    ),
    "Clip that leaves out 0": model(
        "(float[N,3,8,8] x) => (float[N,3,4,4] y)"
        "{ h = Conv(x, w) a = Clip(h, low, high) y = Conv(a, v) }",
        w=W, v=V, low=np.float32(1), high=np.float32(6),
    ),
    # onnxruntime-inference-examples 84: a concatenation of one
    "Concat of one": model(
        "(float[N,3,8,8] x) => (float[N,3,4,4] y)"
        "{ h = Conv(x, w) c = Concat<axis=1>(h) y = Conv(c, v) }",
        w=W, v=V,
    ),
    # onnxruntime-qnn 739: one bias, added to products of several scales
    "one bias in three scales": model(
        "(float[N,3,8,8] x) => (float[N,3,6,6] y)"
        "{ p = Mul(x, large) q = Mul(x, small) a = Conv(x, w, b) c = Conv(p, w, b)"
        " d = Conv(q, w, b) e = Add(a, c) y = Add(e, d) }",
        w=W, b=floats(0.3, -0.2, 0.1), large=np.float32(30), small=np.float32(0.03),
    ),
    # Model-Optimizer 19: attention, whose input is read by three products and a sum
    "attention": model(
        "(float[N,6,8] x) => (float[N,6,8] y)"
        "{ q = MatMul(x, a) k = MatMul(x, b) v = MatMul(x, c) t = Transpose<perm=[0,2,1]>(k)"
        " s = MatMul(q, t) p = Softmax<axis=-1>(s) o = MatMul(p, v) y = Add(o, x) }",
        a=weight(8, 8), b=weight(8, 8), c=weight(8, 8),
    ),
    # nncf 1936: a bias that is found behind an Identity
    "a bias behind an Identity": model(
        "(float[N,3,8,8] x) => (float[N,3,6,6] y)"
        "{ b = Identity(c) h = Conv(x, w, b) y = Relu(h) }",
        w=W, c=floats(0.1, 0.2, 0.3),
    ),
    # neural-compressor 1506: a tensor that is a constant and an output
    "a constant that is an output": model(
        "(float[N,3,8,8] x) => (float[N,3,6,6] y, float[3,3,3,3] w) { y = Conv(x, w) }", w=W
    ),
}  # fmt: skip


def samples(proto):
    shape = [dim.dim_value or 64 for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


@pytest.mark.parametrize("lower", [lower_ort_x86, lower_trt], ids=["ort_x86", "trt"])
@pytest.mark.parametrize("name", CASES)
def test_a_reported_file_is_lowered(name, lower):
    read, x = read_float_model(CASES[name]), samples(CASES[name])
    made = lower(read, calibrate(read, x).spec).proto
    onnx.checker.check_model(made, full_check=True)
    assert [o.name for o in made.graph.output] == [o.name for o in CASES[name].graph.output]
    assert compare(CASES[name], made, x).relative_error < 0.05


def test_a_file_for_tensorrt_runs_as_it_is_written():
    """ONNX Runtime would make its biases int32, in coarse steps where inputs are large."""
    read = read_float_model(CASES["a bias that leaves int32"])
    coarse = {"x": samples(read.proto)["x"] * 1e4}
    made = lower_trt(read, calibrate(read, coarse).spec).proto
    as_written = onnx_predictor(made.SerializeToString())({"x": coarse["x"]})
    del made.metadata_props[:]
    changed = onnx_predictor(made.SerializeToString())({"x": coarse["x"]})
    reference = open_session(made, level="NONE").run(None, coarse)[0]
    off = [np.abs(found - reference).max() for found in (as_written, changed)]
    assert off[0] < 0.1 * off[1]
