"""Concatenation: the mean of each modality, side by side, through one network.

Legend: B samples, M modalities, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from deepseek_fusion.join.contract import VectorJoin, masked_mean, present_bm
from deepseek_fusion.join.shape import JoinShape


class Concatenation(VectorJoin):
    """Means of all modalities side by side [B, M * D], then a hidden layer."""

    def __init__(self, shape: JoinShape) -> None:
        super().__init__(shape.width, shape.classes, shape.dropout)
        many = shape.modalities * shape.width
        self.absent = nn.Parameter(torch.zeros(shape.modalities, shape.width))  # for the missing
        self.mix = nn.Sequential(
            nn.Linear(many, shape.width), nn.GELU(), nn.Linear(shape.width, shape.width)
        )

    def fuse(self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return one vector [B, D] of all modalities."""
        pairs = zip(tokens, masks, strict=True)
        means_bmd = torch.stack([masked_mean(*pair) for pair in pairs], dim=1)
        means_bmd = torch.where(present_bm(masks)[:, :, None], means_bmd, self.absent)
        fused: torch.Tensor = self.mix(means_bmd.flatten(1))
        return fused
