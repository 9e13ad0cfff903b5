"""Softmax cross-attention (Vaswani et al. 2017), in the place of the gate.

Legend: B samples, T tokens that receive, S tokens that send, D width, H heads, K = D / H.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from deepseek_fusion.join.exchange import Exchange
from deepseek_fusion.join.shape import JoinShape


class PairAttention(nn.Module):
    """The message from the tokens of one modality to those of another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def _heads(self, x_btd: torch.Tensor) -> torch.Tensor:
        return x_btd.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(
        self, f_btd: torch.Tensor, g_bsd: torch.Tensor, mask_bs: torch.Tensor
    ) -> torch.Tensor:
        """Return the message to each receiving token [B, T, D]; zero where none is sent."""
        there = mask_bs.any(1)[:, None]
        allowed = (mask_bs | ~there)[:, None, None]  # a softmax over nothing is NaN
        told_bhtk = functional.scaled_dot_product_attention(
            self._heads(self.query(f_btd)),
            self._heads(self.key(g_bsd)),
            self._heads(self.value(g_bsd)),
            attn_mask=allowed,
        )
        told_btd = told_bhtk.transpose(1, 2).flatten(2)
        return torch.where(there[:, :, None], told_btd, 0.0)


class AttentionJoin(Exchange):
    """Modalities that tell each other by softmax attention."""

    def message(self, shape: JoinShape) -> nn.Module:
        """Make the attention from one modality to another."""
        return PairAttention(shape.width, shape.heads)
