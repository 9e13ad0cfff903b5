"""Parts of the networks: linear layers by member, the FM term, cross layers of DCN-v2.

Legend: K members, B samples, F fields, D numbers a row, I and O widths in and out.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class MemberLinear(nn.Module):
    """A linear layer of each member: (K, B, I) to (K, B, O).

    Legend:
        `weight`: (K, I, O).
        `bias`: (K, 1, O).
    """

    def __init__(
        self, members: int, width_in: int, width_out: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(1, width_in))  # without numbers, a bias is left
        start = torch.rand(members, width_in, width_out, generator=generator)
        self.weight = nn.Parameter((start * 2.0 - 1.0) * bound)
        self.bias = nn.Parameter(torch.zeros(members, 1, width_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        return torch.bmm(x, self.weight) + self.bias


def fm_term(rows: torch.Tensor) -> torch.Tensor:
    """Sum of the products of all pairs of rows: (K, B, F, D) to (K, B).

    By the square of the sum less the sum of the squares, which is linear in F (Rendle,
    "Factorization Machines", ICDM 2010).
    """
    total = rows.sum(dim=2).square() - rows.square().sum(dim=2)
    return 0.5 * total.sum(dim=2)


class CrossLayers(nn.Module):
    """The full-matrix crosses of DCN-v2: `x0 * (W x + b) + x`, layer after layer.

    Wang et al., "DCN V2", WWW 2021, equation 1.

    Legend:
        `layers`: W and b of each.
    """

    def __init__(self, members: int, width: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemberLinear(members, width, width, generator) for _ in range(depth)
        )

    def forward(self, start: torch.Tensor) -> torch.Tensor:
        """Crosses (K, B, I) of inputs of that shape."""
        x = start
        for layer in self.layers:
            x = start * layer(x) + x
        return x
