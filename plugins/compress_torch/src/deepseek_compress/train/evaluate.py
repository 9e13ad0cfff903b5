"""How good a model is on samples that it has not seen, with an interval.

A model is a function from inputs by name to its output: of modules and of files alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_compress.samples.labels import class_labels, counts_of, warn_of_one_class
from deepseek_compress.train.intervals import (
    Difference,
    Rows,
    Scores,
    bootstrap,
    bootstrap_mean,
    paired,
    wilson,
)
from deepseek_compress.train.outputs import logits_of
from deepseek_core import compression, errors

Predictor = Callable[[Mapping[str, npt.NDArray[Any]]], Any]

METRIC_DRAWS: Final = 200  # calls of a user's function
BATCH: Final = 32  # what layers hand on then stays in the cache; 256 took twice as long


@attrs.frozen(kw_only=True, eq=False)
class Evaluation:
    """What a model reached: `score` by the metric of that name, higher is better.

    `scores` [N] has one for each sample, where the metric gives them, and `counted` [N] says which
    of them count (None: all). `of_rows` is the metric of some of the `count` samples, NaN where it
    has no meaning. `threshold` is what the model's scores were held against.
    """

    metric: str
    score: compression.Interval
    count: int = 0
    scores: Scores | None = None
    counted: npt.NDArray[np.bool_] | None = None
    of_rows: Callable[[Rows], float] | None = None
    threshold: float | None = None
    notes: tuple[str, ...] = ()


def accuracy(
    predict: Predictor, samples: compression.Samples, *, batch_size: int = BATCH
) -> Evaluation:
    """The share of samples whose highest score is at their class (top-1).

    Of outputs [N, classes, ...] with positions, the mean share of positions of a sample.

    Raises:
        InputError: no classes, or labels that do not fit them.
    """
    scores, labels, broken = [], [], 0
    for batch in samples.batches(batch_size):
        logits = np.asarray(logits_of(predict(batch.inputs)))
        if logits.ndim < 2 or logits.shape[1] < 2 or len(logits) != len(batch):
            raise errors.InputError(
                f"the model gives shape {list(logits.shape)} for {len(batch)} samples, and "
                f"accuracy wants [{len(batch)}, classes]",
                remedy="name a metric of your own: data.metric",
            )
        wanted = class_labels(batch.labels, logits.shape[1], "the test data")
        answers = (len(batch), *logits.shape[2:])
        if wanted.size != math.prod(answers) or len(wanted) != len(batch):
            raise errors.InputError(
                f"labels have shape {list(wanted.shape)}, and the model's classes {list(answers)}",
                remedy="give one class for each sample, or for each of its positions",
            )
        wanted = wanted.reshape(answers)
        right = logits.argmax(axis=1) == wanted
        finite = np.isfinite(logits).all(axis=1)
        broken += int((~finite.reshape(len(batch), -1)).any(axis=1).sum())
        scores.append((right & finite).reshape(len(batch), -1).mean(axis=1))
        labels.append(wanted)
    return _judged(np.concatenate(scores), counts_of(labels), logits.shape[1], broken)


def _judged(scores: Scores, counts: npt.NDArray[np.int64], classes: int, broken: int) -> Evaluation:
    warn_of_one_class(counts, "the test data")
    missing = [c for c in range(classes) if c >= len(counts) or not counts[c]]
    notes = []
    if missing:
        notes.append(f"{len(missing)} of {classes} classes have no test sample: {missing[:8]}")
    if broken:
        notes.append(f"the model gave NaN or infinity for {broken} samples: they count as wrong")
    return Evaluation(
        metric="accuracy",
        score=mean_score(scores),
        count=len(scores),
        scores=scores,
        notes=tuple(notes),
    )


def mean_score(scores: Scores) -> compression.Interval:
    """The mean of one score for each sample; right or wrong (1 or 0) is a share."""
    if np.isin(scores, (0.0, 1.0)).all():
        return wilson(float(scores.sum()), len(scores))
    return bootstrap_mean(scores)


def difference(first: Evaluation, second: Evaluation) -> Difference:
    """How the second model differs from the first, on the same samples in the same order.

    Of metrics that do not judge sample by sample, both are taken of the same resampled sets.

    Raises:
        InputError: they were judged on other samples, or by metrics of two sorts.
    """
    if first.scores is not None and second.scores is not None and _alike(first, second):
        counted = slice(None) if first.counted is None else first.counted
        return paired(first.scores[counted], second.scores[counted])
    one, other = first.of_rows, second.of_rows
    if one is None or other is None or first.count != second.count:
        raise errors.InputError(
            "the two were not judged on the same samples, one score for each",
            remedy="evaluate both on one data set, with a metric that scores each sample",
        )
    found = bootstrap(lambda rows: other(rows) - one(rows), first.count, draws=METRIC_DRAWS)
    return Difference(interval=found)


def _alike(first: Evaluation, second: Evaluation) -> bool:
    """Whether the same samples count."""
    if first.counted is None or second.counted is None:
        return first.counted is second.counted and first.count == second.count
    return np.array_equal(first.counted, second.counted)
