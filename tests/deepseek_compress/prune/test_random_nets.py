"""Random nets of random blocks, pruned by random plans, compute what the zeroed net does."""

import random

import pytest
import torch
import torch.nn.functional as F
from prune_plans import at_random
from torch import nn

from deepseek_compress.prune.pruner import Pruner


class RandomNet(nn.Module):
    """Steps drawn by chance over a list of activations of one size."""

    STEPS = ("conv", "depth", "grouped", "add", "cat", "gate", "chunk", "norm", "shuffle", "scale")

    def __init__(self, rng):
        super().__init__()
        self.layers, self.steps, self.gains = nn.ModuleList(), [], nn.ParameterList()
        widths = [3]
        for _ in range(9):
            step, at, other = (
                rng.choice(self.STEPS),
                rng.randrange(len(widths)),
                rng.randrange(len(widths)),
            )
            widths.append(self.add_step(rng, step, (widths[at], widths[other])))
            self.steps.append((step, at, other))
        self.head = nn.Linear(sum(widths), 3)

    def add_step(self, rng, step, widths):
        into, other = widths
        out = rng.choice((4, 8, 12))
        depth = nn.Conv2d(into, 2 * into, 3, padding=1, groups=into)
        grouped = nn.Conv2d(into, 8, 1, groups=2 if into % 2 == 0 else 1)
        made = {
            "conv": (nn.Conv2d(into, out, 3, padding=1), out),
            "depth": (depth, 2 * into),
            "grouped": (grouped, 8),
            "add": (nn.Conv2d(into, other, 1), other),
            "cat": (nn.Identity(), into + other),
            "gate": (nn.Linear(into, other), other),
            "chunk": (nn.Conv2d(into, 2 * out, 1), out),
            "norm": (nn.BatchNorm2d(into), into),
            "shuffle": (nn.Conv2d(into, 8, 1), 8),
            "scale": (nn.Identity(), into),
        }
        layer, width = made[step]
        self.layers.append(layer)
        self.gains.append(nn.Parameter(torch.rand(into, 1, 1)))
        return width

    def forward(self, x):
        seen = [x]
        for at, (step, first, second) in enumerate(self.steps):
            seen.append(self.do(step, (seen[first], seen[second]), at))
        return self.head(torch.cat([each.mean((2, 3)) for each in seen], 1))

    def do(self, step, given, at):
        (x, y), layer = given, self.layers[at]
        if step == "add":
            return F.relu(layer(x) + y)
        if step == "cat":
            return torch.cat([x, y], 1)
        if step == "gate":
            return y * torch.sigmoid(layer(x.mean((2, 3))))[:, :, None, None]
        if step == "chunk":
            a, b = layer(x).chunk(2, 1)
            return a * b.sigmoid()
        if step == "shuffle":
            z = layer(x)
            return z.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        return x * self.gains[at] if step == "scale" else F.gelu(layer(x))


@pytest.mark.parametrize("seed", range(20))
def test_random_plans_of_random_nets_are_exact(seed):
    model = RandomNet(random.Random(seed))
    pruner = Pruner(model, torch.randn(2, 3, 6, 6))
    for each in range(2):
        assert pruner.apply(at_random(pruner, each)).equivalence.relative <= 1e-5
