"""Magnetic tiles, defect or free: what `tiles.toml` names as model, data, threshold and metric.

`$DEEPSEEK_DATA` names a folder with `magnetic_tile_96.npz`; `tile_data.py` says what that is.
`$TILES_FOLD`, 0 to 4, says which fifth of it is the test.
Tiles are upscaled from 96 px to the 224 px that the network eats; it scores cells of 16 x 16 px,
and a tile by the most suspicious one.

An inspector sets a line by the share of good tiles that may be stopped for a second look, and asks
how many of the defects are caught then. So the threshold is chosen on validation tiles, by false
alarms, for each model; recall is that of test tiles.
"""

from pathlib import Path

import numpy as np
import torch
from resnet import tile_resnet
from tile_data import SIDE, Tiles, fold_asked, parts
from torch.nn import functional
from weights import read_weights

from deepseek_core import errors

HERE = Path(__file__).parent
SHAPE = (1, 2, SIDE, SIDE)
FALSE_ALARMS = 0.05  # of good tiles
DEFECT_WEIGHT = 6.0  # of a cell, as few have one


def train() -> Tiles:
    """Tiles to learn from, mirrored, shifted and lit again in each epoch."""
    return parts(fold_asked())["train"].at(varied=True)


def validation() -> Tiles:
    """Tiles that the threshold is chosen on."""
    return parts(fold_asked())["validation"]


def test() -> Tiles:
    """Tiles to judge by: nothing is chosen on them."""
    return parts(fold_asked())["test"]


def trained(weights: str | None = None) -> torch.nn.Module:
    """The network, with the weights that `train_tiles.py` left; drawn at random without any.

    Raises:
        ArtifactError: no such file, a damaged one, or one of another network.
    """
    torch.manual_seed(0)
    model = tile_resnet()
    if weights is not None:
        read_weights(model, Path(weights), "train_tiles.py")
    return model.eval()


def loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of cells, and of the whole tile by the soft maximum of its cells."""
    weight = outputs.new_tensor([1.0, DEFECT_WEIGHT]).float()
    of_cells = functional.cross_entropy(outputs.float(), labels, weight=weight)
    scores = (outputs[:, 1] - outputs[:, 0]).float().flatten(1).logsumexp(1)
    found = labels.flatten(1).any(1).float()
    return of_cells + functional.binary_cross_entropy_with_logits(scores, found)


def threshold(outputs: np.ndarray, labels: np.ndarray) -> float:
    """The lowest score that at most 5 % of the good tiles exceed.

    Raises:
        InputError: there are no good tiles, or a score is not a number.
    """
    good = np.sort(scores(outputs)[~defects(labels)])
    if not len(good) or not np.isfinite(good).all():
        raise errors.InputError(
            f"no threshold can be chosen by the scores of {len(good)} good tiles",
            remedy="give validation tiles without defects, and finite weights",
        )
    return float(good[len(good) - 1 - int(FALSE_ALARMS * len(good))])


def recall(outputs: np.ndarray, labels: np.ndarray, threshold: float) -> np.ma.MaskedArray:
    """Whether each defect is caught; good tiles are masked: they do not count."""
    return np.ma.array(caught(outputs, threshold), mask=~defects(labels))


def false_alarms(outputs: np.ndarray, labels: np.ndarray, threshold: float) -> np.ma.MaskedArray:
    """Whether each good tile is stopped; tiles with a defect are masked."""
    return np.ma.array(caught(outputs, threshold), mask=defects(labels))


def caught(outputs: np.ndarray, threshold: float) -> np.ndarray:
    """Whether each tile is stopped; one whose score is not a number is not."""
    return scores(outputs) > threshold


def scores(outputs: np.ndarray) -> np.ndarray:
    """How much the worst cell of a tile looks like a defect, [N]."""
    return (outputs[:, 1] - outputs[:, 0]).max((1, 2))


def defects(labels: np.ndarray) -> np.ndarray:
    """Whether a tile has one, bool [N]."""
    return labels.any((1, 2))
