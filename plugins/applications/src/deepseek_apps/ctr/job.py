"""`Ctr`: click prediction as an application of the SDK."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.ctr.data.parts import Parts, parts_of
from deepseek_apps.ctr.data.preparing import Data, load_data, read_data, write_data
from deepseek_apps.ctr.fitted import is_trained, read_stack
from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.table import Inputs, Ints
from deepseek_apps.shared.splits import folds
from deepseek_core import Artifact, applications, errors

_CHECKED: Final = 600
"""Rows on which an exported file is compared with the model."""


class Ctr(applications.Application):
    """Predicts clicks: models of feature crosses and trees, stacked and calibrated.

    Legend:
        `options`: what the job is.
    """

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)

    def prepare(
        self, source: Path, context: applications.ApplicationContext
    ) -> applications.DataCard:
        """Read a CSV file, split its rows, and write them."""
        data, card = read_data(source, self.options)
        context.data.mkdir(parents=True, exist_ok=True)
        write_data(data, context.data)
        return card

    def train(self, seed: int, context: applications.ApplicationContext) -> None:
        """Train all models of the stack; done at once where it is done."""
        from deepseek_apps.ctr.training import Job, train_stack

        folder = context.seed(seed)
        if is_trained(folder):
            return
        data, parts = self.loaded(context)
        folder.mkdir(parents=True, exist_ok=True)
        job = Job(
            folder=folder, seed=seed, parts=parts, folds=self.folds_of(data, seed),
            options=self.options, context=context,
        )  # fmt: skip
        train_stack(job)

    def evaluate(
        self, seeds: Sequence[int], context: applications.ApplicationContext
    ) -> applications.Evaluation:
        """Ours, its models alone, and the baselines on the test part."""
        from deepseek_apps.ctr.evaluating import evaluation_of

        data, parts = self.loaded(context)
        stacks = {seed: self._stack(seed, parts, context) for seed in seeds}
        context.progress(0, 1, "baselines")
        return evaluation_of(parts, stacks, self.folds_of(data, min(seeds)), self.options)

    def export(
        self, seed: int, target: Path, context: applications.ApplicationContext
    ) -> Sequence[Artifact]:
        """One ONNX file, checked on rows of the test part with holes and unknown categories."""
        from deepseek_apps.ctr.export.model import FILE, export_stack

        _, parts = self.loaded(context)
        stack = self._stack(seed, parts, context)
        path = export_stack(stack, target / FILE, with_holes(parts.test.inputs))
        return [Artifact(format="onnx", path=path)]

    def run(
        self, target: Path, inputs: Sequence[Path], session: Any
    ) -> Iterable[Mapping[str, Any]]:
        """The probability of each row of CSV files."""
        from deepseek_apps.ctr.export.answering import answers

        for source in inputs:
            yield from answers(target, source, self.options, session)

    def loaded(self, context: applications.ApplicationContext) -> tuple[Data, Parts]:
        """The data that were prepared, and their parts."""
        data = load_data(context.data)
        hashed = context.card.split_hash if context.card else ""
        return data, parts_of(data, self.options, hashed)

    def folds_of(self, data: Data, seed: int) -> Ints:
        """The fold of each row of the training part."""
        rows = data.rows_of("train")
        kinds = data.table.target[rows].tolist()
        found = np.zeros(len(rows), np.int64)
        ids = [data.ids[row] for row in rows]
        for number, held in enumerate(folds(ids, self.options.folds, seed=seed, classes=kinds)):
            found[list(held)] = number
        return found

    def _stack(self, seed: int, parts: Parts, context: applications.ApplicationContext) -> Any:
        stack = read_stack(context.seed(seed))
        if stack.split_hash != parts.split_hash or stack.features != parts.features:
            raise errors.ArtifactError(
                f"seed {seed} was trained on another split or with other features than those of "
                f"{context.data}",
                remedy="train it again, or prepare the data as they were",
            )
        return stack


def with_holes(inputs: Inputs) -> Inputs:
    """Some of these rows, a third with NaN and a third with categories that nobody has seen."""
    rows = inputs.take(np.arange(min(len(inputs), _CHECKED)))
    numbers, categories = rows.numbers.copy(), rows.categories.astype(object)
    numbers[::3] = np.nan
    categories[1::3] = "\N{REPLACEMENT CHARACTER} never seen"
    return attrs.evolve(rows, numbers=numbers, categories=categories.astype(np.str_))
