"""Modality dropout: in training, whole modalities of a sample are taken away at random.

It serves two ends: a model that is asked with a part of the modalities has seen that before, and
the one that learns fastest can't carry the answer alone (ModDrop: Neverova et al. 2015,
arXiv 1501.00102).

Legend: B samples, M modalities, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def kept_bm(present_bm: torch.Tensor, share: float) -> torch.Tensor:
    """Draw which modalities stay [B, M]; one that was there stays always.

    A sample that would lose all keeps one of its own, drawn with equal chance.
    """
    draw = torch.rand(present_bm.shape, device=present_bm.device)
    kept = present_bm & (draw >= share)
    luckiest = torch.where(present_bm, draw, -1.0).argmax(1)
    rescued = torch.nn.functional.one_hot(luckiest, present_bm.shape[1]).bool() & present_bm
    return torch.where(kept.any(1, keepdim=True), kept, rescued)


def drop_modalities(masks: Sequence[torch.Tensor], share: float) -> list[torch.Tensor]:
    """Return masks [B, T] in which a `share` of the modalities has no valid token."""
    present = torch.stack([mask.any(1) for mask in masks], dim=1)
    kept = kept_bm(present, share)
    return [mask & kept[:, at, None] for at, mask in enumerate(masks)]
