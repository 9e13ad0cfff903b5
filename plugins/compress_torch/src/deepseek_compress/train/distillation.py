"""Learning from a teacher: softened class scores or values, and what layers inside give.

Sources: Hinton, Vinyals and Dean 2015 (1503.02531); Romero 2015 (FitNets, 1412.6550); Zagoruyko
and Komodakis 2017 (attention transfer, 1612.03928).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from deepseek_compress.modules import call, evaluating
from deepseek_compress.samples.arrays import ArraySamples
from deepseek_compress.train.batches import TensorBatch, as_tensors
from deepseek_compress.train.features import Features, Taps
from deepseek_compress.train.objectives import Objective, Step, UserLoss, checked_labels
from deepseek_compress.train.options import DistillOptions, Match
from deepseek_compress.train.outputs import logits_of
from deepseek_compress.train.weights import weight_hash
from deepseek_core import compression, errors

_LOOKED_AT: Final = 256  # samples whose labels tell classes from values


class Distillation(Objective):
    """Cross-entropy and the distance to a teacher, weighed against each other.

    What is matched, classes or values, the options say: `auto` was resolved before.
    `_kept` are the teacher's scores for the samples in their order, where these never change;
    `_features` compares what layers give; `_loss` stands for cross-entropy.
    """

    def __init__(
        self,
        teacher: Any,
        options: DistillOptions,
        *,
        kept: Any = None,
        features: Features | None = None,
        loss: UserLoss | None = None,
    ) -> None:
        self._teacher, self._options = teacher, options
        self._kept, self._features, self._loss = kept, features, loss
        beside = "cross-entropy" if loss is None else loss.name
        self.name = f"distillation from {weight_hash(teacher)} and {beside}"

    def step(self, model: Any, batch: TensorBatch) -> Step:
        """See `Objective`.

        Raises:
            InputError: student and teacher do not give the same.
        """
        with Taps(model, self._names(student=True)) as seen:
            outputs = call(model, batch.inputs)
        logits = logits_of(outputs).float()
        with Taps(self._teacher, self._names(student=False)) as shown:
            wanted = self._scores(batch)
        options = self._options
        loss = options.alpha * self._distance(logits, wanted)
        hard = self._hard(outputs, logits, batch)
        if hard is not None:
            loss = loss + (1 - options.alpha) * hard.loss
        if self._features is not None:
            loss = loss + options.feature_weight * self._features.distance(seen, shown)
        return Step(loss) if hard is None else Step(loss, hard.logits, hard.labels)

    def _hard(self, outputs: Any, logits: Any, batch: TensorBatch) -> Step | None:
        """What labels say; None where the teacher alone does."""
        if batch.labels is None and self._options.alpha == 1:
            return None
        if self._loss is not None:
            return Step(self._loss.of(outputs, batch.labels))
        labels = checked_labels(batch.labels, logits)
        smoothing = self._options.label_smoothing
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        return Step(loss, logits.detach(), labels)

    def measured(self, model: Any, batch: TensorBatch) -> Step:
        """Right answers where there are labels, else the distance to the teacher."""
        outputs = call(model, batch.inputs)
        logits = logits_of(outputs).float()
        if self._loss is not None and batch.labels is not None:
            return Step(self._loss.of(outputs, batch.labels))
        if batch.labels is not None:
            return Step(torch.zeros(()), logits, checked_labels(batch.labels, logits))
        taught = self._scores(TensorBatch(inputs=batch.inputs, labels=None))
        return Step(self._distance(logits, taught))

    def parameters(self) -> Iterator[Any]:
        """Projections of features."""
        return iter(()) if self._features is None else self._features.parameters()

    def tensors(self) -> dict[str, Any]:
        """Projections of features by name."""
        return {} if self._features is None else self._features.tensors()

    def _distance(self, student: Any, teacher: Any) -> Any:
        if self._options.match == "classes":
            _check_classes(student)
        if student.shape != teacher.shape:
            raise errors.InputError(
                f"the student gives shape {list(student.shape)}, the teacher {list(teacher.shape)}",
                remedy="distill between models that give the same",
            )
        if self._options.match == "values":
            return functional.mse_loss(student, teacher)
        return softened_distance(student, teacher, self._options.temperature)

    def _names(self, *, student: bool) -> tuple[str, ...]:
        if self._features is None:
            return ()
        return self._features.student_layers if student else self._features.teacher_layers

    def _scores(self, batch: TensorBatch) -> Any:
        if self._kept is not None and batch.rows is not None:
            return self._kept[batch.rows]
        with evaluating(self._teacher):
            return logits_of(call(self._teacher, batch.inputs)).float()


def softened_distance(student: Any, teacher: Any, temperature: float) -> Any:
    """T^2 x KL(teacher || student) of scores [N, classes, ...], a mean over the samples.

    T^2 keeps its gradients as large as those of cross-entropy, whatever T is.
    """
    log_student = functional.log_softmax(student / temperature, dim=1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=1)
    each = (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1)
    return temperature**2 * each.mean()


def teacher_scores(
    teacher: Any, samples: compression.Samples, batch_size: int, stop: Any = lambda: None
) -> Any:
    """The teacher's scores for all samples in their order; None if samples may change.

    Raises:
        InputError: the teacher gives NaN or infinity.
    """
    if not isinstance(samples, ArraySamples):
        return None
    found = []
    with evaluating(teacher):
        for batch in samples.batches(batch_size):
            stop()
            found.append(logits_of(call(teacher, as_tensors(batch, teacher).inputs)).float())
    scores = torch.cat(found)
    if not bool(scores.isfinite().all()):
        raise errors.InputError(
            "the teacher gives NaN or infinity for samples of the training data",
            remedy="give a teacher whose weights are finite: model.weights",
        )
    return scores


def matching(wanted: Match, samples: compression.Samples | None) -> tuple[Match, str]:
    """`classes` or `values`, and a sentence that says why; "" where it is no news."""
    if wanted != "auto" or samples is None:
        return ("classes" if wanted == "auto" else wanted), ""
    labels = next(iter(samples.batches(_LOOKED_AT))).labels
    if labels is None or labels.dtype.kind != "f" or (labels == np.round(labels)).all():
        return "classes", ""
    return "values", "the teacher's outputs are matched as values: labels have fractions"


def _check_classes(student: Any) -> None:
    if student.ndim < 2 or student.shape[1] < 2:
        raise errors.InputError(
            f"the student gives shape {list(student.shape)}, and what is softened are scores of "
            "classes, [N, classes]",
            remedy='set match = "values", with data.loss of your own',
        )
