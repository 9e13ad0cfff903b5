"""Transformer-XL computes what the published definition computes, as many parameters too."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_weights import drawn, fill

from deepseek_core import errors
from deepseek_fusion.encoders import TransformerXL, TransformerXLConfig
from deepseek_fusion.encoders.parts.relative_attention import relative_shift

GOLDEN = np.load(Path(__file__).parent / "golden" / "transformer_xl.npz")
SIZES = {"vocabulary": 60, "width": 24, "layers": 3, "heads": 2, "head_width": 8, "inner": 40}
CASES = {"plain": ((), 1), "adaptive": ((10, 30), 2)}
WIKITEXT = {"vocabulary": 267_735, "cutoffs": (20_000, 40_000, 200_000)}


def made(case, memory):
    cutoffs, division = CASES[case]
    config = TransformerXLConfig(**SIZES, memory=memory, cutoffs=cutoffs, division=division)
    return fill(TransformerXL(config))


@pytest.mark.parametrize("case", CASES)
def test_a_sequence_within_the_memory_is_that_of_the_reference(case):
    encoder = made(case, memory=20)
    tokens = encoder.encode(torch.from_numpy(GOLDEN["ids"])).tokens
    assert np.abs(tokens.detach().numpy() - GOLDEN[f"{case}_all"]).max() < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_two_segments_with_a_memory_are_those_of_the_reference(case):
    encoder, ids = made(case, memory=5), torch.from_numpy(GOLDEN["ids"])
    state = {"transformer_xl_there": torch.ones(2, 5, dtype=torch.bool)}
    for i in range(3):
        memory = drawn(f"memory {i}", 6, 2, 24)[1:]
        state[f"transformer_xl_memory{i}"] = memory.transpose(0, 1)
    for part, piece in enumerate((ids[:, :9], ids[:, 9:])):
        tokens, _, state = encoder.encode(piece, None, state)
        assert np.abs(tokens.detach().numpy() - GOLDEN[f"{case}_part{part}"]).max() < 1e-5
    kept = torch.stack([state[f"transformer_xl_memory{i}"] for i in range(3)])
    assert np.abs(kept.numpy() - GOLDEN[f"{case}_memory"]).max() < 1e-5


def test_parameters_are_as_many_as_published():
    """151 M for the base model on WikiText-103 (Dai 2019, table 1), its softmax tied."""
    sizes = {"width": 410, "layers": 16, "heads": 10, "head_width": 41, "inner": 2100}
    with torch.device("meta"):
        base = TransformerXL(TransformerXLConfig(**WIKITEXT, **sizes, memory=150))
    parameters = sum(p.numel() for p in base.parameters())
    assert parameters == 150_850_870  # as transformers 4.35.2 counts TransfoXLModel
    assert round(parameters / 1e6) == 151


def test_the_large_model_has_more_parameters_than_the_table_says():
    """The paper's table says 257 M; its released configuration has 284 M, here and elsewhere."""
    sizes = {"width": 1024, "layers": 18, "heads": 16, "head_width": 64, "inner": 4096}
    with torch.device("meta"):
        large = TransformerXL(TransformerXLConfig(**WIKITEXT, **sizes, division=4, memory=384))
    # as transformers 4.35.2 counts TransfoXLModel
    assert sum(p.numel() for p in large.parameters()) == 283_885_936


@pytest.mark.parametrize(("steps", "keys"), [(1, 1), (1, 6), (4, 4), (3, 8)])
def test_the_relative_shift_puts_a_distance_beside_its_key(steps, keys):
    far = torch.arange(keys - 1, -1, -1, dtype=torch.float32).expand(1, 1, steps, keys)
    shifted = relative_shift(far)[0, 0]
    for t in range(steps):
        for k in range(keys - steps + t + 1):  # what it may see
            assert shifted[t, k] == keys - steps + t - k


@pytest.mark.parametrize("ids", [[[0, 60]], [[-1, 3]]])
def test_ids_beyond_the_vocabulary_are_refused(ids):
    encoder = TransformerXL(TransformerXLConfig(**SIZES))
    with pytest.raises(errors.InputError, match="from 0 to 59"):
        encoder.encode(torch.tensor(ids))
    hidden = torch.tensor(ids).clamp(0, 59) != torch.tensor(ids)
    assert torch.isfinite(encoder.encode(torch.tensor(ids), ~hidden).tokens).all()


@pytest.mark.parametrize("x", [torch.zeros(2, 5), torch.zeros(2, 5, 3, dtype=torch.int64)])
def test_what_are_no_ids_is_refused(x):
    with pytest.raises(errors.TensorMismatch, match="whole numbers"):
        TransformerXL(TransformerXLConfig(**SIZES)).encode(x)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": 4},
        {"vocabulary": 0},
        {"width": 25},
        {"cutoffs": (30, 10)},
        {"cutoffs": (60,)},
        {"cutoffs": (10, 30), "division": 10},
        {"cutoffs": "ab"},
        {"cutoffs": (-3,)},
        {"dropout": float("nan")},
        {"memory": 0},
        {"dropout": 1.0},
        {"heads": True},
    ],
)
def test_sizes_that_make_no_network_are_refused(changes):
    with pytest.raises(errors.ConfigError):
        TransformerXLConfig(**{**SIZES, **changes})
