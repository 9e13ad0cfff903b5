"""What a training minimizes: errors of cells where there are masks, and of whole pictures.

Legend: N pictures, K classes of which 0 is good, h x w px.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepseek_apps.defects.network import CELL

DEFECT_WEIGHT: Final = 3.0  # of a cell that shows one, as few do
_SMOOTHING: Final = 0.05


def loss_of(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """The mean loss of draws as `Draws` makes them; see `inspection_loss`."""
    x = batch["x"].contiguous(memory_format=torch.channels_last)
    cells, pictures = model(x)
    return inspection_loss(cells, pictures, batch)


def inspection_loss(cells: Tensor, pictures: Tensor, batch: Mapping[str, Any]) -> Tensor:
    """Cross-entropy of pictures, plus that of cells, or of the worst cell where no mask is known.

    `cells` are (N, K, h / 4, w / 4), `pictures` (N, K). A good picture has no defect in any cell,
    mask or not. Of a defect whose place is unknown, one cell at least must show its class: that is
    multiple-instance learning (Dietterich 1997) with the soft maximum of the cells.
    """
    labels, masked = batch["label"], batch["masked"].bool() | (batch["label"] == 0)
    whole = functional.cross_entropy(pictures.float(), labels, label_smoothing=_SMOOTHING)
    known = _cells_known(cells.float(), labels, batch["mask"]) * masked
    unknown = _worst_cell(cells.float(), labels) * ~masked
    return whole + (known + unknown).mean()


def _cells_known(cells: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """The weighted mean over all cells of a batch, as one number for each picture, (N,)."""
    shown = functional.max_pool2d(mask[:, None], CELL)[:, 0].long() * labels[:, None, None]
    weights = torch.where(shown > 0, DEFECT_WEIGHT, 1.0)
    losses = functional.cross_entropy(cells, shown, reduction="none") * weights
    return losses.sum((1, 2)) * len(cells) / weights.sum()


def _worst_cell(cells: Tensor, labels: Tensor) -> Tensor:
    """The loss of the soft maximum over cells of the class's score above that of good, (N,)."""
    above = cells.gather(1, labels[:, None, None, None].expand(-1, 1, *cells.shape[2:]))[:, 0]
    return functional.softplus(-(above - cells[:, 0]).flatten(1).logsumexp(1))
