"""Modality dropout: as often as asked, and never all that a sample has."""

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_fusion.modality_dropout import drop_modalities, kept_bm


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=20),
    share=st.floats(0, 0.99),
    seed=st.integers(0, 1000),
)
def test_a_sample_keeps_one_of_its_own_and_gets_none_that_it_lacks(rows, share, seed) -> None:
    torch.manual_seed(seed)
    present = torch.tensor(rows)
    kept = kept_bm(present, share)
    assert not (kept & ~present).any()
    assert torch.equal(kept.any(1), present.any(1))


def test_it_drops_as_often_as_asked() -> None:
    torch.manual_seed(0)
    masks = [torch.ones(20_000, 2, dtype=torch.bool)] * 3
    kept = torch.stack([mask.all(1) for mask in drop_modalities(masks, 0.3)], 1)
    assert kept.float().mean().item() == pytest.approx(0.7 + 0.3**3 / 3, abs=0.01)
    assert torch.allclose(kept.float().mean(0), kept.float().mean(), atol=0.015)


def test_a_share_of_zero_drops_nothing() -> None:
    masks = [torch.rand(50, 4) < 0.5 for _ in range(3)]
    for mask, kept in zip(masks, drop_modalities(masks, 0.0), strict=True):
        assert torch.equal(mask, kept)
