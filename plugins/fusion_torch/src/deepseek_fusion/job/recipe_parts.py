"""What a recipe of the job names: model, data and loss, for the process that trains.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from deepseek_fusion.job.kept import read_part, read_prepared
from deepseek_fusion.job.network import Network
from deepseek_fusion.losses import JointLoss, single_loss
from deepseek_fusion.model import FusionShape


class Part(Dataset[int]):
    """Rows of a part; a sample is its number, and a batch is cut out of the arrays at once."""

    def __init__(self, folder: Path, part: str) -> None:
        arrays, classes = read_part(folder, part)
        self._arrays = {name: torch.from_numpy(values) for name, values in arrays.items()}  # (N, *)
        self._classes = torch.from_numpy(classes)  # (N,)

    def __len__(self) -> int:
        """Count rows."""
        return len(self._classes)

    def __getitem__(self, number: int) -> int:
        """Return the number, which is all that a batch needs.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        return number

    def batch(self, numbers: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return (arrays, classes) of these rows."""
        rows = torch.from_numpy(np.asarray(numbers, np.int64))
        return {name: values[rows] for name, values in self._arrays.items()}, self._classes[rows]


def make_data(folder: str, part: str, batch: int) -> DataLoader[int]:
    """Make the loader of a part."""
    rows = Part(Path(folder), part)
    return DataLoader(rows, batch_size=batch, shuffle=part == "train", collate_fn=rows.batch)


def make_model(folder: str, join: str, width: int, weights: dict[str, Any]) -> Network:
    """Make the network for prepared data; `weights` are of the loss and of modality dropout."""
    form = read_prepared(Path(folder)).form
    shape = FusionShape(
        classes=len(form.labels),
        join=join,
        width=width,
        modality_dropout=weights["modality_dropout"],
    )
    network = Network(form, shape)
    network.loss = JointLoss(contrast=weights["contrast"], sort=weights["sort"])
    return network


def loss_of(model: Network, batch: Any) -> torch.Tensor:
    """Return the loss of a batch.

    Late fusion gets the losses of its single models alone: nothing of one reaches another then.
    """
    arrays, classes = batch
    answer = model(arrays)
    if model.fusion.shape.join == "late":
        return single_loss(answer, classes)
    return model.loss.of(answer, classes, model.temperature())
