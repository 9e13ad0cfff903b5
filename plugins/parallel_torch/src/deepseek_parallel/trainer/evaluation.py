"""Evaluation on all ranks: every sample once, whatever their number; and when to stop early."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import nn

from deepseek_core import errors
from deepseek_parallel.errors import RankFailed
from deepseek_parallel.sampling import Order
from deepseek_parallel.trainer.checks import check_whole
from deepseek_parallel.trainer.data import Data, data_of, moved
from deepseek_parallel.trainer.losses import as_float, summed
from deepseek_parallel.trainer.pieces import cut, equal_shares, mine
from deepseek_parallel.trainer.precision import Precision
from deepseek_parallel.trainer.ranks import Ranks
from deepseek_parallel.trainer.reading import Reader
from deepseek_parallel.trainer.together import gathered

Measure = Callable[[nn.Module, Any], Any]


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

    data: Data = attrs.field(converter=lambda given: data_of(given, "the data to evaluate"))
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


def evaluated(
    wanted: Evaluation, model: nn.Module, loss: Measure, precision: Precision, ranks: Ranks,
    *, batch: int,
) -> dict[str, float]:  # fmt: skip
    """The loss and each metric over all samples; equal on all ranks.

    Raises:
        RankFailed: another rank could not compute.
        RankLost: another rank does not answer.
    """
    measures = {"loss": loss, **wanted.metrics}
    failure: Exception | None = None
    sums = {name: (0.0, 0.0) for name in measures}
    was_training = model.training
    model.eval()
    try:
        sums = _own_sums(wanted, model, measures, precision, ranks, batch)
    except Exception as error:  # noqa: BLE001 - of the user's code; the other ranks must hear of it
        failure = error
    finally:
        model.train(was_training)
    told = gathered((sums, None if failure is None else _said(failure)), ranks)
    if failure is not None:
        raise failure
    for rank, (_, said) in enumerate(told):
        if said is not None:
            raise RankFailed(
                f"rank {rank} failed in the evaluation: {said}",
                rank=rank,
                remedy="see the log of that rank",
            )
    return {name: _mean(name, [own[name] for own, _ in told]) for name in measures}


def _own_sums(
    wanted: Evaluation, model: nn.Module, measures: Mapping[str, Measure], precision: Precision,
    ranks: Ranks, batch: int,
) -> dict[str, tuple[float, float]]:  # fmt: skip
    length = wanted.data.length
    pieces = cut(0, length, -(-length // (wanted.batch or batch)))
    own = mine(pieces, equal_shares(len(pieces), ranks.size), ranks.rank)
    reader = Reader(wanted.data, Order(length, shuffle=False), 0)
    sums = {name: (0.0, 0.0) for name in measures}
    try:
        with torch.no_grad():
            for number, piece in enumerate(own):
                reader.prepare(own[number : number + 1 + 2 * wanted.data.workers])
                given = moved(reader.read(piece), precision.device)
                with precision.context():
                    for name, measure in measures.items():
                        total, count = summed(measure(model, given), piece.count)
                        before = sums[name]
                        sums[name] = before[0] + as_float(total), before[1] + as_float(count)
    finally:
        reader.close()
    return sums


def _mean(name: str, sums: list[tuple[float, float]]) -> float:
    count = math.fsum(count for _, count in sums)
    if not count:
        raise errors.InputError(
            f"{name} went over no item in the whole evaluation", remedy="see what it leaves out"
        )
    return math.fsum(total for total, _ in sums) / count


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
