"""Files for ONNX Runtime and for TensorRT say what the fake-quantized module says.

The network and the pictures are those of the example: its trained teacher, 800 test pictures.
ONNX Runtime runs both files: QuantizeLinear and DequantizeLinear mean the same to every runtime.
"""

from pathlib import Path

import pytest

from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.quantize.fake_quantized import learned_spec, plain
from deepseek_compress.samples.arrays import ArraySamples
from deepseek_compress.steps.quantize import Bench, Qat, QatOptions
from deepseek_compress.train.onnx_files import onnx_predictor
from deepseek_compress.train.predictor import torch_predictor
from deepseek_core import compression
from deepseek_core.cli.console import load_entry

EXAMPLE = Path(__file__).parents[3] / "examples" / "compression"
BAR = 0.99
LOWERED = {"ort_x86": lower_ort_x86, "trt": lower_trt}


def told(name, *arguments):
    return load_entry(f"fashion.py:{name}", EXAMPLE, where="the example")(*arguments)


def samples(x, y, count):
    return ArraySamples(inputs={"x": x[:count]}, labels=y[:count])


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The example's teacher and pictures, as a step is told of them."""
    x, y = told("train")
    return compression.StepContext(
        workspace=tmp_path_factory.mktemp("agree"),
        inputs={"x": (1, 1, 28, 28)},
        train=samples(x, y, 512),
        calibration=samples(x, y, 256),
        original=told("trained", str(EXAMPLE / "data" / "teacher.npz")),
    )


@pytest.fixture(scope="module", params=sorted(LOWERED))
def bench(request, context):
    options = QatOptions(target=request.param, batch_size=32, layout="contiguous")
    step = Qat(target=request.param)
    plan = step.plan(context.original, context)
    return Bench.of(step.reshape(context.original, plan), options, context)


def agreements(module, floats, spec):
    """Shares of the test pictures that each file puts where the module puts them."""
    x, _ = told("test")
    wanted = torch_predictor(module)({"x": x}).argmax(1)
    found = {}
    for name, lower in LOWERED.items():
        proto = lower(floats, spec).proto
        predict = onnx_predictor(proto.SerializeToString())
        found[name] = float((predict({"x": x}).argmax(1) == wanted).mean())
    return found


def test_quantized_after_training(bench):
    spec = bench.calibrated(bench.floats, "auto", "minmax").spec
    found = agreements(bench.quantized(spec), bench.floats, spec)
    assert min(found.values()) >= BAR, found


def test_trained_in_integers(bench, tmp_path):
    module = bench.fitted(bench.started()).model
    floats = bench.exported(plain(module))
    rest = bench.calibrated(floats, "mse", "mse").spec
    spec = learned_spec(module, bench.example, floats, rest)
    assert {w.source for w in spec.weights.values()} == {"learned"}
    found = agreements(module, floats, spec)
    assert min(found.values()) >= BAR, found
