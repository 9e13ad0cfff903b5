"""Step `distill`: trains a model to say what the recipe's original says."""

from __future__ import annotations

from typing import Any

from deepseek_compress.modules import check_module
from deepseek_compress.steps.training import (
    loss_of,
    plan_of,
    profile,
    resolved,
    run_of,
    training_samples,
)
from deepseek_compress.train.distill import distill
from deepseek_compress.train.features import pairs_of
from deepseek_compress.train.options import DistillOptions
from deepseek_core import compression, errors

NAME = "distill"


class Distill(compression.ModelCompressor):
    """Recovers what another step has cost, with the original model as teacher."""

    def __init__(self, **options: Any) -> None:
        self._options = DistillOptions(**options)

    def plan(self, model: Any, context: compression.StepContext) -> compression.StepPlan:
        """Resolve what the machine decides, and look the layers up; the model keeps its size."""
        teacher = _teacher(context)
        pairs_of(self._options.layers, check_module(model), teacher)
        choices, why = resolved(self._options, context)
        return plan_of(NAME, model, context, choices, why)

    def apply(
        self, model: Any, plan: compression.StepPlan, context: compression.StepContext
    ) -> compression.StepResult:
        """Train a copy.

        Raises:
            TrainingDiverged: twice, the second time at a lower learning rate.
            InputError: data, model and teacher do not fit each other.
        """
        options = DistillOptions(**plan.choices)
        samples = training_samples(context, NAME)
        teacher, run = _teacher(context), run_of(NAME, context)
        found = distill(model, teacher, samples, options, run, loss=loss_of(context))
        return compression.StepResult(
            model=found.model,
            profile=profile(found.model, context),
            figures=found.figures,
            notes=found.notes,
        )


def _teacher(context: compression.StepContext) -> Any:
    if context.original is None:
        raise errors.InputError(
            "distill needs a teacher", remedy="begin the recipe with a trained model: model.entry"
        )
    return check_module(context.original)
