"""Real architectures of packages of the index, where these are installed."""

import os
import sys
from pathlib import Path

import pytest
from prune_architectures import ARCHITECTURES

from deepseek_compress.prune.budget import PruneBudget
from deepseek_compress.prune.plan_budget import plan_budget
from deepseek_compress.prune.pruner import Pruner
from deepseek_compress.prune.score_units import score_units

PEERS = Path(
    os.environ.get("DEEPSEEK_ARCHITECTURES", Path(__file__).parents[3] / ".venv" / "architectures")
)
# Each package once; the benchmark runs all.
FIRST = {each.package: each for each in reversed(ARCHITECTURES)}.values()


@pytest.mark.parametrize("architecture", FIRST, ids=lambda each: each.name)
@pytest.mark.filterwarnings("ignore")
def test_an_architecture_of_a_package_is_halved_exactly(architecture, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(PEERS)])
    try:
        model = architecture.make()
    except ImportError as error:
        pytest.skip(f"{architecture.package}: {error} (make architectures)")
    pruner = Pruner(model, architecture.example())
    budget = PruneBudget(params=2, round_to=4, min_channels=4)
    pruned = pruner.apply(plan_budget(pruner, score_units(pruner, "l1"), budget))
    assert pruned.equivalence.relative <= 1e-5 and not pruned.equivalence.inexact
    assert 2 <= pruned.plan.ratios["params"] <= 2.04
    assert sum(each.numel() for each in pruned.model.parameters()) == pruned.plan.params
