"""How good a model is on samples that it has not seen, with an interval.

A model is a function from inputs by name to its output: of modules and of files alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_compress.nesting import leaves, nested
from deepseek_compress.samples.labels import class_labels, counts_of, warn_of_one_class
from deepseek_compress.train.intervals import (
    Difference,
    Scores,
    bootstrap,
    bootstrap_mean,
    paired,
    wilson,
)
from deepseek_compress.train.outputs import logits_of
from deepseek_core import compression, errors

Predictor = Callable[[Mapping[str, npt.NDArray[Any]]], Any]
Metric = Callable[[Any, Any], Any]

_METRIC_DRAWS: Final = 200  # calls of a user's function


@attrs.frozen(kw_only=True, eq=False)
class Evaluation:
    """What a model reached: `score` by the metric of that name, higher is better.

    `scores` [N] has one for each sample, where the metric gives them.
    """

    metric: str
    score: compression.Interval
    scores: Scores | None = None
    notes: tuple[str, ...] = ()


def accuracy(
    predict: Predictor, samples: compression.Samples, *, batch_size: int = 256
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
    whole = bool(np.isin(scores, (0.0, 1.0)).all())
    score = wilson(float(scores.sum()), len(scores)) if whole else bootstrap_mean(scores)
    return Evaluation(metric="accuracy", score=score, scores=scores, notes=tuple(notes))


def measure(
    predict: Predictor, samples: compression.Samples, metric: Metric, *, batch_size: int = 256
) -> Evaluation:
    """What a function `(outputs, labels)` of the user's says, of all samples at once.

    It gives one number for the set, or one for each sample; higher is better.

    Raises:
        InputError: it raises, or gives something else.
    """
    outputs, labels = [], []
    for batch in samples.batches(batch_size):
        outputs.append(_by_sample(predict(batch.inputs), len(batch)))
        labels.append(batch.labels)
    every = _joined(outputs)
    asked = None if labels[0] is None else np.concatenate([np.asarray(part) for part in labels])
    name = getattr(metric, "__name__", type(metric).__name__)
    found = _called(metric, every, asked, name)
    if found.ndim == 1 and len(found) == len(samples):
        return Evaluation(metric=name, score=bootstrap_mean(found), scores=found)
    if found.size != 1:
        raise errors.InputError(
            f"the metric {name} gives shape {list(found.shape)} for {len(samples)} samples",
            remedy="return one number, or one for each sample",
        )

    def of_rows(rows: npt.NDArray[np.int64]) -> float:
        chosen = None if asked is None else asked[rows]
        return float(_called(metric, _taken(every, rows), chosen, name).reshape(()))

    return Evaluation(metric=name, score=bootstrap(of_rows, len(samples), draws=_METRIC_DRAWS))


def _called(metric: Metric, outputs: Any, labels: Any, name: str) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(metric(outputs, labels), dtype=np.float64)
    except Exception as error:
        raise errors.InputError(
            f"the metric {name} raised {type(error).__name__}: {error}",
            remedy="it is called with arrays: the model's outputs, and the labels",
        ) from error


def _by_sample(output: Any, count: int) -> Any:
    """An output whose every array counts the samples: a number of the batch is each one's."""
    arrays = [array for _, array in leaves(output)]
    return nested(output, [np.full(count, a) if np.ndim(a) == 0 else a for a in arrays])


def _joined(parts: list[Any]) -> Any:
    """Batches of one structure (array, tuple, mapping) end to end."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple | list):
        return tuple(_joined(list(column)) for column in zip(*parts, strict=True))
    return np.concatenate(parts)


def _taken(whole: Any, rows: npt.NDArray[np.int64]) -> Any:
    if isinstance(whole, Mapping):
        return {key: _taken(part, rows) for key, part in whole.items()}
    if isinstance(whole, tuple):
        return tuple(_taken(part, rows) for part in whole)
    return None if whole is None else whole[rows]


def difference(first: Evaluation, second: Evaluation) -> Difference:
    """How the second model differs from the first, on the same samples in the same order.

    Raises:
        InputError: they were not judged sample by sample, or on other samples.
    """
    if first.scores is None or second.scores is None or len(first.scores) != len(second.scores):
        raise errors.InputError(
            "the two were not judged on the same samples, one score for each",
            remedy="evaluate both on one data set, with a metric that scores each sample",
        )
    return paired(first.scores, second.scores)
