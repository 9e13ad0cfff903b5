"""Dtypes, memory formats, modes, hooks, frozen parameters: kept as they were."""

import pytest
import torch
from prune_plans import every
from torch import nn

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.pruner import Pruner

X = (2, 3, 8, 8)


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 12, 3),
        nn.Dropout(),
        nn.Conv2d(12, 4, 3),
    )


def pruned(model, example):
    pruner = Pruner(model, example)
    plan = every(pruner, 2)
    assert plan.ratios["params"] > 1.5
    return pruner.apply(plan)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_are_pruned(dtype):
    found = pruned(plain().to(dtype), torch.randn(X, dtype=dtype))
    assert {each.dtype for each in found.model.parameters()} == {dtype}


def test_memory_format_mode_and_frozen_parameters_are_kept():
    model = plain().to(memory_format=torch.channels_last).train()
    model[1].eval()
    model[3].weight.requires_grad_(False)
    found = pruned(model, torch.randn(X).to(memory_format=torch.channels_last)).model
    assert found[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert [each.training for each in found] == [each.training for each in model]
    assert [each.requires_grad for each in found.parameters()] == [
        each.requires_grad for each in model.parameters()
    ]
    found(torch.randn(X)).sum().backward()


def test_hooks_are_followed():
    model = plain()
    model[0].register_forward_hook(lambda module, given, out: out * 2)
    assert pruned(model, torch.randn(X)).equivalence.relative <= 1e-5
    model[0].register_forward_hook(
        lambda module, given, out: out * torch.arange(16.0)[:, None, None]
    )
    reasons = {group.name: group.reason for group in Pruner(model, torch.randn(X)).structure.groups}
    assert "differs from channel to channel" in reasons["0"]


def test_inputs_may_be_strided_arrays_or_named():
    for example in (
        torch.randn(2, 8, 8, 3).permute(0, 3, 1, 2),
        torch.randn(X).numpy(),
        {"input": torch.randn(X)},
    ):
        assert pruned(plain(), example).equivalence.relative <= 1e-5


@pytest.mark.filterwarnings("ignore")
def test_traced_and_exported_programs_are_pruned():
    for model in (
        torch.fx.symbolic_trace(plain().eval()),
        torch.export.export(plain().eval(), (torch.randn(X),)).module(),
    ):
        pruner = Pruner(model, torch.randn(X))
        assert pruner.apply(every(pruner, 2)).equivalence.relative <= 1e-5
        assert every(pruner, 2).ratios["params"] > 1.2


def test_autocast_inside_a_model_is_followed():
    class Casts(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = plain()

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.body(x)

    assert pruned(Casts(), torch.randn(X)).plan.ratios["params"] > 1.5


def test_batch_and_channels_of_one_size_are_told_apart():
    model = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)
    )
    for batch in (1, 8):
        assert pruned(model, torch.randn(batch, 8, 8, 8)).equivalence.relative <= 1e-5


def test_a_pruned_copy_keeps_the_state_that_running_it_would_change():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 4, 1)
            self.register_buffer("last", torch.zeros(16))

        def forward(self, x):
            y = self.a(x)
            self.last = y.mean((0, 2, 3))
            return self.b(y)

    pruner = Pruner(model := Remembers(), torch.randn(X))
    found = pruner.apply(every(pruner, 2)).model
    assert torch.equal(found.last, torch.zeros(16)) and torch.equal(model.last, torch.zeros(16))


def test_a_pruned_copy_is_pruned_again():
    first = pruned(plain(), torch.randn(X)).model
    second = pruned(first, torch.randn(X))
    assert second.plan.ratios["params"] > 1.5


def test_cross_attention_with_a_mask_is_pruned_head_by_head():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.k = nn.Linear(6, 16), nn.Linear(6, 16)
            self.attention, self.head = (
                nn.MultiheadAttention(16, 4, batch_first=True),
                nn.Linear(16, 2),
            )

        def forward(self, x, mask):
            k = self.k(x)
            return self.head(self.attention(self.a(x), k, k, key_padding_mask=mask)[0])

    mask = torch.tensor([[False, False, True], [False, False, False]])
    pruner = Pruner(Cross(), (torch.randn(2, 3, 6), mask))
    found = pruner.apply(pruner.plan({"k": [0, 2], "attention.out_proj.weight": [1]}))
    assert found.equivalence.relative <= 1e-5
    assert (found.model.attention.embed_dim, found.model.attention.head_dim) == (8, 2)
    with pytest.raises(CannotPrune, match="go with those of 'k'"):
        pruner.plan({"a": [0]})
