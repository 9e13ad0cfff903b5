"""What a way to join modalities is: tokens, masks and single answers in, one answer out.

Legend: B samples, T tokens of one modality, D width, C classes, M modalities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn


class Parts(NamedTuple):
    """What is known of each modality, in the order of the model's modalities.

    `tokens` are [B, T, D], `masks` [B, T] are true at valid ones, and `answers` [B, C] are the
    logits of a head that sees this modality alone.
    """

    tokens: Sequence[torch.Tensor]
    masks: Sequence[torch.Tensor]
    answers: Sequence[torch.Tensor]


class Join(nn.Module, ABC):
    """Joins M modalities into logits [B, C].

    A modality that a sample lacks is one without a valid token: it must not change what comes
    out, whatever numbers stand in its place.
    """

    @abstractmethod
    def forward(self, parts: Parts) -> torch.Tensor:
        """Return what all modalities together say [B, C]."""


class VectorJoin(Join):
    """A join that makes one vector [B, D] of all, and an answer of that."""

    def __init__(self, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes))

    @abstractmethod
    def fuse(self, tokens: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return one vector [B, D] of all modalities."""

    def forward(self, parts: Parts) -> torch.Tensor:
        """Return what all modalities together say [B, C]."""
        logits: torch.Tensor = self.head(self.fuse(parts.tokens, parts.masks))
        return logits


def valid_count(mask_bt: torch.Tensor) -> torch.Tensor:
    """Count valid tokens [B, 1], 1 where there is none, so that nothing is divided by zero."""
    return mask_bt.sum(1, keepdim=True).clamp(min=1)


def masked_mean(tokens_btd: torch.Tensor, mask_bt: torch.Tensor) -> torch.Tensor:
    """Average the valid tokens [B, D]; zero where there is none.

    What stands at other places is left out by choice, not by a product: 0 * NaN is NaN.
    """
    kept = torch.where(mask_bt[:, :, None], tokens_btd, 0.0)
    return kept.sum(1) / valid_count(mask_bt)


def present_bm(masks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Tell which modalities each sample has [B, M]."""
    return torch.stack([mask.any(1) for mask in masks], dim=1)
