"""WaveNet computes the sums of its definition, and looks back as far as it says and no further."""

import numpy as np
import pytest
import torch
from fusion_streams import sequence, small
from golden_weights import drawn, fill
from naive_wavenet import tokens_of

from deepseek_core import errors
from deepseek_fusion.encoders import WaveNet, WaveNetConfig


@pytest.mark.parametrize("kernel", [2, 3])
def test_tokens_are_the_sums_of_the_definition(kernel):
    config = WaveNetConfig(
        channels=2, strides=(3, 2), residual=5, width=7, kernel=kernel, dilations=(1, 2, 4)
    )
    encoder = fill(WaveNet(config))
    x = drawn("sound", 2, 6 * 19, 2)
    tokens = encoder.encode(x).tokens.detach().numpy()
    for row in range(2):
        assert np.abs(tokens[row] - tokens_of(encoder, x[row].numpy())).max() < 1e-5


def test_a_token_depends_on_its_receptive_field_alone():
    encoder, frames = small("wavenet"), 20
    x = sequence("wavenet", 1, frames)
    wanted = encoder.encode(x).tokens
    assert encoder.receptive == 8
    for frame in (0, 5, 19):
        other = x.clone()
        other[:, 4 * frame : 4 * frame + 4] += 1.0
        changed = (encoder.encode(other).tokens != wanted).any(2)[0].nonzero().flatten()
        assert changed.min() == frame  # causal
        assert changed.max() == min(frame + encoder.receptive, frames) - 1


def test_samples_that_are_no_whole_frame_are_refused_with_what_to_do():
    with pytest.raises(
        errors.TensorMismatch, match=r"10 samples are not whole frames of 4.*pad to 12.*last 2"
    ):
        small("wavenet").encode(torch.randn(1, 10, 2))


def test_a_frame_is_there_where_one_of_its_samples_is():
    encoder, x = small("wavenet"), sequence("wavenet", 1, 3)
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, :5] = True
    assert encoder.encode(x, mask).mask.tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": 1},
        {"dilations": ()},
        {"strides": (0,)},
        {"width": 0},
        {"channels": 2.5},
        {"strides": 5},
        {"width": "3"},
    ],
)
def test_sizes_that_make_no_network_are_refused(changes):
    with pytest.raises(errors.ConfigError):
        WaveNetConfig(**changes)


def test_a_list_of_sizes_is_kept_as_a_tuple():
    assert hash(WaveNetConfig(strides=[5, 4])) == hash(WaveNetConfig(strides=(5, 4)))
