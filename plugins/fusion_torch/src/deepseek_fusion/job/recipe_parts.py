"""What a recipe of the job names: model, data and loss, for the process that trains.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from deepseek_fusion.job.items import Form
from deepseek_fusion.job.kept import read_part, read_prepared
from deepseek_fusion.job.layout import BASELINE, JOINED
from deepseek_fusion.job.network import Network
from deepseek_fusion.losses import JointLoss, single_loss
from deepseek_fusion.model import Answer, FusionShape


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


class Pair(nn.Module):
    """The joined network and that of late fusion, trained side by side on the same rows.

    They share no parameter and no term of the loss, and AdamW steps each number by itself: so
    each comes out as it would alone, for one start of a process and one reading of the data.
    """

    def __init__(self, form: Form, join: str, width: int, weights: Mapping[str, Any]) -> None:
        super().__init__()
        for name, kind in ((JOINED, join), (BASELINE, "late")):
            shape = FusionShape(
                classes=len(form.labels),
                join=kind,
                width=width,
                modality_dropout=weights["modality_dropout"],
            )
            self.add_module(name, Network(form, shape))
        loss = JointLoss(contrast=weights["contrast"], sort=weights["sort"])
        self.get_submodule(JOINED).loss = loss

    def forward(self, arrays: Mapping[str, torch.Tensor]) -> tuple[Answer, Answer]:
        """Answer by both."""
        return self.get_submodule(JOINED)(arrays), self.get_submodule(BASELINE)(arrays)


def make_model(folder: str, join: str, width: int, weights: dict[str, Any]) -> Pair:
    """Make both networks for prepared data; `weights` are of the loss and of modality dropout."""
    return Pair(read_prepared(Path(folder)).form, join, width, weights)


def loss_of(model: Pair, batch: Any) -> torch.Tensor:
    """Return the sum of both losses."""
    arrays, classes = batch
    joined, late = model(arrays)
    network: Any = model.get_submodule(JOINED)
    return network.loss_of(joined, classes) + single_loss(late, classes)
