"""Step `finetune`: trains a model on, against its labels."""

from __future__ import annotations

from typing import Any

from deepseek_compress.steps.training import (
    objective_of,
    plan_of,
    profile,
    resolved,
    run_of,
    training_samples,
)
from deepseek_compress.train.fit import fit
from deepseek_compress.train.options import FitOptions
from deepseek_core import compression

NAME = "finetune"


class Finetune(compression.ModelCompressor):
    """Recovers what another step has cost, by more training on the same data."""

    def __init__(self, **options: Any) -> None:
        self._options = FitOptions(**options)

    def plan(self, model: Any, context: compression.StepContext) -> compression.StepPlan:
        """Resolve what the machine decides; the model keeps its size."""
        choices, why = resolved(self._options, context)
        return plan_of(NAME, model, context, choices, why)

    def apply(
        self, model: Any, plan: compression.StepPlan, context: compression.StepContext
    ) -> compression.StepResult:
        """Train a copy.

        Raises:
            TrainingDiverged: twice, the second time at a lower learning rate.
            InputError: data and model do not fit each other.
        """
        options = FitOptions(**plan.choices)
        samples = training_samples(context, NAME)
        found = fit(model, samples, objective_of(context, options), options, run_of(NAME, context))
        return compression.StepResult(
            model=found.model,
            profile=profile(found.model, context),
            figures=found.figures,
            notes=found.notes,
        )
