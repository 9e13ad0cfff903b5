"""Scores: each sees what it should, coupled layers are averaged, data are asked for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.pruner import Pruner
from deepseek_compress.prune.score_units import score_units
from deepseek_compress.prune.scores import SCORES
from deepseek_core import errors
from deepseek_core.contracts.compression import Score

BATCHES = [(torch.randn(4, 3, 6, 6), torch.tensor([0, 1, 2, 3])) for _ in range(2)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(F.relu(self.b(F.relu(self.norm(self.a(x))))).mean((2, 3)))


@pytest.fixture
def pruner():
    return Pruner(Net(), BATCHES[0][0])


def of(pruner, name, group="a", **options):
    values = score_units(pruner, name, batches=BATCHES, loss=F.cross_entropy, **options)
    return values[list(pruner.structure.group(group).units)]


@pytest.mark.parametrize("name", SCORES)
def test_every_score_gives_a_figure_for_each_unit_and_the_same_again(pruner, name):
    values = score_units(pruner, name, batches=BATCHES, loss=F.cross_entropy)
    assert values.shape == (14,) and np.isfinite(values).all() and (values >= 0).all()
    assert values.std() > 0 or name == "bn_scale"
    assert np.array_equal(values, score_units(pruner, name, batches=BATCHES, loss=F.cross_entropy))
    assert not np.allclose(of(pruner, name, "a"), of(pruner, "random", "a", seed=5))


def test_weights_are_scored_by_channel_and_normalized_by_layer(pruner):
    rows = pruner.model.a.weight.detach().abs().flatten(1).sum(1).double()
    assert np.allclose(of(pruner, "l1"), (rows / rows.mean()).numpy())
    with torch.no_grad():
        pruner.model.norm.weight.copy_(torch.arange(1.0, 9.0))
    assert np.argsort(of(pruner, "bn_scale")).tolist() == list(range(8))


def test_a_dead_channel_is_the_least_by_every_score_of_data_and_weights(pruner):
    with torch.no_grad():
        pruner.model.a.weight[3], pruner.model.a.bias[3] = 0, 0
        pruner.model.norm.weight[3], pruner.model.norm.bias[3] = 0, 0
        pruner.model.b.weight[:, 3] = 0
    for name in ("l1", "group_l2", "bn_scale", "taylor", "apoz", "cis_mean", "cis_frequency"):
        assert of(pruner, name).argmin() == 3, name


def test_activations_are_those_after_the_function(pruner):
    model = pruner.model.eval()
    seen = torch.cat([F.relu(model.norm(model.a(x))) for x, _ in BATCHES]).detach()
    share = (seen > 0).float().mean((0, 2, 3)).double().numpy()
    assert np.allclose(of(pruner, "apoz"), share / share.mean(), atol=1e-5)
    mean = seen.mean((0, 2, 3)).double().numpy() * of(pruner, "l1")
    assert np.allclose(of(pruner, "cis_mean"), mean / mean.mean(), atol=1e-5)


def test_taylor_is_the_square_of_gradient_times_weight(pruner):
    model, total = pruner.model.eval(), np.zeros(8)
    for x, y in BATCHES:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        total += ((model.a.weight * model.a.weight.grad).flatten(1).sum(1) ** 2).detach().numpy()
    model.zero_grad()
    assert np.allclose(of(pruner, "taylor"), total / total.mean(), rtol=1e-4)


def test_the_geometric_median_is_what_is_near_the_others(pruner):
    with torch.no_grad():
        pruner.model.a.weight[2] = pruner.model.a.weight.mean(0)
    assert of(pruner, "fpgm").argmin() == 2


def test_a_score_may_be_given_itself(pruner):
    mine = Score(measure=lambda view: np.arange(len(view.weight), dtype=float))
    values = score_units(pruner, mine)
    units = list(pruner.structure.group("a").units)
    assert np.argsort(values[units]).tolist() == list(range(8))
    for bad in (lambda view: np.zeros(3), lambda view: np.full(len(view.weight), np.nan)):
        with pytest.raises(CannotPrune, match="one finite figure"):
            score_units(pruner, Score(measure=bad))
    with pytest.raises(CannotPrune, match="mine of a fails: ZeroDivisionError"):
        score_units(pruner, Score(name="mine", measure=lambda _: 1 / 0))


def test_a_score_writes_to_nobodys_weights(pruner):
    def greedy(view):
        view.weight[:] = 0
        return np.ones(len(view.weight))

    model = pruner.model.double()
    before = model.a.weight.clone()
    with pytest.raises(CannotPrune, match="read-only"):
        score_units(pruner, Score(measure=greedy))
    assert torch.equal(model.a.weight, before)


@pytest.mark.parametrize("least", [-1000.0, -8.0, 0.0])
def test_figures_below_zero_weigh_layers_as_others_do(pruner, least):
    """As of a logarithm; with a mean of nearly 0, too, one layer does not count for all."""
    rise = Score(measure=lambda view: least + np.arange(float(len(view.weight))))
    expected = Score(measure=lambda view: np.arange(float(len(view.weight))))
    found = score_units(pruner, rise)
    assert found.min() >= 0
    assert np.allclose(found, score_units(pruner, expected))


def test_what_a_score_looks_at_is_known():
    for wrong in ({"needs": ("activation",)}, {"roles": ("out", "inside")}):
        with pytest.raises(errors.ConfigError, match=f"Score.{next(iter(wrong))} has"):
            Score(measure=len, **wrong)


def test_missing_data_are_asked_for(pruner):
    with pytest.raises(errors.ConfigError, match="no score 'cis_maen' -> did you mean 'cis_mean'"):
        score_units(pruner, "cis_maen")
    with pytest.raises(CannotPrune, match="batches"):
        score_units(pruner, "apoz")
    with pytest.raises(CannotPrune, match="loss"):
        score_units(pruner, "taylor", batches=BATCHES)
    with pytest.raises(CannotPrune, match="batches"):
        score_units(pruner, "apoz", batches=iter(()))


def test_arrays_are_batches_too(pruner):
    arrays = [(x.numpy(), y.numpy()) for x, y in BATCHES]
    for name in ("cis_mean", "taylor"):
        ours = score_units(pruner, name, batches=iter(arrays), loss=F.cross_entropy)
        assert np.allclose(ours, score_units(pruner, name, batches=BATCHES, loss=F.cross_entropy))
