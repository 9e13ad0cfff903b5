"""Metrics of the user's own, and thresholds that they hold scores against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_compress.nesting import leaves, nested
from deepseek_compress.train.evaluate import BATCH, METRIC_DRAWS, Evaluation, Predictor, mean_score
from deepseek_compress.train.intervals import Rows, bootstrap
from deepseek_core import compression, errors

Function = Callable[..., Any]
Array = npt.NDArray[Any]


def measure(
    predict: Predictor,
    samples: compression.Samples,
    metric: Function,
    *,
    known: tuple[Any, ...] = (),
    threshold: float | None = None,
    batch_size: int = BATCH,
) -> Evaluation:
    """What a function `(outputs, labels)` of the user's says, of all samples at once.

    It gives one number for the set, or one for each sample; higher is better. Samples that are
    masked (`np.ma.array(hits, mask=labels == 0)`) do not count. `known` are the same
    model's outputs for reference samples, and their labels: two arguments more. A `threshold` is
    its last argument.

    Raises:
        InputError: it raises, or gives something else than finite numbers.
    """
    outputs, labels = answers(predict, samples, batch_size)
    more = known if threshold is None else (*known, threshold)
    asked = _Asked(metric=metric, more=more, outputs=outputs, labels=labels)
    found, count = asked.of_all(), len(samples)
    if found.ndim == 1 and len(found) == count:
        made = _of_each(found, asked)
    elif found.size == 1:
        if np.ma.is_masked(found):
            raise _all_masked(asked, count)
        _check_finite(found, asked)
        score = bootstrap(asked.of_rows, count, draws=METRIC_DRAWS)
        made = Evaluation(metric=asked.name, score=score, count=count, of_rows=asked.of_rows)
    else:
        raise errors.InputError(
            f"the metric {asked.name} gives shape {list(found.shape)} for {count} samples",
            remedy="return one number, or one for each sample",
        )
    return attrs.evolve(made, threshold=threshold)


def choose_threshold(
    predict: Predictor,
    samples: compression.Samples,
    choose: Function,
    *,
    known: tuple[Any, ...] = (),
    batch_size: int = BATCH,
) -> float:
    """The number that a function `(outputs, labels)` of the user's chooses for a model.

    `known` as in `measure`.

    Raises:
        InputError: it raises, or gives something else than a finite number.
    """
    outputs, labels = answers(predict, samples, batch_size)
    asked = _Asked(
        metric=choose, more=known, outputs=outputs, labels=labels, sort="threshold function"
    )
    found = asked.of_all()
    if found.size != 1 or np.ma.is_masked(found) or not np.isfinite(found).all():
        raise errors.InputError(
            f"the threshold function {asked.name} gives {found.tolist()}",
            remedy="return one finite number",
        )
    return float(found.reshape(()))


def answers(
    predict: Predictor, samples: compression.Samples, batch_size: int = BATCH
) -> tuple[Any, Any]:
    """A model's outputs for all samples, and their labels; None where there are none."""
    outputs, labels = [], []
    for batch in samples.batches(batch_size):
        outputs.append(_by_sample(predict(batch.inputs), len(batch)))
        labels.append(batch.labels)
    asked = None if labels[0] is None else np.concatenate([np.asarray(part) for part in labels])
    return _joined(outputs), asked


def _of_each(found: Any, asked: _Asked) -> Evaluation:
    """One score for each sample; what is masked does not count."""
    counted = None if not np.ma.isMaskedArray(found) else ~np.ma.getmaskarray(found)
    scores = np.ma.getdata(found)
    chosen = scores if counted is None else scores[counted]
    if not len(chosen):
        raise _all_masked(asked, len(scores))
    _check_finite(chosen, asked)
    return Evaluation(
        metric=asked.name,
        score=mean_score(chosen),
        count=len(scores),
        scores=scores,
        counted=counted,
        of_rows=lambda rows: _mean(scores, counted, rows),
    )


def _all_masked(asked: _Asked, count: int) -> errors.InputError:
    return errors.InputError(
        f"the metric {asked.name} masks all {count} samples",
        remedy="give samples that count, or mask fewer",
    )


def _mean(scores: Array, counted: Array | None, rows: Rows) -> float:
    chosen = rows if counted is None else rows[counted[rows]]
    return float(scores[chosen].mean()) if len(chosen) else float("nan")


def _check_finite(found: Array, asked: _Asked) -> None:
    broken = int((~np.isfinite(found)).sum())
    if broken:
        of = f"{broken} of {found.size} samples" if found.size > 1 else "the samples"
        raise errors.InputError(
            f"the metric {asked.name} gives NaN or infinity for {of}",
            remedy="mask samples that do not count: np.ma.array(hits, mask=labels == 0)",
        )


@attrs.frozen(kw_only=True, eq=False)
class _Asked:
    """A function of the user's with what it is asked about; `more` are further arguments."""

    metric: Function
    outputs: Any
    labels: Any
    more: tuple[Any, ...] = ()
    sort: str = "metric"

    @property
    def name(self) -> str:
        return getattr(self.metric, "__name__", type(self.metric).__name__)

    def of_all(self) -> Any:
        """What it gives for all samples, as float64; masked where it masks.

        It is given copies, as it may sort them in place.
        """
        labels = None if self.labels is None else self.labels.copy()
        found = self._numbers(self._called(_taken(self.outputs, None), labels))
        return found.astype(np.float64)

    def of_rows(self, rows: Rows) -> float:
        """What it gives for some samples; NaN where it raises or masks: of one class, perhaps."""
        labels = None if self.labels is None else self.labels[rows]
        try:
            found = self.metric(_taken(self.outputs, rows), labels, *self.more)
            return float(np.ma.filled(np.ma.asarray(found, np.float64), np.nan).reshape(()))
        except Exception:  # noqa: BLE001 - it is the user's, and all samples at once went well
            return float("nan")

    def _called(self, outputs: Any, labels: Any) -> Any:
        try:
            return self.metric(outputs, labels, *self.more)
        except errors.DeepSeekError:
            raise
        except Exception as error:
            wanted = "the model's outputs, the labels"
            wanted += ", those of data.reference" if len(self.more) > 1 else ""
            wanted += ", the threshold" if len(self.more) % 2 else ""
            raise errors.InputError(
                f"the {self.sort} {self.name} raised {type(error).__name__}: {error}",
                remedy=f"correct it; it is called with {wanted}",
            ) from error

    def _numbers(self, found: Any) -> Any:
        try:
            array = np.ma.asanyarray(found) if np.ma.isMaskedArray(found) else np.asarray(found)
        except Exception as error:
            raise self._no_number(found) from error
        if array.dtype.kind not in "biuf":
            raise self._no_number(found)
        return array

    def _no_number(self, found: Any) -> errors.InputError:
        return errors.InputError(
            f"the {self.sort} {self.name} gives a {type(found).__name__}, no number",
            remedy="return a number; higher is better"
            if self.sort == "metric"
            else "return a number",
        )


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


def _taken(whole: Any, rows: Rows | None) -> Any:
    """Copies of some rows, or of all."""
    if isinstance(whole, Mapping):
        return {key: _taken(part, rows) for key, part in whole.items()}
    if isinstance(whole, tuple):
        return tuple(_taken(part, rows) for part in whole)
    if whole is None:
        return None
    return whole.copy() if rows is None else whole[rows]
