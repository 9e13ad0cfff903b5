"""Modalities that tell each other: messages between all pairs, then one vector of all.

Each token is added what the other modalities tell it (a residual path, normalized before: so a
token that is told nothing is as it was). Messages are divided by how many modalities are there,
or a missing one would change the scale that the rest was trained with.

Legend: B samples, T tokens, D width, M modalities.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from deepseek_fusion.join.contract import VectorJoin, masked_mean, present_bm
from deepseek_fusion.join.shape import JoinShape


class Exchange(VectorJoin):
    """Messages between all pairs of modalities; what sends them is up to a subclass."""

    def __init__(self, shape: JoinShape) -> None:
        super().__init__(shape.width, shape.classes, shape.dropout)
        self.count = shape.modalities  # M
        self.pairs = nn.ModuleDict(
            {f"{j}_to_{i}": self.message(shape) for i in range(self.count) for j in self._others(i)}
        )
        self.before, self.after = (
            nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(self.count)) for _ in range(2)
        )
        self.out = nn.ModuleList(nn.Linear(shape.width, shape.width) for _ in range(self.count))

    @abstractmethod
    def message(self, shape: JoinShape) -> nn.Module:
        """Make what sends from one modality to another: (f, g, mask of g) -> [B, T, D]."""

    def _others(self, i: int) -> list[int]:
        return [j for j in range(self.count) if j != i]

    def fuse(self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return one vector [B, D] of all modalities."""
        pairs = zip(tokens, masks, strict=True)
        tokens = [torch.where(mask[:, :, None], one, 0.0) for one, mask in pairs]  # 0 * NaN is NaN
        normed = [norm(one) for norm, one in zip(self.before, tokens, strict=True)]
        present = present_bm(masks)
        said = []
        for i in range(self.count):
            mixed_btd = self.after[i](tokens[i] + self._told(i, normed, masks))
            said.append(self.out[i](masked_mean(mixed_btd, masks[i])) * present[:, i, None])
        return torch.stack(said).sum(0)

    def _told(
        self, i: int, normed: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        others = self._others(i)
        told = [self.pairs[f"{j}_to_{i}"](normed[i], normed[j], masks[j]) for j in others]
        there = present_bm([masks[j] for j in others]) if others else None
        if there is None:
            return torch.zeros_like(normed[i])
        return torch.stack(told).sum(0) / there.sum(1).clamp(min=1)[:, None, None]
