"""What the steps that train have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from deepseek_compress.modules import check_module
from deepseek_compress.profile import parameters_of, profile_with
from deepseek_compress.train import precision
from deepseek_compress.train.batches import as_tensors
from deepseek_compress.train.distillation import matching
from deepseek_compress.train.objectives import CrossEntropy, Objective, UserLoss
from deepseek_compress.train.options import DistillOptions, FitOptions
from deepseek_compress.train.run import Run
from deepseek_core import compression, errors

CHECKPOINT = "training.checkpoint"


def training_samples(context: compression.StepContext, step: str) -> compression.Samples:
    """The training data of a recipe.

    Raises:
        InputError: it has none.
    """
    if context.train is None:
        raise errors.InputError(
            f"{step} needs training data", remedy='add data.train = "package.module:function"'
        )
    return context.train


def profile(model: Any, context: compression.StepContext) -> compression.ModelProfile:
    """Size of a model; its operations where there are samples to run it on."""
    samples = context.train or context.calibration
    if samples is None:
        return compression.ModelProfile(parameters=parameters_of(model))
    one = next(iter(samples.batches(1)))
    return profile_with(model, as_tensors(one, model).inputs)


def plan_of(
    step: str,
    model: Any,
    context: compression.StepContext,
    choices: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> compression.StepPlan:
    """A plan that leaves the model as large as it is; empty notes are none."""
    size = profile(check_module(model), context)
    notes = tuple(filter(None, notes))
    return compression.StepPlan(step=step, before=size, after=size, choices=choices, notes=notes)


def resolved(
    options: FitOptions, context: compression.StepContext
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Options as a plan keeps them: what machine and data decide among them, and why."""
    arithmetic, why = precision.resolved(options.precision)
    found: dict[str, Any] = attrs.asdict(attrs.evolve(options, precision=arithmetic))
    if "layers" in found:
        found["layers"] = list(found["layers"])  # as it is read back
    if not isinstance(options, DistillOptions) or not options.has_teacher:
        return found, (why,)
    match, seen = matching(options.match, context.train)
    return found | {"match": match}, (why, seen)


def run_of(step: str, context: compression.StepContext) -> Run:
    """Where and how the training of a step runs."""
    return Run(
        step=step,
        seed=context.seed,
        threads=context.threads,
        checkpoint=context.workspace / CHECKPOINT,
        progress=context.progress,
    )


def loss_of(context: compression.StepContext) -> Callable[[Any, Any], Any] | None:
    """The user's loss, if the recipe names one."""
    loss = context.provided.get("loss")
    return loss if callable(loss) else None


def objective_of(context: compression.StepContext, options: FitOptions) -> Objective:
    """The user's loss, else cross-entropy."""
    loss = loss_of(context)
    return CrossEntropy(options.label_smoothing) if loss is None else UserLoss(loss)
