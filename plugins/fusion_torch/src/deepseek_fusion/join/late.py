"""Late fusion: what each modality's own model says, summed as log-probabilities.

Right where modalities are independent given the class, and the baseline that is hardest to beat.
Nothing of one modality reaches another: with the cross-entropy of the single heads as the only
loss, each is trained as it would be alone.
"""

from __future__ import annotations

import torch

from deepseek_fusion.join.contract import Join, Parts, present_bm
from deepseek_fusion.join.shape import JoinShape


class LateFusion(Join):
    """The sum of log-probabilities of the modalities that a sample has."""

    def __init__(self, shape: JoinShape) -> None:
        super().__init__()
        self.classes = shape.classes

    def forward(self, parts: Parts) -> torch.Tensor:
        """Return what all modalities together say [B, C]; zeros where none is there."""
        said = torch.stack([answer.log_softmax(1) for answer in parts.answers], dim=1)
        return torch.where(present_bm(parts.masks)[:, :, None], said, 0.0).sum(1)
