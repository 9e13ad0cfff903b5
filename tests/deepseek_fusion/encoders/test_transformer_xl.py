"""Transformer-XL computes what the published definition computes; how it is cut changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_fusion.encoders import TransformerXL, TransformerXLConfig

GOLDEN = np.load(Path(__file__).parent / "golden" / "transformer_xl.npz")
SIZES = {"vocabulary": 60, "width": 24, "layers": 3, "heads": 2, "head_width": 8, "inner": 40}
CASES = {"plain": ((), 1), "adaptive": ((10, 30), 2)}


def made(filling, case, memory):
    cutoffs, division = CASES[case]
    config = TransformerXLConfig(**SIZES, memory=memory, cutoffs=cutoffs, division=division)
    return filling.fill(TransformerXL(config))


@pytest.mark.parametrize("case", CASES)
def test_a_sequence_within_the_memory_is_that_of_the_reference(filling, case):
    encoder = made(filling, case, memory=20)
    tokens = encoder.encode(torch.from_numpy(GOLDEN["ids"])).tokens
    assert np.abs(tokens.detach().numpy() - GOLDEN[f"{case}_all"]).max() < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_two_segments_with_a_memory_are_those_of_the_reference(filling, case):
    encoder, ids = made(filling, case, memory=5), torch.from_numpy(GOLDEN["ids"])
    state = {"transformer_xl_there": torch.ones(2, 5, dtype=torch.bool)}
    for i in range(3):
        state[f"transformer_xl_memory{i}"] = filling.drawn(f"memory {i}", 6, 2, 24)[1:].transpose(
            0, 1
        )
    for part, piece in enumerate((ids[:, :9], ids[:, 9:])):
        tokens, _, state = encoder.encode(piece, None, state)
        assert np.abs(tokens.detach().numpy() - GOLDEN[f"{case}_part{part}"]).max() < 1e-5
    kept = torch.stack([state[f"transformer_xl_memory{i}"] for i in range(3)])
    assert np.abs(kept.numpy() - GOLDEN[f"{case}_memory"]).max() < 1e-5
