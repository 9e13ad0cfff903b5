"""What is evaluated, and when that ends a training early."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from torch import nn

from deepseek_core import errors
from deepseek_parallel.trainer.checks import check_whole
from deepseek_parallel.trainer.data import Data, data_of

Measure = Callable[[nn.Module, Any], Any]


def _data(given: Any) -> Data:
    return data_of(given, "the data to evaluate")


@attrs.frozen(kw_only=True, eq=False)
class Evaluation:
    """What to measure on which data: each `every` steps, or after each epoch.

    A metric is a function of (model, batch), as the loss is: it gives the mean over the items of
    the batch, or (sum, count). The loss is measured as "loss". `batch` is how many samples are
    computed at once: by default a microbatch of the training.

    Raises:
        ConfigError: numbers that can't be, a metric that is none, or data that has no length.
        InputError: data without samples.
    """

    data: Any = attrs.field(converter=_data)
    every: int | None = None
    metrics: Mapping[str, Measure] = attrs.field(factory=dict)
    batch: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("every", "batch"):
            if getattr(self, name) is not None:
                check_whole(f"{name} of the evaluation", getattr(self, name))
        for name, metric in self.metrics.items():
            if not callable(metric) or name == "loss":
                raise errors.ConfigError(
                    f"the metric {name} is {metric!r}",
                    remedy="give a function of (model, batch) under a name that is not loss",
                )


@attrs.frozen(kw_only=True)
class EarlyStop:
    """End when `metric` has not fallen by more than `least` in `patience` evaluations.

    With `mode="max"`, when it has not risen.

    Raises:
        ConfigError: a patience below 1, or another mode.
    """

    patience: int = 3
    metric: str = "loss"
    least: float = 0.0
    mode: str = "min"

    def __attrs_post_init__(self) -> None:
        check_whole("patience", self.patience)
        if self.mode not in ("min", "max"):
            raise errors.ConfigError(f"mode is {self.mode!r}", remedy='give "min" or "max"')

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a value is better than the best so far; NaN never is."""
        if math.isnan(value):
            return False
        if best is None:
            return True
        gain = value - best if self.mode == "max" else best - value
        return gain > self.least
