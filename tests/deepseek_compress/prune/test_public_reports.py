"""Models of public reports are pruned to a budget, and compute what they should."""

import pytest
import torch
from prune_reports import REPORTS

from deepseek_core import compression, open_compressor


@pytest.mark.parametrize("kind", REPORTS, ids=lambda kind: kind.__name__)
def test_a_model_of_a_report_is_pruned_to_its_budget(kind, tmp_path):
    model = kind().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    context = compression.StepContext(workspace=tmp_path, inputs={"x": (1, *kind.shape)})
    options = {"score": "l1", "parameters": f"/{kind.divisor}"}
    step = open_compressor("prune", options).compressor
    result = step.apply(model, step.plan(model, context), context)
    whole = sum(value.numel() for value in model.parameters())
    left = sum(value.numel() for value in result.model.parameters())
    assert kind.divisor <= whole / left
    assert result.figures["masked_difference"] <= 1e-5
    result.model(torch.randn(3, *kind.shape))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
