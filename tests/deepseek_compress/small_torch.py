"""Small torch networks with normalization, and a task that few bits make hard."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepseek_compress.lower.export import export_onnx
from deepseek_compress.modules import copied
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.samples.arrays import ArraySamples
from deepseek_compress.train.evaluate import accuracy
from deepseek_compress.train.fit import fit
from deepseek_compress.train.objectives import CrossEntropy
from deepseek_compress.train.options import FitOptions
from deepseek_compress.train.predictor import torch_predictor
from deepseek_compress.train.run import Run

CLASSES = 4


def unit(into, out, kernel=3, **more):
    conv = nn.Conv2d(into, out, kernel, padding=kernel // 2, bias=False, **more)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class Residual(nn.Module):
    """In-place operations, an addition, a mean, a dropout."""

    def __init__(self, width=8):
        super().__init__()
        self.stem, self.one, self.two = unit(1, width), unit(width, width), unit(width, width)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(width, CLASSES)

    def forward(self, x):
        x = functional.relu(self.stem(x), inplace=True)
        kept = x
        x = self.two(functional.relu(self.one(x)))
        x += kept
        return self.head(self.drop(functional.relu(x)[:, :, :, ::2].mean((2, 3))))


class Depthwise(nn.Module):
    """A clip, groups, a concatenation with a normalization behind it that can't be folded."""

    def __init__(self):
        super().__init__()
        self.wide, self.deep, self.act = unit(1, 8, 1), unit(8, 8, groups=8), nn.ReLU6()
        self.norm, self.last = nn.BatchNorm2d(16), nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.act(self.wide(x))
        x = self.norm(torch.cat([x, self.act(self.deep(x))], 1))
        return self.head(self.last(torch.relu(x)).mean((2, 3)))


class Twice(nn.Module):
    """One convolution that is called twice, with a normalization for each call."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.one, self.two, self.head = (
            nn.BatchNorm2d(8),
            nn.BatchNorm2d(8),
            nn.Linear(8, CLASSES),
        )

    def forward(self, x):
        x = torch.relu(self.one(self.conv(torch.relu(self.stem(x)))))
        return self.head(torch.relu(self.two(self.conv(x))).mean((2, 3)))


class Transposed(nn.Module):
    """Transposed convolution in groups, then a linear layer with a normalization."""

    def __init__(self):
        super().__init__()
        self.stem = unit(1, 8)
        self.up, self.norm = nn.ConvTranspose2d(8, 8, 2, 2, groups=2), nn.BatchNorm2d(8)
        self.line, self.flat, self.head = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = torch.relu(self.norm(self.up(torch.relu(self.stem(x)))))
        return self.head(torch.relu(self.flat(self.line(x.mean((2, 3))))))


KINDS = (Residual, Depthwise, Twice, Transposed)


def drawn(kind, seed=0):
    """A network in evaluation mode whose normalizations have seen something."""
    torch.manual_seed(seed)
    model = kind()
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return model.eval()


def pictures(count=256, seed=0, strength=0.7):
    """Noise, and a stripe whose place is the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count, dtype=np.int64) % CLASSES
    x = rng.normal(size=(count, 1, 8, 8)).astype(np.float32)
    for row, label in enumerate(y):
        x[row, 0, :, 2 * label : 2 * label + 2] += strength
    return ArraySamples(inputs={"x": x}, labels=y)


class Striped(nn.Module):
    """Tells the place of the stripe."""

    def __init__(self, width=8):
        super().__init__()
        self.stem, self.one, self.two = unit(1, width), unit(width, width), unit(width, width)
        self.head = nn.Linear(4 * width, CLASSES)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = torch.relu(self.two(torch.relu(self.one(x))) + x)
        return self.head(functional.adaptive_avg_pool2d(x, (1, 4)).flatten(1))


def trained():
    """`Striped`, after a training of a second."""
    torch.manual_seed(0)
    options = FitOptions(epochs=4, learning_rate=0.1, precision="fp32", layout="contiguous")
    return fit(Striped(), pictures(1024), CrossEntropy(), options, Run(step="test")).model


def reached(model, seed=1):
    """Accuracy on pictures that it has not seen."""
    return accuracy(torch_predictor(model), pictures(512, seed)).score.value


def exported(module, folder):
    """The file of a module, read for quantization."""
    export_onnx(copied(module), {"x": (1, 1, 8, 8)}, folder / "m.onnx")
    return read_float_model(folder / "m.onnx")


def example(count=4):
    return {"x": torch.from_numpy(pictures(count).inputs["x"])}
