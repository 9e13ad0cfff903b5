"""Batches as tensors: what a training and a dev loss read.

Legend: B batch, S tokens of the source, T tokens of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from deepseek_apps.translate.batching import Example
from deepseek_apps.translate.special import BEGIN, END, PAD
from deepseek_apps.translate.tasks import Row, Task

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Source (B, S), target with its beginning (B, T), target with its end (B, T)."""


class Batches:
    """A dataset whose samples are whole updates.

    Legend: `tasks` and `plan` say which examples, `seed` what noise they get.
    """

    def __init__(self, tasks: Sequence[Task], plan: Sequence[Sequence[Example]], seed: int) -> None:
        self.tasks, self.plan, self.seed = tasks, plan, seed

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([self.seed, 2, number])
        chosen = [(self.tasks[task], example) for task, example in self.plan[number]]
        sources = [task.source(example, rng) for task, example in chosen]
        return tensors(sources, [task.targets[example] for task, example in chosen])


def tensors(sources: Sequence[Row], targets: Sequence[Row]) -> Batch:
    """A batch of rows."""
    begun = [[BEGIN, *row] for row in targets]
    ended = [[*row, END] for row in targets]
    return padded(sources), padded(begun), padded(ended)


def padded(rows: Sequence[Row]) -> torch.Tensor:
    """Rows side by side, filled up at their ends."""
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
