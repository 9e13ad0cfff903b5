"""Steps that train: what they plan, what they tell, what they refuse."""

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from deepseek_compress.samples.arrays import ArraySamples
from deepseek_compress.samples.labels import class_labels
from deepseek_compress.steps.distill import Distill
from deepseek_compress.steps.finetune import Finetune
from deepseek_compress.steps.recover_bn import RecoverBn
from deepseek_core import compression, errors

TINY = {"epochs": 1, "batch_size": 16, "precision": "fp32"}


def samples(count=64, seed=0):
    rng = np.random.default_rng(seed)
    y = class_labels(np.arange(count) % 2, 2, "samples")
    x = rng.normal(size=(count, 1, 6, 6)).astype(np.float32) + y[:, None, None, None]
    return ArraySamples(inputs={"input": x}, labels=y)


def small(width=4):
    torch.manual_seed(0)
    body = [nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))


STEPS = {"finetune": Finetune, "distill": Distill, "recover_bn": RecoverBn}


def step(name, **options):
    return STEPS[name](**options)


def applied(name, model, context, **options):
    made = step(name, **options)
    return made.apply(model, made.plan(model, context), context)


@pytest.fixture
def context(tmp_path):
    return compression.StepContext(workspace=tmp_path, train=samples(), original=small(8))


def test_plans_hold_what_the_machine_decides(context):
    plan = step("finetune").plan(small(), context)
    assert plan.choices["precision"] in ("fp32", "bf16")
    assert plan.before == plan.after
    assert plan.after.macs == 4 * 9 * 16 + 8
    assert "precision" in plan.notes[0]


def test_results_have_figures_and_notes(context):
    found = applied("finetune", small(), context, **TINY)
    assert set(found.figures) == {"loss", "epochs", "learning_rate", "train_accuracy"}
    assert not found.provided
    recovered = applied("recover_bn", small(), context, batch_size=16)
    assert recovered.figures == {"normalizations": 1.0}


def test_the_loss_of_the_recipe_is_used(context):
    def loss(outputs, labels):
        return (outputs.mean(1) - 3.0).square().mean()

    own = attrs.evolve(context, provided={"loss": loss})
    found = applied("finetune", small(), own, **{**TINY, "epochs": 8})
    (batch,) = samples().batches(64)
    given = torch.from_numpy(batch.inputs["input"]).float()
    assert found.model(given).mean().item() == pytest.approx(3.0, abs=1.0)


def test_what_is_missing_is_told(context):
    for name, gone in (("finetune", "train"), ("recover_bn", "train"), ("distill", "original")):
        with pytest.raises(errors.InputError) as caught:
            applied(name, small(), attrs.evolve(context, **{gone: None}))
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("finetune", {"epochs": 0}, "epochs is 0"),
        ("finetune", {"optimizer": "adam"}, "optimizer is 'adam'"),
        ("finetune", {"learning_rate": -1.0}, "learning_rate is -1"),
        ("finetune", {"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ("distill", {"temperature": 0}, "temperature is 0"),
        ("distill", {"features": "attention"}, "layers names 0"),
        ("recover_bn", {"batches": 0}, "batches is 0"),
    ],
)
def test_options_that_do_not_fit(name, options, said):
    with pytest.raises(errors.ConfigError, match=said) as caught:
        step(name, **options)
    assert caught.value.remedy


def test_layers_are_looked_up_before_anything_is_trained(context):
    made = step("distill", features="attention", layers=["2", "conv9"])
    with pytest.raises(errors.ConfigError, match="the student has no module 'conv9'"):
        made.plan(small(), context)
