"""Exports are checked against the module, and refused with the reason."""

import numpy as np
import onnx
import pytest
import torch
from small_torch import Residual, drawn

from deepseek_compress.lower.export import TOLERANCE, export_onnx
from deepseek_core import errors


def test_an_export_computes_the_same_for_any_batch(tmp_path):
    model = drawn(Residual)
    worst = export_onnx(model, {"x": (1, 1, 8, 8)}, tmp_path / "m.onnx")
    assert 0 <= worst <= TOLERANCE
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for count in (1, 5):
        x = np.random.default_rng(0).normal(size=(count, 1, 8, 8)).astype(np.float32)
        with torch.no_grad():
            expected = model(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=1e-4)
    kinds = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert "BatchNormalization" not in kinds


class ByValue(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


def test_control_flow_on_values_is_refused_with_the_reason(tmp_path):
    with pytest.raises(errors.InputError, match="can't export ByValue"):
        export_onnx(ByValue(), {"x": (1, 4)}, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


class Forgetful(torch.nn.Module):
    """Computes something else while it is exported."""

    def forward(self, x):
        return x * (2.0 if torch.compiler.is_exporting() else 1.0)


def test_a_file_that_differs_from_the_module_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="the exported file differs from the model"):
        export_onnx(Forgetful(), {"x": (1, 4)}, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
