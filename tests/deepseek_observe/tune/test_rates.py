"""Which rate is found, what is refused, and how rates follow from the batch."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from tune_kit import problem_of, quadratic

from deepseek_observe.tune.errors import NeverFalls
from deepseek_observe.tune.plan import Base, chosen_batch, plan_batch, rates_of
from deepseek_observe.tune.problem import kept
from deepseek_observe.tune.rates import Course, holds, race, rates_around, steps_of, sweep
from deepseek_observe.tune.samples import Stream


def course(problem, batch=32, steps=200):
    train, held = problem.data.divided(0)
    return Course(batch=batch, steps=steps, train=train, held=held, seed=0)


def steep():
    """A quadratic of curvature 1: a rate of 2 and more diverges."""
    return quadratic(torch.full((4,), 5.0), torch.full((4,), 0.1), length=2000)


def test_a_range_test_ends_at_the_edge_of_what_holds():
    problem = steep()
    found = sweep(problem, Stream(np.arange(2000), 0), 32)
    assert 1 < found.edge < 3.6  # it is at 2; smoothing lags by some steps of an eighth each
    assert len(found.rates) < 150  # it ended when the loss had risen


@pytest.mark.parametrize(("rate", "does"), [(0.5, True), (1.9, True), (2.2, False), (50.0, False)])
def test_what_diverges_does_not_hold(rate, does):
    problem = steep()
    before = problem.model.weight.detach().clone()
    assert holds(problem, [rate] * 40, course(problem)) is does
    assert torch.equal(problem.model.weight, before)


def test_a_race_names_the_rate_that_ends_lowest():
    problem = steep()
    found = race(problem, [3.0, 1.0, 0.01, 0.0001], course(problem, steps=60))
    assert found.best == 1.0
    by_rate = {one.rate: one.loss for one in found.trials}
    assert by_rate[3.0] > found.start_loss
    assert 1.0 <= found.cap < 3.0
    assert problem.model.weight.abs().max() < 0.2  # the weights are those of the best


def test_a_race_looks_beyond_the_outermost_rate():
    problem = steep()
    found = race(problem, [0.004, 0.002], course(problem, steps=60))
    assert found.best > 0.02


def test_of_rates_that_end_alike_the_lowest_wins():
    problem = quadratic(torch.full((4,), 1.0), torch.full((4,), 1.0), length=4000)
    found = race(problem, [0.4, 0.2, 0.1], course(problem, steps=300))
    losses = {one.rate: one.loss for one in found.trials}
    assert found.best == min(
        losses, key=lambda rate: (losses[rate] > min(losses.values()) * 1.05, rate)
    )


def test_a_loss_that_falls_at_no_rate_is_told():
    model = nn.Linear(2, 1)
    flat = problem_of(
        model, lambda net, batch: 0 * net(batch[0]).sum() + 1, TensorDataset(torch.randn(400, 2))
    )
    with pytest.raises(NeverFalls, match="no rate from"):
        race(flat, [1.0, 0.1], course(flat, steps=10))
    nan = problem_of(
        model, lambda net, batch: net(batch[0]).sum() * math.nan, TensorDataset(torch.randn(400, 2))
    )
    with pytest.raises(NeverFalls, match="not finite before the first step"):
        sweep(nan, Stream(np.arange(400), 0), 32)


def test_a_run_is_no_longer_than_the_training_and_no_shorter_than_some_hundred():
    assert steps_of(300_000, 64, 300_000, is_asked=False) == 2008
    assert steps_of(1000, 64, None, is_asked=False) == 300
    assert steps_of(1000, 64, 1280, is_asked=False) == 20
    assert steps_of(6400, 64, None, is_asked=True) == 25  # four contestants


def test_a_loss_that_sharpens_races_with_lower_rates():
    class Normal(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean, self.log = nn.Parameter(torch.zeros(8)), nn.Parameter(torch.zeros(8))

    def loss(model, batch):
        normal = torch.distributions.Normal(model.mean, model.log.exp(), validate_args=False)
        return -normal.log_prob(batch[0]).sum(1).mean()

    draw = torch.Generator().manual_seed(0)
    sharp = TensorDataset(0.01 * torch.randn(800, 8, generator=draw) + 0.3)
    problem = problem_of(Normal(), loss, sharp)
    found = race(problem, [8.0, 4.0], course(problem, steps=300))
    assert found.best < 1
    losses = [one.loss for one in found.trials if one.rate == found.best]
    assert losses[0] < 0 < found.start_loss


def test_the_users_own_rate_races_too():
    assert rates_around(1.0, 0.3)[-1] == 0.3
    assert len(rates_around(1.0, 0.26)) == 4  # which is one of them
    assert len(rates_around(1.0, None)) == 4


@pytest.mark.parametrize(
    ("noise", "batch", "rate"),
    [
        (1000.0, 64, 0.1),
        (1000.0, 512, 0.8),  # linear
        (256.0, 1024, 0.1 * 4 * 2),  # linear to 256, the square root of 4 beyond
        (32.0, 1024, 0.1 * 4),  # the square root of 16
        (math.inf, 1024, 1.6),
        (1000.0, 32, 0.05),
    ],
)
def test_the_rate_of_a_batch(noise, batch, rate):
    base = Base(batch=64, rate=0.1)
    plan = plan_batch(noise, 10_000, 1, base, batch=batch, total_steps=1000)
    assert plan.rate == pytest.approx(rate)
    assert (plan.warmup_steps > 0) is (rate > 0.1)
    assert plan.warmup_start <= plan.rate


def test_adam_follows_the_square_root():
    base = Base(batch=64, rate=0.001)
    plan = plan_batch(1e6, 64, 1, base, batch=1024, total_steps=1000, adaptive=True)
    assert plan.rate == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("batch", "fits", "devices", "micro", "accumulate"),
    [(256, 256, 1, 256, 1), (256, 100, 1, 86, 3), (256, 100, 4, 64, 1), (7, 2, 3, 2, 2)],
)
def test_accumulation_is_what_does_not_fit(batch, fits, devices, micro, accumulate):
    base = Base(batch=batch, rate=0.1)
    plan = plan_batch(1.0, fits, devices, base, batch=batch, total_steps=10)
    assert (plan.micro, plan.accumulate) == (micro, accumulate)
    assert plan.micro <= fits
    assert plan.micro * plan.accumulate * devices >= batch


def test_a_larger_batch_wastes_no_more_than_is_asked():
    assert chosen_batch(1000.0, 64, 4096, 0.1) == 64
    assert chosen_batch(5000.0, 64, 4096, 0.1) == 256
    assert chosen_batch(math.inf, 64, 4096, 0.1) == 4096
    assert chosen_batch(1.0, 100, 100, 0.1) == 100


def test_rates_rise_in_a_line():
    base = Base(batch=64, rate=0.1)
    plan = plan_batch(1e6, 512, 1, base, batch=256, total_steps=400)
    assert plan.warmup_steps == 20
    rates = rates_of(plan, 30)
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0.25)
    assert set(rates[20:]) == {plan.rate}


def test_a_course_begins_again_from_the_same_weights_and_samples():
    problem = steep()
    begin = kept(problem)
    first = race(problem, [1.0, 0.1], course(problem, steps=20))
    from deepseek_observe.tune.problem import restore

    restore(problem, begin)
    again = race(problem, [1.0, 0.1], course(problem, steps=20))
    assert first.trials == again.trials
