"""Judges models on samples: by accuracy, or by the user's metric and threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core import Artifact, compression, errors

if TYPE_CHECKING:
    from deepseek_compress.train.evaluate import Evaluation

Function = Callable[..., Any]


@attrs.frozen(kw_only=True, eq=False)
class Judge:
    """A metric (None: accuracy), and what chooses its threshold for each model on `validation`."""

    metric: Function | None = None
    threshold: Function | None = None
    validation: compression.Samples | None = None
    threads: int = 1

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
        from deepseek_compress.train.evaluate import accuracy
        from deepseek_compress.train.own_metric import choose_threshold, measure

        predict = _predictor(model, form, self.threads)
        if self.metric is None:
            return accuracy(predict, samples)
        chosen = None
        if self.threshold is not None and self.validation is not None:
            chosen = choose_threshold(predict, self.validation, self.threshold)
        return measure(predict, samples, self.metric, threshold=chosen)

    def drop(
        self, model: Any, form: str, file: Artifact, samples: compression.Samples
    ) -> compression.Interval | None:
        """By how many points a file is below a model; None where that can't be compared."""
        from deepseek_compress.train.evaluate import difference

        first = self.evaluation(model, form, samples)
        second = self.evaluation(file, "onnx", samples)
        try:
            found = difference(second, first).interval
        except errors.InputError:
            return None
        return compression.Interval(
            value=found.value * 100, low=found.low * 100, high=found.high * 100, count=found.count
        )


def _predictor(model: Any, form: str, threads: int) -> Any:
    if form == "onnx":
        from deepseek_compress.train.onnx_files import onnx_predictor

        return onnx_predictor(model.read(), threads=threads)
    from deepseek_compress.train.predictor import torch_predictor

    return torch_predictor(model, threads=threads)
