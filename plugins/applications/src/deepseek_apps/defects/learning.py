"""What the recipe of a training names: the network, its draws and its learning rate.

The recipe's `kwargs` say where the prepared data are; see `training.recipe`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from deepseek_apps.defects.drawing import Draws, Variation
from deepseek_apps.defects.kept import Kept
from deepseek_apps.defects.losses import loss_of as _loss_of
from deepseek_apps.defects.network import make
from deepseek_apps.defects.options import AXES

loss_of: Final = _loss_of
"""Draws to train with, as one number; the recipe names it here."""
_WARM: Final = 0.1  # of the steps until the rate is at its highest


def network(data: str, kind: str, width: int) -> nn.Module:
    """The network for the data of a folder, its numbers drawn at random."""
    kept = Kept(Path(data))
    return make(kind, channels=kept.colors + 1, classes=len(kept.classes), width=width)


def variation_of(flips: str, light: str) -> Variation:
    """How much draws may differ from their pictures, by the options of those names."""
    rows, columns = (axis in AXES[flips] for axis in (2, 3))
    return Variation(flips=(rows, columns), uneven=light == "uneven")


def draws(
    data: str, length: int, batch: int, *, seed: int, flips: str, light: str
) -> DataLoader[Any]:
    """All draws of a training, in their own order."""
    kept = Kept(Path(data))
    variation = variation_of(flips, light)
    made = Draws(kept, kept.rows("train"), length, seed, variation)
    return DataLoader(made, batch_size=batch, shuffle=False)


def rate(optimizer: Optimizer, steps: int) -> LambdaLR:
    """A rate that rises for a tenth of the steps and falls to 0 by a cosine."""
    from math import cos, pi

    def share(step: int) -> float:
        warm = max(1, int(_WARM * steps))
        if step < warm:
            return (step + 1) / warm
        return 0.5 + 0.5 * cos(pi * min(1.0, (step - warm) / max(1, steps - warm)))

    return LambdaLR(optimizer, share)
