"""Step `prune`: the user's own loss, models of several inputs, what is left out."""

import attrs
import numpy as np
import pytest
import torch
from torch import nn

from deepseek_compress.samples.arrays import ArraySamples
from deepseek_compress.steps.prune import Prune
from deepseek_core import compression, errors

HALF = {"score": "taylor", "round_to": 1, "min_channels": 1, "parameters": "/2", "batches": 1}


def pictures(labels="whole", count=32):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, 1, 6, 6)).astype(np.float32)
    y = {"whole": np.arange(count) % 2, "far": np.arange(count), "none": None}[labels]
    return ArraySamples(inputs={"input": x}, labels=y)


def body(width=8):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))


@pytest.fixture
def context(tmp_path):
    return compression.StepContext(
        workspace=tmp_path, inputs={"input": (1, 1, 6, 6)}, train=pictures()
    )


def test_scores_by_gradients_follow_the_loss_of_the_recipe(context):
    asked = []

    def loss(outputs, labels):
        asked.append(tuple(outputs.shape))
        return (outputs[:, 0] - labels).square().mean()

    own = attrs.evolve(context, provided={"loss": loss})
    plan = Prune(**HALF).plan(body(), own)
    assert asked == [(32, 2)]
    assert plan.choices["pruning"] != Prune(**HALF).plan(body(), context).choices["pruning"]


@pytest.mark.parametrize(
    ("labels", "told"), [("far", "labels go from 0 to 31"), ("none", "has no labels")]
)
def test_labels_that_are_no_classes_are_refused(context, labels, told):
    with pytest.raises(errors.InputError, match=told) as caught:
        Prune(**HALF).plan(body(), attrs.evolve(context, train=pictures(labels)))
    assert caught.value.remedy


class TwoInputs(nn.Module):
    """The second input is known by its name alone."""

    def __init__(self):
        super().__init__()
        self.body, self.rest = body(), nn.Linear(4, 2)

    def forward(self, image, *, meta):
        return self.body(image) + self.rest(meta)


def test_a_share_of_the_original_is_known_where_inputs_have_names_alone(tmp_path):
    draw = np.random.default_rng(0)
    inputs = {"image": (1, 1, 6, 6), "meta": (1, 4)}
    arrays = {n: draw.normal(size=(8, *s[1:])).astype(np.float32) for n, s in inputs.items()}
    samples = ArraySamples(inputs=arrays, labels=np.arange(8) % 2)
    context = compression.StepContext(
        workspace=tmp_path,
        inputs=inputs,
        train=samples,
        original=TwoInputs(),
        budget=compression.Budget.parse({"parameters": "/2"}),
    )
    plan = Prune(score="l1", round_to=1, min_channels=1).plan(TwoInputs(), context)
    assert plan.after.parameters <= plan.before.parameters / 2
