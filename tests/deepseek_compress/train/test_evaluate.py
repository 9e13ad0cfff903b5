"""Accuracy and metrics of modules and of ONNX files, with intervals; what can't be judged."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from train_kit import EXPECTED, data, net, stripes, trained

from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.labels import OneClass
from deepseek_compress.samples.names import Expected
from deepseek_compress.train.evaluate import accuracy, difference
from deepseek_compress.train.onnx_files import onnx_predictor
from deepseek_compress.train.own_metric import measure
from deepseek_compress.train.predictor import torch_predictor
from deepseek_core import errors


def linear(batch="N", outputs=1, elem=TensorProto.FLOAT):
    """A linear classifier of the pictures, as a module and as an ONNX file."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    dtype = helper.tensor_dtype_to_np_dtype(elem)
    weight, bias = (p.detach().numpy().astype(dtype) for p in module[1].parameters())
    names = ["y", "z"][:outputs]
    nodes = [helper.make_node("Flatten", ["x"], ["flat"])]
    nodes += [helper.make_node("Gemm", ["flat", "w", "b"], [name], transB=1) for name in names]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", elem, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info(name, elem, [batch, 4]) for name in names],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    opset = [helper.make_opsetid("", 17)]
    return module, helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


@pytest.mark.parametrize("batch", ["N", 1, 32, 100])
def test_a_file_is_as_accurate_as_its_module(batch, tmp_path):
    module, content = linear(batch)
    (tmp_path / "model.onnx").write_bytes(content)
    samples = data(130)
    expected = accuracy(torch_predictor(module), samples)
    for given in (content, tmp_path / "model.onnx"):
        found = accuracy(onnx_predictor(given), samples)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert found.score == expected.score
        assert found.score.count == 130
        assert found.score.low < found.score.value < found.score.high


def test_a_file_of_half_precision_and_one_of_two_outputs():
    samples = data(130)
    module, content = linear(elem=TensorProto.FLOAT16)
    expected = accuracy(torch_predictor(module), samples).score.value
    assert accuracy(onnx_predictor(content), samples).score.value == pytest.approx(
        expected, abs=0.02
    )
    _, content = linear(outputs=2)
    with pytest.raises(errors.InputError, match="which of them scores"):
        accuracy(onnx_predictor(content), samples)
    found = measure(
        onnx_predictor(content), samples, lambda y, labels: (y["z"].argmax(1) == labels).mean()
    )
    assert found.score.value == expected


def test_files_that_are_none(tmp_path):
    _, content = linear()
    for given in (content[:50], b"", tmp_path / "none.onnx"):
        with pytest.raises(errors.ArtifactError) as caught:
            onnx_predictor(given)
        assert caught.value.remedy
    two = Expected(inputs={"left": (1, 64), "right": (1, 64)})
    x = np.ones((4, 64), np.float32)
    samples = as_samples(({"left": x, "right": x}, np.zeros(4, int)), two)
    with pytest.raises(errors.InputError, match="the model has inputs x, the data left, right"):
        accuracy(onnx_predictor(content), samples)
    pixels = as_samples((np.ones((4, 1, 8, 8), np.uint8), np.zeros(4, int)), EXPECTED)
    with pytest.raises(errors.InputError, match="can't take x uint8"):
        accuracy(onnx_predictor(content), pixels)
    onnx.checker.check_model(content)


