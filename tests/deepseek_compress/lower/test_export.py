"""Exports are checked against the module, and refused with the reason."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from small_torch import Residual, drawn
from torch import nn

from deepseek_compress.lower.export import TOLERANCE, export_onnx
from deepseek_compress.modules import call
from deepseek_compress.nesting import leaves
from deepseek_core import errors


def test_an_export_computes_the_same_for_any_batch(tmp_path):
    model = drawn(Residual)
    worst = export_onnx(model, {"x": (1, 1, 8, 8)}, tmp_path / "m.onnx")
    assert 0 <= worst <= TOLERANCE
    session = ort.InferenceSession(tmp_path / "m.onnx")
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


class Bfloats(nn.Module):
    def forward(self, x):
        return (x + 1).bfloat16()


def test_a_file_that_onnx_runtime_does_not_run_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="does not run the exported file") as refused:
        export_onnx(Bfloats(), {"x": (1, 4)}, tmp_path / "m.onnx")
    assert "float32" in refused.value.remedy
    assert list(tmp_path.iterdir()) == []


class LateNan(nn.Module):
    """Its second output is not a number, but while it is exported."""

    def forward(self, x):
        return x + 1, x * (2.0 if torch.compiler.is_exporting() else float("nan"))


def test_no_number_is_a_difference_in_any_output(tmp_path):
    with pytest.raises(errors.InputError, match="differs from the model by inf"):
        export_onnx(LateNan(), {"x": (1, 4)}, tmp_path / "m.onnx")


def test_a_model_in_training_stays_in_training(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).train()
    model[0].eval()
    export_onnx(model, {"input": (1, 4)}, tmp_path / "m.onnx")
    assert [part.training for part in model.modules()] == [True, False, True]


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, words):
        return self.out(self.table(words).mean(1))


class Gap(nn.Module):
    def forward(self, first, unused=None, *, last=None):
        return first - last if unused is None else unused


class Given(nn.Module):
    def forward(self, *inputs):
        return inputs[0] * 2


class Mask(nn.Module):
    def forward(self, x):
        return x.masked_fill(x < 1, float("-inf")), x < 1


class NamedTwice(nn.Module):
    """Outputs with the names of a weight, of what is inside, and of each other."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        inside = nn.functional.linear(x, torch.eye(3))
        parts = {"b": inside + 1}
        return {"scale": x * self.scale, "linear": inside * 2, "a": parts, "a_b": x + 2}


class AttributeDict(dict):
    __getattr__ = dict.__getitem__


class Own(nn.Module):
    def forward(self, x):
        return AttributeDict(logits=x + 1, x=x, twice=x + 1)


CASES = {
    "whole numbers": (Tokens(), {"words": np.array([[1, 8], [0, 3], [4, 4]])}),
    "behind a gap": (Gap(), {"last": np.ones((2, 3), "f"), "first": np.zeros((2, 3), "f")}),
    "any arguments": (Given(), {"input": np.ones((2, 3), "f")}),
    "64 bits": (nn.Linear(3, 2).double(), {"input": np.ones((2, 3), "f")}),
    "a mapping of its own": (Own(), {"x": np.ones((2, 3), "f")}),
    "truth and infinity": (Mask(), {"x": np.arange(6, dtype="f").reshape(2, 3)}),
    "names that are taken": (NamedTwice(), {"x": np.ones((2, 3), "f")}),
}
NAMES = {
    "a mapping of its own": ["logits", "x__output", "twice"],
    "names that are taken": ["scale__output", "linear__output", "a_b", "a_b__output"],
}


@pytest.mark.parametrize("name", CASES)
def test_models_are_called_as_they_want_to_be(tmp_path, name):
    model, given = CASES[name]
    shapes = {key: (1, *array.shape[1:]) for key, array in given.items()}
    export_onnx(model, shapes, tmp_path / "m.onnx", example={k: a[:2] for k, a in given.items()})
    session = ort.InferenceSession(tmp_path / "m.onnx")
    found = session.run(None, {i.name: given[i.name] for i in session.get_inputs()})
    tensors = {key: torch.from_numpy(array) for key, array in given.items()}
    if name == "64 bits":
        tensors = {key: tensor.double() for key, tensor in tensors.items()}
    expected = [tensor.detach().numpy() for _, tensor in leaves(call(model, tensors))]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    if name in NAMES:
        assert [o.name for o in session.get_outputs()] == NAMES[name]
