"""The samples that a recipe names: for training, for the verdict, for calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from deepseek_compress.recipe.models import SourceModel
from deepseek_core import compression


@attrs.frozen(kw_only=True, eq=False)
class Data:
    """Samples by their use; None where the recipe has none.

    `evaluate(model, form)` is the accuracy on the test samples, with its interval.
    """

    train: compression.Samples | None
    test: compression.Samples | None
    calibration: compression.Samples | None
    evaluate: Callable[[Any, str], compression.Interval]

    def parts(self) -> dict[str, compression.Samples | None]:
        """All of them by name."""
        return {"train": self.train, "test": self.test, "calibration": self.calibration}


@attrs.frozen(kw_only=True, eq=False)
class Drawn:
    """So many samples of others, drawn by a fixed seed: the first ones may be of one class."""

    samples: compression.Samples
    count: int

    def __len__(self) -> int:
        return min(self.count, len(self.samples))

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        """The drawn samples, always the same ones in the same order."""
        left = len(self)
        for batch in self.samples.batches(size, seed=0):
            if left <= 0:
                return
            yield batch if len(batch) <= left else _cut(batch, left)
            left -= len(batch)


def _cut(batch: compression.Batch, count: int) -> compression.Batch:
    inputs = {name: array[:count] for name, array in batch.inputs.items()}
    labels = None if batch.labels is None else batch.labels[:count]
    return compression.Batch(inputs=inputs, labels=labels)


def load_data(source: compression.DataSource, folder: Path, model: SourceModel, batch: int) -> Data:
    """The samples of a recipe that lies in `folder`.

    Raises:
        ConfigError: an entry that can't be imported or called.
        InputError: what it gave are no samples, or they do not fit the model.
    """
    if source.train or source.test or source.calibration:
        raise NotImplementedError
    return Data(train=None, test=None, calibration=None, evaluate=_nothing)


def _nothing(_model: Any, _form: str) -> compression.Interval:
    raise NotImplementedError
