"""Multiply-accumulates and parameters, counted by hand and against published figures."""

import importlib.util
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from deepseek_compress.profile import profile_with  # noqa: E402
from deepseek_core import errors  # noqa: E402

RESNET = Path(__file__).parents[2] / "examples" / "compression" / "resnet.py"


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 3))

    def forward(self, x):
        y = nn.functional.linear(x, self.weight)
        return y @ y.transpose(1, 2)


LAYERS = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 8, 8), 8 * 3 * 9 * 64),
    "strided": (nn.Conv2d(3, 8, 3, stride=2), (1, 3, 9, 9), 8 * 3 * 9 * 16),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8), (1, 8, 8, 8), 8 * 9 * 36),
    "groups": (nn.Conv2d(8, 4, 1, groups=2), (1, 8, 5, 5), 4 * 4 * 25),
    "one axis": (nn.Conv1d(3, 8, 5), (1, 3, 20), 8 * 3 * 5 * 16),
    "transposed": (nn.ConvTranspose2d(3, 8, 3, stride=2), (1, 3, 8, 8), 3 * 8 * 9 * 64),
    "linear": (nn.Linear(7, 5), (1, 7), 35),
    "linear on steps": (nn.Linear(7, 5), (1, 4, 7), 4 * 35),
    "LSTM": (nn.LSTM(3, 8, batch_first=True), (1, 5, 3), 5 * 32 * 11),
    "two ways, two layers": (
        nn.LSTM(3, 8, num_layers=2, bidirectional=True, batch_first=True),
        (1, 5, 3),
        2 * 5 * 32 * (3 + 8) + 2 * 5 * 32 * (16 + 8),
    ),
    "GRU": (nn.GRU(3, 8, batch_first=True), (1, 5, 3), 5 * 24 * 11),
    "attention": (Attention(), (1, 5, 8), 4 * 5 * 64 + 2 * 25 * 8),
    "transformer": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (1, 5, 8),
        4 * 5 * 64 + 2 * 25 * 8 + 2 * 5 * 8 * 16,
    ),
    "functions": (Functional(), (1, 5, 3), 5 * 18 + 25 * 6),
    "free": (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (1, 3, 8, 8), 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_by_hand(name):
    model, shape, expected = LAYERS[name]
    modes = [part.training for part in model.modules()]
    found = profile_with(model, {"x": torch.zeros(shape)})
    assert found.macs == expected
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert [part.training for part in model.modules()] == modes


def test_networks_of_the_example():
    spec = importlib.util.spec_from_file_location("example_resnet", RESNET)
    resnet = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = resnet
    spec.loader.exec_module(resnet)
    # torchvision's own table has 25,557,032 and 4.09 for resnet50.
    found = profile_with(resnet.resnet50(), {"x": torch.zeros((1, 3, 224, 224))})
    assert (found.parameters, found.macs) == (25_557_032, 4_089_184_256)
    small = profile_with(resnet.small_resnet(), {"x": torch.zeros((1, 1, 28, 28))})
    assert (small.parameters, small.macs) == (696_042, 22_263_552)


def test_tied_weights_count_once_and_their_work_twice():
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    found = profile_with(model, {"x": torch.zeros((1, 8))})
    assert (found.parameters, found.macs) == (64, 128)


def test_whole_numbers_and_several_inputs():
    class Looked(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(10, 4), nn.Linear(4, 2)

        def forward(self, words, gain):
            return self.out(self.table(words) * gain)

    inputs = {"gain": torch.ones(1, 3, 1), "words": torch.zeros(1, 3, dtype=torch.int64)}
    found = profile_with(Looked(), inputs)
    assert (found.parameters, found.macs) == (50, 24)
    with pytest.raises(errors.InputError, match="the model can't take"):
        profile_with(Looked(), inputs | {"words": torch.zeros(1, 3)})


def test_what_is_no_module():
    with pytest.raises(errors.InputError, match="takes a torch"):
        profile_with(object(), {"x": torch.zeros((1, 3))})
