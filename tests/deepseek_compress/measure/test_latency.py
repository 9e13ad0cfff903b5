"""Files are measured side by side on a device, through the scheduler."""

import numpy as np
import onnx
import pytest
from onnx import parser

from deepseek_compress.measure.latency import measure_latency
from deepseek_core import compression, errors

SMALL = """
    <ir_version: 9, opset_import: ["" : 18]>
    layer (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }
"""


@pytest.fixture
def model(tmp_path, own_cache):
    path = tmp_path / "small.onnx"
    onnx.save(parser.parse_model(SMALL), path)
    return path


def quiet(_done, _of, _text):
    pass


def test_each_file_has_its_quantiles(model):
    budget = compression.LatencyBudget(device="cpu", seconds=1.0, batch=2)
    inputs = {"x": np.ones((2, 4), np.float32)}
    found = measure_latency({"a": model, "b": model}, budget, inputs, quiet)
    assert set(found) == {"a", "b"}
    for latency in found.values():
        median, p95, p99 = (latency.quantiles_s[share] for share in (0.5, 0.95, 0.99))
        assert 0 < median <= p95 <= p99
        assert latency.device == "onnx:cpu"
        assert latency.evidence
        assert latency.runs >= 100


def test_a_device_that_is_not_there_is_told(model):
    budget = compression.LatencyBudget(device="gpu", seconds=1.0)
    with pytest.raises(errors.DeepSeekError):
        measure_latency({"a": model}, budget, {"x": np.ones((1, 4), np.float32)}, quiet)
