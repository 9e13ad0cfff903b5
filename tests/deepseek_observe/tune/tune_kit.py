"""Trainings that are small, some of whose answers are known."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from deepseek_observe.tune.problem import Problem
from deepseek_observe.tune.samples import samples_of

CLASSES = """\
import torch
from torch import nn
from torch.utils.data import TensorDataset


def make_model(hidden=16):
    return nn.Sequential(nn.Linear(20, hidden), nn.ReLU(), nn.Linear(hidden, 4))


def make_data(length=600, seed=1):
    x = torch.randn(length, 20, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :4].argmax(1))


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def build():
    return make_model(), loss, make_data()
"""
RECIPE = """\
[model]
factory = "train.py:make_model"
kwargs = { hidden = 12 }

[data]
factory = "train.py:make_data"

[optimizer]
name = "SGD"
kwargs = { lr = 0.003, momentum = 0.9 }

[loss]
name = "cross_entropy"

[train]
epochs = 2
batch = 20
"""


class Point(nn.Module):
    """The weights of a quadratic: the gradient at x is weight - x."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())


def distance(model, batch):
    """Half the squared distance to the samples, in the mean."""
    return 0.5 * (model.weight - batch[0]).square().sum(1).mean()


def quadratic(weight, spread, length=100_000, seed=0):
    """Samples around 0 with a deviation for each axis; its noise scale is known."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(length, len(weight), generator=draw) * spread
    return problem_of(Point(weight), distance, TensorDataset(x))


def problem_of(model, loss, data, rate=0.1, **options):
    """A problem with plain SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    return Problem(
        model=model, loss=loss, data=samples_of(data), optimizer=optimizer, **options
    )  # fmt: skip
