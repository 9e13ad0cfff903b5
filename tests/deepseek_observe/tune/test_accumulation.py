"""Pieces that are added up give the gradient of the whole batch."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from tune_kit import problem_of

from deepseek_core import errors
from deepseek_observe.tune.problem import check_mean, kept, restore


def data(length=64):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(length, 6, generator=draw, dtype=torch.float64)
    y = torch.randint(0, 3, (length,), generator=draw)
    y[::5] = -100
    return TensorDataset(x, y)


def mean(model, batch):
    return nn.functional.mse_loss(model(batch[0]), batch[0][:, :3])


def counted(model, batch):
    total = nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")
    return total, int((batch[1] != -100).sum())


@pytest.mark.parametrize("loss", [mean, counted])
@pytest.mark.parametrize("micro", [1, 7, 16, 64])
def test_accumulation_is_one_large_batch(loss, micro):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    whole = problem_of(model, loss, data())
    pieces = problem_of(copy.deepcopy(model), loss, data(), micro=micro)
    for _ in range(5):
        numbers = np.arange(64)
        assert pieces.step(numbers, 0.5) == pytest.approx(whole.step(numbers, 0.5), rel=1e-9)
    for one, other in zip(whole.params, pieces.params, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_a_moment_is_gone_back_to_with_the_momentum():
    torch.manual_seed(0)
    model = nn.Linear(6, 3).double()
    problem = problem_of(model, mean, data())
    problem.optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    problem.step(np.arange(32), 0.1)
    then = kept(problem)
    ends = []
    for _ in range(2):
        restore(problem, then)
        for _ in range(3):
            problem.step(np.arange(32), 0.1)
        ends.append(model.weight.detach().clone())
    assert torch.equal(*ends)


def test_a_loss_that_is_a_sum_is_refused():
    model = nn.Linear(6, 3).double()
    check_mean(problem_of(model, mean, data()), np.arange(16))
    check_mean(problem_of(model, counted, data()), np.arange(16))
    summed = problem_of(model, lambda net, batch: mean(net, batch) * len(batch[0]), data())
    with pytest.raises(errors.InputError, match="is a sum"):
        check_mean(summed, np.arange(16))


def test_rates_of_groups_keep_their_ratio():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    problem = problem_of(model, mean, data())
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters()}]
    problem = type(problem)(
        model=model,
        loss=mean,
        data=problem.data,
        optimizer=torch.optim.SGD(groups, lr=0.01),
    )
    problem.set_rate(1.0)
    assert [group["lr"] for group in problem.optimizer.param_groups] == pytest.approx([1.0, 0.1])


def test_an_output_with_a_loss_is_enough():
    class Out:
        def __init__(self, loss):
            self.loss = loss

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, x, labels):
            return Out(nn.functional.mse_loss(self.linear(x), labels))

    rows = [{"x": torch.randn(2), "labels": torch.randn(1)} for _ in range(8)]
    problem = problem_of(Net(), None, rows)
    assert problem.step(np.arange(8), 0.1) > problem.step(np.arange(8), 0.1)
