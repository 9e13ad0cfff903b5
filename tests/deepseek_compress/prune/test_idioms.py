"""Masked equivalence on small modules, each with one idiom of real models."""

import pytest
import torch
from prune_idioms import IDIOMS
from prune_plans import at_random, every

from deepseek_compress.prune.pruner import Pruner

BAR = 1e-5


@pytest.fixture(params=IDIOMS, ids=lambda idiom: idiom.name)
def idiom(request):
    return request.param


def test_an_idiom_is_pruned_exactly(idiom):
    model, example = idiom.make(), idiom.example()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pruner = Pruner(model, example)
    free = {
        layer for group in pruner.structure.groups if not group.reason for layer in group.layers
    }
    missing = [
        name
        for name in idiom.prunable
        if name not in free and not any(f.startswith(f"{name}.") for f in free)
    ]
    assert not missing, {group.name: group.reason for group in pruner.structure.groups}
    for plan in (every(pruner, 2), every(pruner, 3), at_random(pruner, 1)):
        pruned = pruner.apply(plan)
        if not idiom.inexact:
            assert pruned.equivalence.relative <= BAR
            assert not pruned.equivalence.inexact
        assert sum(each.numel() for each in pruned.model.parameters()) == plan.params
        assert list(pruned.model.state_dict()) == list(before)
        assert type(pruned.model) is type(model)
    assert every(pruner, 2).ratios["params"] > 1.2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_norms_over_channels_are_reported_and_kept_when_all_must_be_exact():
    for idiom in (each for each in IDIOMS if each.inexact):
        model, example = idiom.make(), idiom.example()
        assert every(pruner := Pruner(model, example), 2).ratios["params"] > 1
        assert pruner.apply(every(pruner, 2)).equivalence.inexact
        exact = Pruner(model, example, exact=True)
        kept = {group.name: group.reason for group in exact.structure.groups if group.reason}
        assert any("statistics" in reason for reason in kept.values())
        assert exact.apply(every(exact, 2)).equivalence.relative <= BAR


def test_there_are_enough_idioms():
    assert sum(not idiom.inexact for idiom in IDIOMS) >= 24


def test_what_is_left_of_a_layer_is_what_it_had():
    model = next(each for each in IDIOMS if each.name == "ResidualBlock").make()
    pruner = Pruner(model, torch.randn(1, 3, 8, 8))
    pruned = pruner.apply(pruner.plan({"stem": [0, 5]})).model
    left = [at for at in range(16) if at not in (0, 5)]
    assert torch.equal(pruned.stem.weight, model.stem.weight[left])
    assert torch.equal(pruned.first.weight, model.first.weight[:, left])
    assert torch.equal(pruned.norm0.running_var, model.norm0.running_var[left])
    assert (pruned.stem.out_channels, pruned.norm0.num_features, pruned.head.in_features) == (
        14,
        14,
        14,
    )
