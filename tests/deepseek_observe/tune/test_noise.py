"""The gradient noise scale, against trainings whose scale is known."""

import math

import numpy as np
import pytest
import torch
from tune_kit import quadratic

from deepseek_observe.tune.noise import Draw, measured_noise, noise_scale
from deepseek_observe.tune.samples import Stream


@pytest.mark.parametrize(("weight", "spread"), [(1.0, 2.0), (0.3, 1.0), (4.0, 1.0)])
def test_a_quadratic_has_the_scale_that_arithmetic_says(weight, spread):
    deviations = torch.linspace(0.5, 1.5, 8) * spread
    problem = quadratic(torch.full((8,), weight), deviations)
    truth = float(deviations.square().sum()) / (8 * weight**2)  # trace of covariance / |G|^2
    found = measured_noise(problem, Stream(np.arange(100_000), 0), 16)
    assert found.low <= truth <= found.high
    assert found.error <= 0.25


def test_about_19_of_20_intervals_hold_the_truth():
    draw = np.random.default_rng(0)
    small, large, dim = 8, 128, 16
    gradient = np.full(dim, 0.5)
    held = 0
    for _ in range(300):
        draws = []
        for _ in range(24):
            parts = gradient + draw.normal(size=(large // small, dim)) / math.sqrt(small)
            squares = float((parts**2).sum(1).mean())
            draws.append(Draw(squares, float((parts.mean(0) ** 2).sum())))
        found = noise_scale(draws, small, large)
        held += found.low <= dim / (dim * 0.25) <= found.high
    assert 0.90 <= held / 300 <= 0.99


def test_a_gradient_that_drowns_has_no_upper_bound():
    problem = quadratic(torch.zeros(8), torch.ones(8))
    found = measured_noise(problem, Stream(np.arange(100_000), 0), 16, most_draws=24)
    assert math.isinf(found.value)
    assert math.isinf(found.high)
    assert found.low > 500


def test_running_statistics_stay_and_no_gradient_is_left():
    from torch import nn
    from torch.utils.data import TensorDataset
    from tune_kit import problem_of

    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    problem = problem_of(
        model, lambda net, batch: net(batch[0]).square().mean(), TensorDataset(torch.randn(500, 3))
    )
    measured_noise(problem, Stream(np.arange(500), 0), 4)
    assert torch.equal(model[0].running_mean, torch.zeros(3))
    assert int(model[0].num_batches_tracked) == 0
    assert all(param.grad is None for param in model.parameters())