def test_a_module_keeps_the_modes_of_its_parts():
    model = nn.Sequential(net(), nn.Dropout(0.9)).train()
    model[0][1].eval()
    before = [part.training for part in model.modules()]
    predict = torch_predictor(model)
    one, other = (accuracy(predict, data(64)).scores for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert [part.training for part in model.modules()] == before


def test_labels_that_can_not_be_judged():
    x, y = stripes(64)
    predict = torch_predictor(net())
    for labels in (y + 1, np.eye(4)[y], y.astype(float), None):
        with pytest.raises(errors.InputError) as caught:
            accuracy(predict, as_samples((x, labels), EXPECTED))
        assert caught.value.remedy
    scalar = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with pytest.raises(errors.InputError, match="accuracy wants") as caught:
        accuracy(torch_predictor(scalar), data(64))
    assert "data.metric" in caught.value.remedy


def test_classes_that_are_missing_are_told_and_one_class_is_warned_of():
    x, y = stripes(64)
    found = accuracy(torch_predictor(net()), as_samples((x[y != 2], y[y != 2]), EXPECTED))
    assert found.notes == ("1 of 4 classes have no test sample: [2]",)
    with pytest.warns(OneClass):
        accuracy(torch_predictor(net()), as_samples((x[y == 1], y[y == 1]), EXPECTED))


def test_scores_that_are_no_numbers_are_wrong_answers():
    class Broken(nn.Module):
        def forward(self, x):
            y = torch.zeros(len(x), 4)
            y[:, 0] = 1.0
            y[:8] = float("nan")
            return y

    x, _ = stripes(64)
    samples = as_samples((x, np.arange(64) // 60), EXPECTED)
    found = accuracy(torch_predictor(Broken()), samples, batch_size=64)
    assert found.score.value == 52 / 64
    assert "NaN or infinity for 8 samples" in found.notes[-1]


def test_positions_count_within_their_sample():
    class Everywhere(nn.Module):
        def forward(self, x):
            return torch.cat([x, -x], 1)

    x, _ = stripes(40)
    samples = as_samples((x, (x[:, 0] < 0.5).astype(int)), EXPECTED)
    found = accuracy(torch_predictor(Everywhere()), samples)
    assert found.score.count == 40
    assert found.score.value == pytest.approx(((x < 0.5) == (x < 0)).mean())
    assert found.score.low > 0.5


def test_metrics_of_the_users():
    model = trained().model
    samples = data(200, 1)
    plain = accuracy(torch_predictor(model), samples)
    each = measure(torch_predictor(model), samples, lambda y, t: y.argmax(1) == t)
    whole = measure(torch_predictor(model), samples, lambda y, t: float((y.argmax(1) == t).mean()))
    for found in (each, whole):
        assert found.score.value == pytest.approx(plain.score.value)
        assert found.score.low == pytest.approx(plain.score.low, abs=0.02)
    assert whole.scores is None
    np.testing.assert_array_equal(each.scores, plain.scores)
    assert each.metric == "<lambda>"
    for metric, said in (
        (lambda y, t: y, r"shape \[200, 4\]"),
        (lambda y, t: 1 / 0, "ZeroDivision"),
    ):
        with pytest.raises(errors.InputError, match=said):
            measure(torch_predictor(model), samples, metric)


def test_differences_on_the_same_samples():
    good, poor = (trained(options=None, model=net(width)).model for width in (8, 2))
    samples = data(300, 1)
    first, second = (accuracy(torch_predictor(model), samples) for model in (good, poor))
    found = difference(first, second)
    assert found.interval.value == pytest.approx(second.score.value - first.score.value)
    assert found.interval.high < 0
    assert found.p < 0.01
    other = accuracy(torch_predictor(poor), data(200, 1))
    whole = measure(torch_predictor(poor), samples, lambda y, t: 1.0)
    for wrong in (other, whole):
        with pytest.raises(errors.InputError, match="same samples"):
            difference(first, wrong)


@pytest.mark.parametrize("positions", [False, True])
def test_labels_of_another_shape_than_the_answers_are_not_stretched(positions):
    """32 samples with answers at 32 places: one label for each would fit the wrong axis."""

    class Everywhere(nn.Module):
        def forward(self, x):
            return torch.stack([x, -x], 1).flatten(2)

    x = np.random.default_rng(0).normal(size=(32, 4, 8)).astype(np.float32)
    labels = (x < 0).astype(int) if positions else np.arange(32) % 2
    samples = as_samples((x, labels), Expected(inputs={"x": (1, 4, 8)}))
    if positions:
        assert accuracy(torch_predictor(Everywhere()), samples).score.value == 1.0
        return
    with pytest.raises(errors.InputError, match="labels have shape"):
        accuracy(torch_predictor(Everywhere()), samples)
