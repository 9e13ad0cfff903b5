"""The samples that a recipe names: for training, for the verdict, for calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import numpy as np

from deepseek_compress.recipe.judging import Formed, Judge
from deepseek_compress.recipe.models import SourceModel
from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.samples.subsets import chosen, split
from deepseek_core import compression, console, errors

if TYPE_CHECKING:
    from deepseek_compress.train.evaluate import Evaluation

_SEED: Final = 0
Evaluate = Callable[[Any, str], "Evaluation"]
Compare = Callable[[Formed, Formed], compression.Interval | None]


@attrs.frozen(kw_only=True, eq=False)
class Data:
    """Samples by their use; None where the recipe has none.

    `reference` are those that a metric compares with. `evaluate(model, form)` is the metric on the
    test samples, with its interval; `judge` is the same on validation samples, by which steps
    choose; a threshold is chosen on these in both. `drop(one, other)`, each a model and its form,
    is by how much the other is below the one on the test samples, and `lead` the same on
    validation samples: in points of a share, else in the metric's unit.
    """

    train: compression.Samples | None = None
    validation: compression.Samples | None = None
    test: compression.Samples | None = None
    calibration: compression.Samples | None = None
    reference: compression.Samples | None = None
    evaluate: Evaluate | None = None
    judge: Evaluate | None = None
    drop: Compare | None = None
    lead: Compare | None = None
    loss: Callable[..., Any] | None = None
    functions: Mapping[str, Callable[..., Any] | None] = attrs.field(factory=dict)
    """What the user wrote to train and judge by."""

    def parts(self) -> dict[str, compression.Samples | None]:
        """All of them by name."""
        return {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "calibration": self.calibration,
            "reference": self.reference,
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
        for name in ("train", "validation", "test", "calibration", "reference")
    }
    if found["validation"] is None and found["train"] is not None and source.validation_share:
        parts = split(found["train"], source.validation_share, _SEED)
        found["train"], found["validation"] = parts
    if found["calibration"] is None and found["train"] is not None:
        found["calibration"] = drawn(found["train"], source.calibration_samples)
    _check_dtypes(found)
    judge = Judge(
        told=source.judged_by,
        metric=_function(source.metric, folder, "data.metric"),
        threshold=_function(source.threshold, folder, "data.threshold"),
        validation=found["validation"],
        reference=found["reference"],
        threads=threads,
        nest=model.model if model.form == "torch" else None,
    )
    loss = _function(source.loss, folder, "data.loss")
    test, validation = found["test"], found["validation"]
    return Data(
        **found,
        evaluate=None if test is None else partial(judge.evaluation, samples=test),
        judge=None if validation is None else partial(judge.evaluation, samples=validation),
        drop=None if test is None else partial(judge.lead, samples=test),
        lead=None if validation is None else partial(judge.lead, samples=validation),
        loss=loss,
        functions={"loss": loss, "metric": judge.metric, "threshold": judge.threshold},
    )


def _check_dtypes(parts: Mapping[str, compression.Samples | None]) -> None:
    """Refuse whole numbers of one dtype in one data set and of another, or fractions, in the next.

    A file is made for one of them.

    Raises:
        InputError: names the two.
    """
    seen: dict[str, tuple[Any, str]] = {}
    for part, samples in parts.items():
        if samples is None:
            continue
        for name, array in next(iter(samples.batches(1))).inputs.items():
            dtype = "a float" if array.dtype.kind == "f" else array.dtype.name
            first, where = seen.setdefault(name, (dtype, part))
            if dtype != first:
                raise errors.InputError(
                    f"data.{part} gives input {name!r} as {dtype}, data.{where} as {first}",
                    remedy="give both as one dtype: x.astype(np.int64), or x.astype(np.float32)",
                )


def _samples(
    text: str | None, folder: Path, model: SourceModel, where: str
) -> compression.Samples | None:
    if text is None:
        return None
    expected = Expected(inputs=model.inputs, where=where)
    if text.endswith(".npz"):
        return as_samples(folder / text, expected)
    return as_samples(console.load_entry(text, folder, where=where), expected)


def _function(text: str | None, folder: Path, where: str) -> Callable[..., Any] | None:
    if text is None:
        return None
    found = console.load_entry(text, folder, where=where)
    if isinstance(found, type):
        found = _instance(found, text, where)
    if not callable(found):
        raise errors.ConfigError(
            f"{where} {text} is a {type(found).__name__}",
            remedy="name a function: it is called with the model's outputs and the labels",
        )
    return cast(Callable[..., Any], found)


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
    return chosen(samples, np.sort(rows))
