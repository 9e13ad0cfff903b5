"""Attention with fused projections, as CTranslate2 stores them.

Legend: B batch, Q queries, K keys, H heads, W width of a head, D = H * W.
Source: Vaswani et al., "Attention Is All You Need", 2017.
"""
# ruff: noqa: N803 - shapes by the legend

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from deepseek_apps.translate.shape import Shape


class SelfAttention(nn.Module):
    """Attention of a text to itself.

    Legend: `heads` how many, `project` makes queries, keys and values at once, `out` joins heads.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.project = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(
        self,
        x_BQD: torch.Tensor,
        mask: torch.Tensor | None = None,
        past: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Attend where `mask` is true, or causally without one; the keys and values seen so far.

        With `past` the queries stand behind all its keys, so that each of one query sees them all.
        """
        query, key, value = (split(part, self.heads) for part in self.project(x_BQD).chunk(3, -1))
        if past is not None:
            key, value = torch.cat((past[0], key), 2), torch.cat((past[1], value), 2)
        joined = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None and past is None
        )
        return self.out(merge(joined)), (key, value)


class CrossAttention(nn.Module):
    """Attention of the target to the encoded source.

    Legend: `heads` how many, `query` of the target, `project` makes keys and values of the source,
    `out` joins heads.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.project = nn.Linear(shape.width, 2 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def keys(self, memory_BKD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of an encoded source, which stay the same for all targets."""
        key, value = self.project(memory_BKD).chunk(2, -1)
        return split(key, self.heads), split(value, self.heads)

    def forward(
        self,
        x_BQD: torch.Tensor,
        keys: tuple[torch.Tensor, torch.Tensor],
        mask_B11K: torch.Tensor,
    ) -> torch.Tensor:
        """Attend to the source where the mask is true."""
        query = split(self.query(x_BQD), self.heads)
        joined = functional.scaled_dot_product_attention(query, *keys, attn_mask=mask_B11K)
        return self.out(merge(joined))


def split(x_BQD: torch.Tensor, heads: int) -> torch.Tensor:
    """Heads of a projection: (B, H, Q, W)."""
    return x_BQD.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge(x_BHQW: torch.Tensor) -> torch.Tensor:
    """Heads side by side: (B, Q, D)."""
    return x_BHQW.transpose(1, 2).flatten(2)
