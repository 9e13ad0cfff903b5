"""Small networks, pictures with a stripe for each class, and trainings of seconds."""

import numpy as np
import torch
from torch import nn

from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.train.evaluate import accuracy
from deepseek_compress.train.fit import fit
from deepseek_compress.train.objectives import CrossEntropy
from deepseek_compress.train.options import FitOptions
from deepseek_compress.train.predictor import torch_predictor
from deepseek_compress.train.run import Run

CLASSES = 4
EXPECTED = Expected(inputs={"x": (1, 1, 8, 8)})


def stripes(count, seed=0, strength=0.8):
    """Noise, and a stripe whose place is the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % CLASSES
    x = rng.normal(size=(count, 1, 8, 8)).astype(np.float32)
    for row, label in enumerate(y):
        x[row, 0, :, 2 * label : 2 * label + 2] += strength
    return x, y


def data(count=512, seed=0, **more):
    return as_samples(stripes(count, seed, **more), EXPECTED)


def net(width=6, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((1, 4)),
        nn.Flatten(),
        nn.Linear(4 * width, CLASSES),
    )


def quick(**options):
    return FitOptions(**{"epochs": 2, "precision": "fp32", "layout": "contiguous", **options})


def run(**options):
    return Run(step="test", **options)


def trained(model=None, samples=None, objective=None, options=None, **surroundings):
    """What `fit` gives, with small defaults for all that is not said."""
    return fit(
        net() if model is None else model,
        data() if samples is None else samples,
        objective or CrossEntropy(),
        options or quick(),
        run(**surroundings),
    )


def reached(model, seed=1):
    """Accuracy on pictures that it has not seen."""
    return accuracy(torch_predictor(model), data(256, seed)).score.value
