"""What the recipe of a training names: its model, its data, its loss and its rate.

They run in a process of `ds-sdk train run`, which gives each the folder of the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import torch
from torch.utils.data import DataLoader

from deepseek_apps.translate.batching import cut, plan
from deepseek_apps.translate.feeding import Batch, Batches
from deepseek_apps.translate.loss import SmoothedLoss, loss_of
from deepseek_apps.translate.model import Translator
from deepseek_apps.translate.prepared import VOCABULARY, read_prepared
from deepseek_apps.translate.run_folder import Run, read_run
from deepseek_apps.translate.tasks import make_tasks
from deepseek_apps.translate.vocabulary import Vocabulary

__all__ = ["loss_of", "make_data", "make_dev", "make_model", "make_rates"]


def make_model(folder: str) -> SmoothedLoss:
    """The translator of the run with its loss, before its first update."""
    run = read_run(Path(folder))
    return SmoothedLoss(Translator(run.shape, run.options.dropout), run.options.smoothing)


def make_data(folder: str) -> DataLoader[Any]:
    """The updates of the run, in their order."""
    run = read_run(Path(folder))
    tasks = make_tasks(*_texts(run), run.options)
    return _loader(Batches(tasks, plan(tasks, run.options, run.seed), run.seed))


def make_dev(folder: str) -> DataLoader[Any]:
    """The validation part of the main task, in batches of like length."""
    run = read_run(Path(folder))
    data, vocabulary = _texts(run)
    held = attrs.evolve(data, train=data.validation)
    tasks = make_tasks(held, vocabulary, attrs.evolve(run.options, tasks="main"))
    examples = [(0, number) for number in range(len(tasks[0]))]
    return _loader(Batches(tasks, cut(examples, tasks, run.options.batch_tokens), run.seed))


def make_rates(optimizer: torch.optim.Optimizer, folder: str) -> torch.optim.lr_scheduler.LambdaLR:
    """A rate that rises over the warmup and then falls in a line, to nothing after the last."""
    options = read_run(Path(folder)).options
    warmup, updates = min(options.warmup, options.updates), options.updates

    def share(update: int) -> float:
        return min((update + 1) / warmup, (updates - update) / max(1, updates - warmup))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: max(0.0, share(update)))


def _texts(run: Run) -> tuple[Any, Vocabulary]:
    vocabulary = Vocabulary.load(run.data / VOCABULARY, run.vocabulary)
    return read_prepared(run.data), vocabulary


def _loader(batches: Batches) -> DataLoader[Any]:
    return DataLoader(batches, batch_size=1, shuffle=False, collate_fn=_only)


def _only(samples: list[Batch]) -> Batch:
    (batch,) = samples
    return batch
