"""ResNeSt computes what the authors' release computes, at any size, and has its weights' shapes."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from deepseek_core import errors
from deepseek_fusion.encoders import ResNeSt, ResNeStConfig
from deepseek_fusion.encoders.parts.split_attention import SplitAttention

GOLDEN = np.load(Path(__file__).parent / "golden" / "resnest.npz")


def small(**changes):
    torch.manual_seed(0)
    return ResNeSt(ResNeStConfig.named("resnest-small", channels=1, **changes)).eval()


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnest50", 27_483_240), ("resnest101", 48_275_016)]
)
def test_parameters_are_as_many_as_published(name, parameters):
    with torch.device("meta"):
        network = ResNeSt(ResNeStConfig.named(name, classes=1000))
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(64, 64), (97, 75)])
def test_resnest50_gives_the_logits_of_the_release(filling, size):
    network = filling.fill(ResNeSt(ResNeStConfig.named("resnest50", classes=10)))
    name = "{}x{}".format(*size)
    with torch.no_grad():
        logits = network(filling.drawn(f"pictures {name}", 2, 3, *size))
    assert np.abs(logits.numpy() - GOLDEN[f"resnest50_{name}"]).max() < 1e-5


@pytest.mark.parametrize(("radix", "groups"), [(1, 1), (2, 2), (4, 1)])
def test_split_attention_is_that_of_the_release(filling, radix, groups):
    layer = filling.fill(SplitAttention(16, radix, groups))
    with torch.no_grad():
        found = layer(filling.drawn("map", 2, 16, 9, 7))
    assert np.abs(found.numpy() - GOLDEN[f"split_{radix}_{groups}"]).max() < 1e-5
