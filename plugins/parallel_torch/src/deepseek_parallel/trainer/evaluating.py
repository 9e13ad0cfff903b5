"""Evaluation on all ranks: every sample once, whatever their number."""

from __future__ import annotations

import math

from deepseek_core import errors
from deepseek_parallel.trainer.evaluation import Evaluation, Measure
from deepseek_parallel.trainer.part import Part


def evaluated(wanted: Evaluation, loss: Measure, part: Part) -> dict[str, float]:
    """The loss and each metric over all samples; equal on all ranks.

    Raises:
        InputError: a measure that went over no item.
        RankFailed: another rank could not compute.
        RankLost: another rank does not answer.
    """
    measures = {"loss": loss, **wanted.metrics}
    told = part.measured(wanted, measures)
    return {name: _mean(name, [sums[name] for sums in told]) for name in measures}


def _mean(name: str, sums: list[tuple[float, float]]) -> float:
    count = math.fsum(count for _, count in sums)
    if not count:
        raise errors.InputError(
            f"{name} went over no item in the whole evaluation", remedy="see what it leaves out"
        )
    return math.fsum(total for total, _ in sums) / count
