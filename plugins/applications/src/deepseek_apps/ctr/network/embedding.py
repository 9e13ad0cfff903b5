"""The embedding table of all fields: one block of rows, each field at its offset.

Legend: K members, R rows, F fields, D numbers a row, B samples.
"""

from __future__ import annotations

import torch
from torch import nn

_SPREAD = 0.01


class EmbeddingTable(nn.Module):
    """Rows of every field of every member, in one parameter (K, R, D).

    Legend:
        `weight`: the rows.
    """

    def __init__(self, *, members: int, rows: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        start = torch.randn(members, rows, width, generator=generator) * _SPREAD
        self.weight = nn.Parameter(start)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows (K, B, F, D) of ids (B, F), which have their field's offset in them."""
        members, _, width = self.weight.shape
        picked = self.weight.index_select(1, ids.reshape(-1))
        return picked.view(members, *ids.shape, width)


def squares_of(rows: torch.Tensor) -> torch.Tensor:
    """Sum of squares (K, B) of the rows that each sample used.

    An L2 penalty of these alone leaves rows of rare categories as they are in steps that do not
    see them; one on the whole table would shrink them in each.
    """
    return rows.square().sum(dim=(2, 3))
