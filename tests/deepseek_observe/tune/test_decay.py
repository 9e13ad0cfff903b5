"""Schedules of recipes: rates race under them, and they follow a tuned batch and rate."""

import sys
from itertools import pairwise

import pytest
from tune_kit import CLASSES, RECIPE

from deepseek_core import errors
from deepseek_observe.tune.decay import Tuned, rate_factors, scheduled, takes_warmup
from deepseek_observe.tune.rates import Course
from deepseek_observe.tune.recipe import read_recipe, tuned_tables
from deepseek_observe.tune.target import open_target

TUNED = Tuned(batch=80, micro=None, rate=0.2, warmup_steps=5, warmup_start=0.05)
ONE_CYCLE = {"name": "OneCycleLR", "kwargs": {"max_lr": 0.1, "total_steps": 60}}


def course(factors):
    return Course(batch=1, steps=30, train=[0], held=[0], seed=0, factors=factors)


def test_a_schedule_is_gone_through_whole_in_a_shorter_run():
    table = {"name": "PolynomialLR", "kwargs": {"total_iters": 120}}
    factors = rate_factors(table, 0.05, 120)
    assert len(factors) == 120 and factors[0] == 1.0
    assert all(late < early for early, late in pairwise(factors))
    run = course(factors)
    rates = [run.rate(0.4, step, 30) for step in range(30)]
    assert rates[0] == 0.4 and rates[-1] == pytest.approx(0.4 * 4 / 120, rel=1e-6)
    assert course(()).rate(0.4, 29, 30) == 0.4


def test_a_floor_of_the_rate_is_one_beside_the_recipes_own_rate():
    table = {"name": "CosineAnnealingLR", "kwargs": {"T_max": 50, "eta_min": 0.01}}
    assert min(rate_factors(table, 0.1, 51)) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"name": "LinearLR", "kwargs": {"start_factor": 0.1, "total_iters": 5}},
        {"name": "ReduceLROnPlateau"},
        {"factory": "train.py:schedule"},
    ],
)
def test_what_is_not_known_beforehand_is_taken_as_constant(table):
    assert rate_factors(table, 0.1, 40) == ()


def test_a_schedule_that_torch_does_not_take_is_told():
    with pytest.raises(errors.ConfigError, match="no 'PolyLR'"):
        rate_factors({"name": "PolyLR"}, 0.1, 10)
    with pytest.raises(errors.ConfigError, match="over 70 steps"):
        rate_factors(ONE_CYCLE, 0.1, 70)
    with pytest.raises(errors.ConfigError, match="scheduler StepLR"):
        rate_factors({"name": "StepLR", "kwargs": {"size": 3}}, 0.1, 10)


def test_a_schedule_with_a_rate_of_its_own_gets_the_tuned_one_and_no_warm_up():
    assert not takes_warmup(ONE_CYCLE)
    found = scheduled(ONE_CYCLE, TUNED, 20)
    assert found == {"name": "OneCycleLR", "kwargs": {"max_lr": 0.2, "total_steps": 15}}
    cyclic = {"name": "CyclicLR", "kwargs": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 40}}
    found = scheduled(cyclic, TUNED, 20)
    assert found["kwargs"] == {"base_lr": pytest.approx(0.02), "max_lr": 0.2, "step_size_up": 10}


def test_what_falls_with_each_step_falls_as_much_for_each_sample():
    found = scheduled({"name": "ExponentialLR", "kwargs": {"gamma": 0.9}}, TUNED, 40)
    assert found["kwargs"]["then"]["kwargs"]["gamma"] == pytest.approx(0.81)


def test_a_recipe_of_one_cycle_is_tuned_by_its_highest_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "train.py").write_text(CLASSES)
    text = (
        RECIPE + '[scheduler]\nname = "OneCycleLR"\nkwargs = { max_lr = 0.1, total_steps = 60 }\n'
    )
    (tmp_path / "recipe.toml").write_text(text)
    target = open_target("recipe.toml")
    assert target.rate == 0.1
    factors = target.recipe.factors(target.samples)
    assert len(factors) == 60 and max(factors) == 1.0 and factors[0] < 0.1
    found = tuned_tables(read_recipe(tmp_path / "recipe.toml"), TUNED, tmp_path)
    assert found["scheduler"]["kwargs"] == {"max_lr": 0.2, "total_steps": 15}
