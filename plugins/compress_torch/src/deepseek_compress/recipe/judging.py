"""Judges models on samples: by accuracy, or by the user's metric and threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core import compression, errors

if TYPE_CHECKING:
    from deepseek_compress.train.evaluate import Evaluation

Function = Callable[..., Any]
Formed = tuple[Any, str]  # a model, and the form that it has


@attrs.define(kw_only=True, eq=False)
class Judge:
    """A metric (None: accuracy), and what chooses its threshold for each model on `validation`.

    `told` is its name and unit. A metric may compare with `reference`. Outputs of files get the
    nesting of the module `nest`. What was found of the very first model, which is the original and
    never changes, is kept.
    """

    told: compression.Metric = attrs.field(factory=compression.Metric)
    metric: Function | None = None
    threshold: Function | None = None
    validation: compression.Samples | None = None
    reference: compression.Samples | None = None
    threads: int = 1
    nest: Any = None
    _first: tuple[Any, Any, Evaluation] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.threshold is None:
            return
        if self.metric is None:
            raise errors.ConfigError(
                "data.threshold is for a metric of your own, and there is none",
                remedy='add data.metric = "file.py:function"',
            )
        if self.validation is None:
            raise errors.ConfigError(
                "data.threshold is chosen on validation samples, and there are none",
                remedy='add data.validation = "file.py:function", or a validation_share',
            )

    def evaluation(self, model: Any, form: str, samples: compression.Samples) -> Evaluation:
        """How good a model of that form is on the samples.

        Raises:
            InputError: the model, the samples and the metric do not fit each other.
        """
        if self._first is not None and self._first[0] is model and self._first[1] is samples:
            return self._first[2]
        found = self._evaluation(self._predictor(model, form, samples), samples)
        if self._first is None:
            self._check_share(found)
            self._first = (model, samples, found)
        return found

    def _check_share(self, found: Evaluation) -> None:
        """Refuse a figure of the original that is no share, unless the recipe says what it is."""
        if self.told.is_share and not 0 <= found.score.value <= 1:
            raise errors.InputError(
                f"the metric {self.told.name} gives {found.score.value:g}, and one without a unit "
                "is a share: from 0 to 1",
                remedy='add data.metric_unit = "dB", or "1" where it is a plain number; of an '
                "error return its negative: higher is better",
            )

    def _evaluation(self, predict: Any, samples: compression.Samples) -> Evaluation:
        from deepseek_compress.train.evaluate import accuracy
        from deepseek_compress.train.own_metric import answers, choose_threshold, measure

        if self.metric is None:
            return accuracy(predict, samples)
        known = () if self.reference is None else answers(predict, self.reference)
        chosen = None
        if self.threshold is not None and self.validation is not None:
            chosen = choose_threshold(predict, self.validation, self.threshold, known=known)
        return measure(predict, samples, self.metric, known=known, threshold=chosen)

    def lead(
        self, one: Formed, other: Formed, samples: compression.Samples
    ) -> compression.Interval | None:
        """By how much the one is ahead of the other; None where that can't be compared."""
        from deepseek_compress.train.evaluate import difference

        ahead, behind = self.evaluation(*one, samples), self.evaluation(*other, samples)
        try:
            found = difference(behind, ahead).interval
        except errors.InputError:
            return None
        scale = self.told.per_unit
        return compression.Interval(
            value=found.value * scale,
            low=found.low * scale,
            high=found.high * scale,
            count=found.count,
        )

    def _predictor(self, model: Any, form: str, samples: compression.Samples) -> Any:
        if form == "onnx":
            from deepseek_compress.train.onnx_files import onnx_predictor

            predict = onnx_predictor(model.read(), threads=self.threads)
            if self.nest is None:
                return predict
            from deepseek_compress.train.predictor import as_nested

            return as_nested(self.nest, predict, threads=self.threads)
        from deepseek_compress.modules import copied
        from deepseek_compress.train.layout import laid_out
        from deepseek_compress.train.predictor import torch_predictor

        if next(model.parameters(), None) is None:  # nothing to lay out, as in a file as a module
            return torch_predictor(model, threads=self.threads)
        module = laid_out(copied(model), "auto", samples)[0]
        return torch_predictor(module, threads=self.threads)
