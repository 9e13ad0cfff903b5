"""Step `recover_bn`: takes the statistics of batch normalizations again."""

from __future__ import annotations

from typing import Any

import attrs

from deepseek_compress.steps.training import plan_of, profile, run_of, training_samples
from deepseek_compress.train.batchnorm import normalizations, recover_bn
from deepseek_compress.train.options import RecoverOptions
from deepseek_core import compression

NAME = "recover_bn"


class RecoverBn(compression.ModelCompressor):
    """Makes the statistics fit the channels that pruning has left; no weight is trained."""

    def __init__(self, **options: Any) -> None:
        self._options = RecoverOptions(**options)

    def plan(self, model: Any, context: compression.StepContext) -> compression.StepPlan:
        """Say how many normalizations there are; the model keeps its size."""
        plan = plan_of(NAME, model, context, attrs.asdict(self._options))
        count = len(normalizations(model))
        note = f"{count} batch normalizations" if count else "no batch normalization: nothing to do"
        return attrs.evolve(plan, notes=(note,))

    def apply(
        self, model: Any, plan: compression.StepPlan, context: compression.StepContext
    ) -> compression.StepResult:
        """Take the statistics of a copy again.

        Raises:
            InputError: data and model do not fit each other.
        """
        options = RecoverOptions(**plan.choices)
        samples = training_samples(context, NAME)
        found, count = recover_bn(model, samples, options, run_of(NAME, context))
        return compression.StepResult(
            model=found, profile=profile(found, context), figures={"normalizations": float(count)}
        )
