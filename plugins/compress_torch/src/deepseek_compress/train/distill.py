"""Trains a student with a teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch

from deepseek_compress.modules import call, copied, evaluating
from deepseek_compress.train.batches import as_tensors
from deepseek_compress.train.distillation import Distillation, matching, teacher_scores
from deepseek_compress.train.features import Features, Taps, pairs_of
from deepseek_compress.train.fit import FitResult, fit
from deepseek_compress.train.objectives import UserLoss
from deepseek_compress.train.options import DistillOptions
from deepseek_compress.train.run import Run
from deepseek_compress.train.surroundings import fixed_threads, stopping_between_batches
from deepseek_core import compression


def distill(
    student: Any,
    teacher: Any,
    samples: compression.Samples,
    options: DistillOptions,
    run: Run,
    *,
    loss: Callable[[Any, Any], Any] | None = None,
) -> FitResult:
    """Train a copy of the student; the teacher only answers.

    `loss(outputs, labels)` stands for cross-entropy, if it is given. Where samples never change,
    the teacher is asked once for each and not in every epoch.

    Raises:
        TrainingDiverged: twice, the second time at a lower learning rate.
        InputError: data, student and teacher do not fit each other.
    """
    options = attrs.evolve(options, match=matching(options.match, samples)[0])
    asked = copied(teacher).requires_grad_(False)
    features = _features(student, asked, samples, options, run)
    kept = None
    # A held-out share would change the places of samples; then the teacher is asked each time.
    if features is None and not options.validation_share:
        with fixed_threads(run.threads), stopping_between_batches() as stop:
            kept = teacher_scores(asked, samples, options.batch_size, stop)
    own = None if loss is None else UserLoss(loss)
    objective = Distillation(asked, options, kept=kept, features=features, loss=own)
    return fit(student, samples, objective, options, run)


def _features(
    student: Any, teacher: Any, samples: compression.Samples, options: DistillOptions, run: Run
) -> Features | None:
    pairs = pairs_of(options.layers, student, teacher)
    if not pairs:
        return None
    features = Features(options.features, pairs)
    batch = next(iter(samples.batches(2)))
    with fixed_threads(run.threads), torch.no_grad():
        with evaluating(student), Taps(student, features.student_layers) as seen:
            call(student, as_tensors(batch, student).inputs)
        with evaluating(teacher), Taps(teacher, features.teacher_layers) as shown:
            call(teacher, as_tensors(batch, teacher).inputs)
    features.prepare(seen, shown, run.seed)
    return features
