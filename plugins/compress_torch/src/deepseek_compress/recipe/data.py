"""The samples that a recipe names: for training, for the verdict, for calibration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from deepseek_compress.entries import load_entry
from deepseek_compress.recipe.models import SourceModel
from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.samples.subsets import gathered, split
from deepseek_core import Artifact, compression, errors

if TYPE_CHECKING:
    from deepseek_compress.train.evaluate import Evaluation

_SEED: Final = 0
Evaluate = Callable[[Any, str], compression.Interval]
_Predictor = Callable[[Any, str], Any]


@attrs.frozen(kw_only=True, eq=False)
class Data:
    """Samples by their use; None where the recipe has none.

    `evaluate(model, form)` is the metric on the test samples, with its interval; `judge` is the
    same on validation samples, by which steps choose. `drop(model, form, file)` is by how many
    points a file is below a model, sample by sample; None where the metric does not judge samples
    one by one.
    """

    train: compression.Samples | None = None
    validation: compression.Samples | None = None
    test: compression.Samples | None = None
    calibration: compression.Samples | None = None
    evaluate: Evaluate | None = None
    judge: Evaluate | None = None
    drop: Callable[[Any, str, Artifact], compression.Interval | None] | None = None
    loss: Callable[..., Any] | None = None
    metric: Callable[..., Any] | None = None

    def functions(self) -> dict[str, Callable[..., Any] | None]:
        """What the user wrote to train and judge by."""
        return {"loss": self.loss, "metric": self.metric}

    def parts(self) -> dict[str, compression.Samples | None]:
        """All of them by name."""
        return {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "calibration": self.calibration,
        }


def load_data(
    source: compression.DataSource, folder: Path, model: SourceModel, threads: int
) -> Data:
    """The samples of a recipe that lies in `folder`, checked against the model's inputs.

    Raises:
        ConfigError: an entry that can't be imported.
        InputError: what it gave are no samples, or they do not fit the model.
    """
    found = {
        name: _samples(getattr(source, name), folder, model, f"data.{name}")
        for name in ("train", "validation", "test", "calibration")
    }
    if found["validation"] is None and found["train"] is not None and source.validation_share:
        parts = split(found["train"], source.validation_share, _SEED)
        found["train"], found["validation"] = parts
    if found["calibration"] is None and found["train"] is not None:
        found["calibration"] = drawn(found["train"], source.calibration_samples)
    metric = _function(source.metric, folder, "data.metric")
    test, validation = found["test"], found["validation"]
    predictor = partial(_predictor, source=model, threads=threads)
    return Data(
        **found,
        evaluate=None if test is None else _evaluator(test, metric, predictor),
        judge=None if validation is None else _evaluator(validation, metric, predictor),
        drop=None if test is None else _dropper(test, metric, predictor),
        loss=_function(source.loss, folder, "data.loss"),
        metric=metric,
    )


def _samples(
    text: str | None, folder: Path, model: SourceModel, where: str
) -> compression.Samples | None:
    if text is None:
        return None
    expected = Expected(inputs=model.inputs, where=where)
    if text.endswith(".npz"):
        return as_samples(folder / text, expected)
    return as_samples(load_entry(text, folder, where=where), expected)


def _function(text: str | None, folder: Path, where: str) -> Callable[..., Any] | None:
    if text is None:
        return None
    found = load_entry(text, folder, where=where)
    if isinstance(found, type):
        found = _instance(found, text, where)
    if not callable(found):
        raise errors.ConfigError(
            f"{where} {text} is a {type(found).__name__}",
            remedy="name a function: it is called with the model's outputs and the labels",
        )
    function: Callable[..., Any] = found
    return function


def _instance(kind: type, text: str, where: str) -> Any:
    try:
        return kind()
    except Exception as error:
        raise errors.ConfigError(
            f"{where} {text}, made without arguments: {type(error).__name__}: {error}",
            remedy="name a function, or an object that is made",
        ) from error


def drawn(samples: compression.Samples, count: int) -> compression.Samples:
    """So many of the samples, drawn by a fixed seed: the first ones may be of one class."""
    if count >= len(samples):
        return samples
    rows = np.random.default_rng(_SEED).permutation(len(samples))[:count]
    return gathered(samples).select(np.sort(rows))


def _evaluator(
    samples: compression.Samples, metric: Callable[..., Any] | None, predictor: _Predictor
) -> Evaluate:
    def evaluate(model: Any, form: str) -> compression.Interval:
        return _judged(predictor(model, form), samples, metric).score

    return evaluate


def _judged(
    predict: Any, samples: compression.Samples, metric: Callable[..., Any] | None
) -> Evaluation:
    from deepseek_compress.train.evaluate import accuracy, measure

    return accuracy(predict, samples) if metric is None else measure(predict, samples, metric)


def _dropper(
    samples: compression.Samples, metric: Callable[..., Any] | None, predictor: _Predictor
) -> Callable[[Any, str, Artifact], compression.Interval | None]:
    def drop(model: Any, form: str, file: Artifact) -> compression.Interval | None:
        from deepseek_compress.train.evaluate import difference

        first = _judged(predictor(model, form), samples, metric)
        second = _judged(predictor(file, "onnx"), samples, metric)
        if first.scores is None or second.scores is None:
            return None
        found = difference(second, first).interval
        return compression.Interval(
            value=found.value * 100, low=found.low * 100, high=found.high * 100, count=found.count
        )

    return drop


def _predictor(model: Any, form: str, *, source: SourceModel, threads: int) -> Any:
    """A function from inputs to outputs, nested as the recipe's own model nests them."""
    if form == "onnx":
        from deepseek_compress.train.onnx_files import onnx_predictor

        predict = onnx_predictor(model.read(), threads=threads)
        if source.form == "onnx":
            return predict
        from deepseek_compress.train.predictor import as_nested

        return as_nested(source.model, predict, threads=threads)
    from deepseek_compress.train.predictor import torch_predictor

    return torch_predictor(model, threads=threads)
