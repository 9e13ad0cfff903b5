"""Budgets are met from above and closely; counts are round; what can't be met is said."""

import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from deepseek_compress.errors import BudgetUnmet, CannotPrune
from deepseek_compress.prune.budget import PruneBudget
from deepseek_compress.prune.inspect import channel_counts, inspect
from deepseek_compress.prune.plan_budget import plan_budget
from deepseek_compress.prune.pruner import Pruner
from deepseek_compress.prune.score_units import score_units
from deepseek_compress.prune.sizes import Sizes

ROOT = Path(__file__).parents[3]


def resnets():
    sys.path.insert(0, str(ROOT / "examples" / "compression"))
    try:
        import resnet
    finally:
        sys.path.pop(0)
    return resnet


@pytest.fixture(scope="module")
def large():
    torch.manual_seed(0)
    return Pruner(resnets().resnet50(), torch.randn(1, 3, 64, 64))


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Pruner(resnets().small_resnet(), torch.randn(1, 1, 28, 28))


def counted(model, example):
    """Multiply-adds of convolutions and linear layers, counted by hooks."""
    total = []

    def hook(module, given, out):
        places = out.numel() / out.shape[1]
        total.append(places * module.weight.numel())

    handles = [
        m.register_forward_hook(hook)
        for m in model.modules()
        if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    model.eval()(example)
    for handle in handles:
        handle.remove()
    return sum(total)


def test_the_examples_have_the_sizes_that_they_say(large, small):
    assert large.structure.unit_count > 5000
    params, macs = Sizes(large.structure).after(set())
    assert params == 25_557_032
    assert round(macs / 1e6) == round(counted(large.model, torch.randn(1, 3, 64, 64)) / 1e6)
    params, macs = Sizes(small.structure).after(set())
    assert (params, round(macs / 1e6, 1)) == (696_042, 22.3)


@pytest.mark.parametrize("allocate", ["uniform", "global"])
@pytest.mark.parametrize("score", ["l1", "random"])
def test_resnet50_gets_a_budget_within_two_percent_in_multiples_of_eight(large, allocate, score):
    plan = plan_budget(large, score_units(large, score), PruneBudget(params=3.7), allocate=allocate)
    assert 3.70 <= plan.ratios["params"] <= 3.78
    pruned = large.apply(plan)
    assert sum(each.numel() for each in pruned.model.parameters()) == plan.params
    assert abs(counted(pruned.model, torch.randn(1, 3, 64, 64)) / plan.macs - 1) < 1e-6
    convs = [m for m in pruned.model.modules() if isinstance(m, nn.Conv2d)]
    assert {m.out_channels % 8 for m in convs} == {0}
    assert pruned.equivalence.relative <= 1e-5


def test_both_budgets_hold_and_counts_are_multiples_of_sixteen(large):
    plan = plan_budget(large, score_units(large, "l1"), PruneBudget(params=2, macs=3, round_to=16))
    assert plan.ratios["params"] >= 2 and 3 <= plan.ratios["macs"] <= 3.06
    counts = channel_counts(large, large.apply(plan).model)
    assert {after % 16 for name, (_, after) in counts.items() if name != "head"} == {0}


def test_a_small_net_of_a_tenth(small):
    plan = plan_budget(small, score_units(small, "l1"), PruneBudget(params=10.1))
    assert 10.1 <= plan.ratios["params"] <= 10.1 * 1.02


def test_the_least_valuable_channels_go(small):
    scores = np.arange(small.structure.unit_count, dtype=float)[::-1].copy()
    plan = plan_budget(small, scores, PruneBudget(params=2))
    for group in small.structure.groups:
        gone = [scores[group.units[at]] for at in plan.remove.get(group.name, ())]
        left = [
            scores[u]
            for at, u in enumerate(group.units)
            if at not in plan.remove.get(group.name, ())
        ]
        assert not gone or max(gone) < min(left)


def test_a_latency_budget_takes_where_time_goes(small):
    def latency(layer, into, out):
        slow = 50.0 if layer.startswith("blocks.5") else 1.0
        return slow * (into + 10) * (out + 10) / 1e5

    whole = sum(latency(s.layer, len(s.into), len(s.out)) for s in small.structure.layer_sizes)
    budget = PruneBudget(latency_ms=whole / 2)
    plan = plan_budget(small, score_units(small, "l1"), budget, allocate="latency", latency=latency)
    pruned = small.apply(plan).model
    layers = {name: m for name, m in pruned.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    width = {"in": ("in_channels", "in_features"), "out": ("out_channels", "out_features")}
    ms = sum(
        latency(n, *(next(getattr(m, a) for a in each if hasattr(m, a)) for each in width.values()))
        for n, m in layers.items()
    )
    assert whole / 2 * 0.97 <= ms <= whole / 2
    assert "stem.0.0" not in plan.remove and plan.ratios["params"] < 2


def test_a_latency_table_of_stairs_is_searched_past_its_flat_parts(small):
    def latency(layer, into, out):
        return -(-into // 32) * -(-out // 32) * 1.0

    whole = sum(latency(s.layer, len(s.into), len(s.out)) for s in small.structure.layer_sizes)
    budget = PruneBudget(latency_ms=whole / 2)
    plan = plan_budget(small, score_units(small, "l1"), budget, allocate="latency", latency=latency)
    counts = channel_counts(small, small.apply(plan).model)
    assert {after % 32 for name, (_, after) in counts.items() if name != "head"} == {0}


def test_what_cannot_be_met_names_the_constraint_and_the_closest(small):
    scores = score_units(small, "l1")
    with pytest.raises(BudgetUnmet) as caught:
        plan_budget(small, scores, PruneBudget(params=4, min_channels=64))
    assert "at least 64" in caught.value.constraint and 1 < caught.value.closest["params"] < 4
    protected = Pruner(small.model, small.example, protect=["blocks.4.*", "blocks.5.*"])
    with pytest.raises(BudgetUnmet) as caught:
        plan_budget(protected, score_units(protected, "l1"), PruneBudget(params=2))
    assert "it is protected" in caught.value.constraint
    with pytest.raises(BudgetUnmet) as caught:
        plan_budget(small, scores, PruneBudget(params=1e9))
    assert caught.value.closest["params"] > 50


def test_a_budget_that_is_met_already_says_that_nothing_goes(small):
    plan = plan_budget(small, score_units(small, "l1"), PruneBudget(params=1))
    assert plan.notes == ("nothing would be pruned",) and not plan.remove
    assert plan.ratios["params"] == 1


def test_wrong_budgets_are_refused(small):
    scores = score_units(small, "l1")
    for wrong in ({"params": 0.5}, {"params": float("nan")}, {"macs": float("inf")}):
        with pytest.raises(CannotPrune):
            PruneBudget(**wrong)
    for budget, options in (
        (PruneBudget(), {}),
        (PruneBudget(latency_ms=1.0), {}),
        (PruneBudget(params=2), {"latency": lambda *_: 1.0}),
        (PruneBudget(params=2), {"allocate": "magic"}),
    ):
        with pytest.raises(CannotPrune):
            plan_budget(small, scores, budget, **options)
    for wrong_scores in (scores[:-1], np.full(len(scores), np.nan)):
        with pytest.raises(CannotPrune, match="one finite score"):
            plan_budget(small, wrong_scores, PruneBudget(params=2))


def test_inspection_tells_what_can_go_and_what_stays(small):
    reports = {each.name: each for each in inspect(small)}
    assert reports["head"].stays == "it is an output of the model"
    stem = reports["stem.0.0"]
    assert (
        stem.layers[:2] == ("stem.0.0", "blocks.0.body.2.0")
        and stem.channels[0] == stem.units == 32
    )
    assert (stem.least, stem.stays, stem.inexact) == (8, "", "")
    assert next(iter(reports)) == "stem.0.0" and list(reports)[-1] == "head"


def test_plans_go_through_json(small):
    plan = plan_budget(small, score_units(small, "l1"), PruneBudget(params=2))
    again = type(plan).from_json(plan.to_json())
    assert again == plan and again.to_json() == plan.to_json()
    assert small.apply(again).plan == plan
    for text in (
        "",
        "[]",
        "{}",
        plan.to_json().replace("plan/1", "plan/9"),
        '{"format": "deepseek-prune-plan/1"}',
    ):
        with pytest.raises(CannotPrune, match="not a plan"):
            type(plan).from_json(text)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        plan.params = 1
