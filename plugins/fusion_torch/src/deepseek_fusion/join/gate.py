"""The dynamic gating unit: each token takes what it lets in from another modality.

alpha_ij = sigmoid(Wq^T f_i + Wk^T g_j + b), one number a head for each pair of tokens. The score
is additive, so of rank 1 before the sigmoid. Unlike in a softmax the pairs do not compete: a
token may let in nothing at all, so a modality that only misleads can be shut out. The message is
divided by the number of valid tokens that it is of, or it would grow with their number.

Legend: B samples, T tokens that receive, S tokens that send, D width, H heads, K = D / H.
"""

from __future__ import annotations

import torch
from torch import nn

from deepseek_fusion.join.contract import Parts, valid_count
from deepseek_fusion.join.exchange import Exchange
from deepseek_fusion.join.late import LateFusion
from deepseek_fusion.join.shape import JoinShape


class PairGate(nn.Module):
    """The message from the tokens of one modality to those of another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, heads, bias=False)
        self.key = nn.Linear(width, heads)
        self.value = nn.Linear(width, width)
        nn.init.zeros_(self.key.bias)  # half open: a gate that begins shut learns nothing

    def alpha(
        self, f_btd: torch.Tensor, g_bsd: torch.Tensor, mask_bs: torch.Tensor
    ) -> torch.Tensor:
        """Tell how far each pair is let through [B, T, S, H]; zero from masked tokens."""
        open_btsh = torch.sigmoid(self.query(f_btd)[:, :, None] + self.key(g_bsd)[:, None])
        return torch.where(mask_bs[:, None, :, None], open_btsh, 0.0)

    def forward(
        self, f_btd: torch.Tensor, g_bsd: torch.Tensor, mask_bs: torch.Tensor
    ) -> torch.Tensor:
        """Return the message to each receiving token [B, T, D]."""
        alpha_btsh = self.alpha(f_btd, g_bsd, mask_bs)
        value_bshk = self.value(g_bsd).unflatten(2, (alpha_btsh.shape[3], -1))
        told_bthk = torch.einsum("btsh,bshk->bthk", alpha_btsh, value_bshk)
        return told_bthk.flatten(2) / valid_count(mask_bs)[:, :, None]


class GatedJoin(Exchange):
    """Modalities that tell each other through dynamic gates."""

    def message(self, shape: JoinShape) -> nn.Module:
        """Make the gate from one modality to another."""
        return PairGate(shape.width, shape.heads)


class GateOverLate(GatedJoin):
    """Late fusion, corrected by the gate: the sum of both answers.

    Late fusion is right where modalities are independent given the class; the gate has to learn
    what is not, and begins as no correction at all. The single heads learn by their own loss
    alone: with that of the sum they would stop as soon as one of them is right.
    """

    def __init__(self, shape: JoinShape) -> None:
        super().__init__(shape)
        self.late = LateFusion(shape)
        last = self.head[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, parts: Parts) -> torch.Tensor:
        """Return what all modalities together say [B, C]."""
        told: torch.Tensor = self.late(parts._replace(answers=[a.detach() for a in parts.answers]))
        return told + super().forward(parts)
