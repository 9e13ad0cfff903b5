"""The joint loss: right answers, from all modalities and from each, and one space for all.

- Cross-entropy of the joined answer.
- Cross-entropy of each modality's own head. Without it the modality that learns fastest wins and
  the others stop learning (Wang et al. 2020, arXiv 1905.12681).
- Contrast: vectors of one sample, or of one class, are to be near each other. With pairs alone it
  is InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) in the symmetric form with a learned
  temperature (Radford et al. 2021, arXiv 2103.00020). With few classes a batch is full of
  negatives that are of the same class, and the supervised form (Khosla et al. 2020, arXiv
  2004.11362) takes each pair of one class as a positive.

Legend: B samples, E width of a projection, M modalities, R = rows of all modalities together.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Final, Literal

import attrs
import torch
from torch import nn
from torch.nn import functional

from deepseek_core import errors
from deepseek_fusion.model import Answer

Contrast = Literal["none", "pairs", "classes"]
CONTRASTS: Final[tuple[Contrast, ...]] = ("none", "pairs", "classes")
_COLDEST: Final = 0.01  # CLIP's bound: a smaller temperature makes the training unstable


class Temperature(nn.Module):
    """A learned temperature, kept as its logarithm so that it stays above zero."""

    def __init__(self, first: float = 0.1) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(first)))

    def forward(self) -> torch.Tensor:
        """Return the temperature, 0.01 at least."""
        return self.log.exp().clamp(min=_COLDEST)


def info_nce(
    one_be: torch.Tensor, other_be: torch.Tensor, temperature: torch.Tensor
) -> torch.Tensor:
    """Return InfoNCE of two modalities of the same samples, averaged over both directions.

    Rows are unit vectors. Zero samples give zero, for there is nothing to tell apart.
    """
    if not len(one_be):
        return one_be.sum()
    score_bb = one_be @ other_be.T / temperature
    own = torch.arange(len(one_be), device=one_be.device)
    forward, backward = (functional.cross_entropy(s, own) for s in (score_bb, score_bb.T))
    return (forward + backward) / 2


def supervised_contrast(
    rows_re: torch.Tensor, classes_r: torch.Tensor, temperature: torch.Tensor
) -> torch.Tensor:
    """Return the supervised contrastive loss of unit vectors (Khosla 2020, equation 2).

    A row without another one of its class has no positive and is left out of the mean.
    """
    same_rr = classes_r[:, None] == classes_r
    itself_rr = torch.eye(len(rows_re), dtype=torch.bool, device=rows_re.device)
    score_rr = (rows_re @ rows_re.T / temperature).masked_fill(itself_rr, float("-inf"))
    log_share_rr = score_rr.log_softmax(1)
    positive_rr = same_rr & ~itself_rr
    kept = positive_rr.any(1)
    sums = torch.where(positive_rr, log_share_rr, 0.0).sum(1)[kept]
    loss = -(sums / positive_rr.sum(1)[kept])
    return loss.mean() if len(loss) else rows_re.sum() * 0.0


@attrs.frozen(kw_only=True)
class JointLoss:
    """Weights of the parts: `auxiliary` heads, and `contrast` of a sort beside the answer.

    Raises:
        ConfigError: a weight below zero, or an unknown sort.
    """

    auxiliary: float = 1.0
    contrast: float = 0.3
    sort: str = "classes"

    def __attrs_post_init__(self) -> None:
        if self.sort not in CONTRASTS:
            raise errors.ConfigError(
                f"there is no contrast {self.sort!r}", remedy=f"there are: {', '.join(CONTRASTS)}"
            )
        if min(self.auxiliary, self.contrast) < 0:
            raise errors.ConfigError(
                f"weights of the loss must be 0 or more, got {self.auxiliary} and {self.contrast}",
                remedy="0 turns a part off",
            )

    def of(
        self, answer: Answer, classes_b: torch.Tensor, temperature: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss of a batch, the contrast included."""
        joined = functional.cross_entropy(answer.logits, classes_b)
        whole = joined + self.auxiliary * single_loss(answer, classes_b)
        if self.contrast and self.sort != "none":
            whole = whole + self.contrast * self._contrast(answer, classes_b, temperature)
        return whole

    def _contrast(
        self, answer: Answer, classes_b: torch.Tensor, temperature: torch.Tensor
    ) -> torch.Tensor:
        if self.sort == "pairs":
            return pairwise_contrast(answer, temperature)
        there = answer.present.T.flatten()
        rows_re = torch.cat(answer.vectors)[there]
        classes_r = classes_b.repeat(len(answer.vectors))[there]
        return supervised_contrast(rows_re, classes_r, temperature)


def single_loss(answer: Answer, classes_b: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropies of the single heads, each over the samples that have it, summed.

    As the only loss it trains a model for each modality apart, for nothing connects them.
    """
    total = answer.logits.new_zeros(())
    for at, logits in enumerate(answer.single):
        there = answer.present[:, at]
        lost_b = functional.cross_entropy(logits, classes_b, reduction="none")
        total = total + torch.where(there, lost_b, 0.0).sum() / there.sum().clamp(min=1)
    return total


def pairwise_contrast(answer: Answer, temperature: torch.Tensor) -> torch.Tensor:
    """Return InfoNCE of each two modalities, over the samples that have both, averaged."""
    found = []
    for one, other in combinations(range(len(answer.vectors)), 2):
        both = answer.present[:, one] & answer.present[:, other]
        found.append(info_nce(answer.vectors[one][both], answer.vectors[other][both], temperature))
    return torch.stack(found).mean() if found else answer.logits.new_zeros(())
