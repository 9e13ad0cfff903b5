"""Cross-entropy with label smoothing (Szegedy et al. 2016), over tokens that are no padding."""
# ruff: noqa: N806 - shapes by the legend of feeding.py

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from deepseek_apps.translate.feeding import Batch
from deepseek_apps.translate.special import PAD


class SmoothedLoss(nn.Module):
    """A translator that tells its own loss, so that a recipe's loss needs no argument.

    Legend: `translator` the model, `smoothing` the share of each target that all tokens share.
    """

    def __init__(self, translator: nn.Module, smoothing: float) -> None:
        super().__init__()
        self.translator, self.smoothing = translator, smoothing

    def forward(self, batch: Batch) -> torch.Tensor:
        """The sum over the tokens of a batch; in evaluation without smoothing."""
        source_BS, begun_BT, ended_BT = batch
        states_BTD = self.translator(source_BS, begun_BT)
        counted = ended_BT != PAD
        logits = self.translator.project(states_BTD[counted])
        return functional.cross_entropy(
            logits.float(),
            ended_BT[counted],
            reduction="sum",
            label_smoothing=self.smoothing if self.training else 0.0,
        )


def loss_of(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """The loss of a batch and over how many tokens; what a recipe names."""
    return model(batch), int((batch[2] != PAD).sum())
