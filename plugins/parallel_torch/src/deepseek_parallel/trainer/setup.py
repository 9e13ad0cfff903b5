"""All that a trainer was given, checked: the parts of a training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from torch import nn
from torch.optim import Optimizer

from deepseek_parallel.hazard.gaps import GapPredictor
from deepseek_parallel.sampling import Order
from deepseek_parallel.trainer.choice import Choice
from deepseek_parallel.trainer.data import Data
from deepseek_parallel.trainer.evaluation import EarlyStop, Evaluation, Measure
from deepseek_parallel.trainer.gradients import Named
from deepseek_parallel.trainer.precision import Precision
from deepseek_parallel.trainer.scheduling import Rates

if TYPE_CHECKING:
    from deepseek_parallel.checkpoint.checkpoints import Checkpoints


@attrs.frozen(kw_only=True, eq=False)
class Setup:
    """`params` are those of the optimizer, by name; `batch` is of a step, of all ranks.

    `choice` says how the model is divided over a mesh; None where each rank has all of it.
    """

    model: nn.Module
    optimizer: Optimizer
    params: list[Named]
    loss: Measure
    data: Data
    order: Order
    batch: int
    microbatch: int | None
    seed: int
    precision: Precision
    ratio: float | None
    clip: float | None
    rates: Rates
    evaluation: Evaluation | None = None
    early_stop: EarlyStop | None = None
    is_balanced: bool = False
    checkpoint: str | Checkpoints | None = None
    save_every: int | GapPredictor | None = None
    keep: int = 3
    choice: Choice | None = None
    clock: Callable[[], float] = time.perf_counter

    def num_pieces(self, count: int, ranks: int) -> int:
        """Microbatches of a step of `count` samples."""
        return ranks if self.microbatch is None else -(-count // self.microbatch)
