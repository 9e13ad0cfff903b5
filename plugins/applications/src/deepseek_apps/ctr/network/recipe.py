"""What the recipe of a network's training names: its model, data, loss and metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from deepseek_apps.ctr.network.members import KINDS, Shape
from deepseek_apps.ctr.network.samples import NO_FOLD, Samples, read_samples

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Ids (B, F), numbers (B, M), targets (B) and folds (B)."""


def make_model(kind: str, seed: int, **sizes: Any) -> nn.Module:
    """A network of this kind, its weights drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    sizes["hidden"] = tuple(sizes.get("hidden", ()))
    return KINDS[kind](Shape(**sizes), generator)


class Rows(Dataset[int]):
    """Numbers of rows; a batch is gathered at once by `gather`, not row after row.

    Legend:
        `ids`, `numbers`, `target`, `fold`: of all rows.
    """

    def __init__(self, samples: Samples) -> None:
        self.ids = torch.from_numpy(samples.ids)
        self.numbers = torch.from_numpy(samples.numbers)
        self.target = torch.from_numpy(samples.target).float()
        self.fold = torch.from_numpy(samples.fold)

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, row: int) -> int:
        return row

    def gather(self, rows: Sequence[int]) -> Batch:
        """The batch of these rows."""
        at = torch.as_tensor(rows)
        return self.ids[at], self.numbers[at], self.target[at], self.fold[at]


def make_data(path: str, batch: int) -> Any:
    """The rows that members are fitted on."""
    rows = Rows(read_samples(Path(path)).part(fitted=True))
    return DataLoader(rows, batch_size=batch, shuffle=True, collate_fn=rows.gather)


def make_validation(path: str, batch: int) -> Any:
    """The rows that all members are measured on."""
    rows = Rows(read_samples(Path(path)).part(fitted=False))
    return DataLoader(rows, batch_size=batch, collate_fn=rows.gather)


def loss(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy with the model's penalty, over the members that count for each row."""
    logits, penalties, counted = _computed(model, batch)
    total = (counted * (_cross_entropy(logits, batch[2]) + penalties)).sum()
    return total, counted.sum()


def _computed(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, penalties, and which members count for which rows: all but the one that leaves it."""
    ids, numbers, _, fold = batch
    logits, penalties = model(ids, numbers)
    members = torch.arange(logits.shape[1], device=logits.device)
    counted = ((fold[:, None] == NO_FOLD) | (fold[:, None] != members)).to(logits.dtype)
    return logits, penalties, counted


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    wanted = target[:, None].expand_as(logits)
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def log_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The log loss of the members' mean: what the training ends by."""
    logits, _, _ = _computed(model, batch)
    return functional.binary_cross_entropy_with_logits(logits.mean(dim=1), batch[2])
