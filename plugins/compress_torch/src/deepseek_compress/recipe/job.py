"""All that a recipe names, loaded and checked: its model, its data, its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import attrs

from deepseek_compress.recipe.chain import Chain, Link, chain_of
from deepseek_compress.recipe.data import Data, load_data
from deepseek_compress.recipe.models import SourceModel, load_model
from deepseek_compress.recipe.read import read_recipe
from deepseek_core import OpenedCompressor, compression, open_compressor

Progress = Callable[[int, int, str], None]


@attrs.frozen(kw_only=True, eq=False)
class Job:
    """A recipe with its model, chain and data; `folder` is where the recipe lies.

    A context: sessions that its steps asked for close at its end (`resources`).
    """

    recipe: compression.Recipe
    folder: Path
    source: SourceModel
    chain: Chain
    data: Data
    resources: ExitStack = attrs.field(factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.resources.close()

    @classmethod
    def read(cls, path: Path, open_: Callable[..., OpenedCompressor] = open_compressor) -> Job:
        """Everything that the recipe in this file names; `open_` makes its steps.

        Raises:
            ConfigError: the recipe, an entry or a step does not fit.
            InputError: the model or the data is none.
        """
        recipe, folder = read_recipe(path), path.parent
        source = load_model(recipe.model, folder)
        # Steps first: data may take long to load, and a wrong option is told at once.
        chain = chain_of(recipe, source.form, open_)
        data = load_data(recipe.data, folder, source, recipe.run.threads)
        return cls(recipe=recipe, folder=folder, source=source, chain=chain, data=data)

    def context(
        self, folder: Path, link: Link, provided: Mapping[str, Any], progress: Progress
    ) -> compression.StepContext:
        """What a step is told."""
        spec = link.opened.spec
        return compression.StepContext(
            workspace=folder,
            budget=self.recipe.budget,
            train=self.data.train,
            calibration=self.data.calibration,
            original=self.source.model,
            evaluate=self._accuracy_of(spec.takes),
            latency_s=self._latency() if "latency" in spec.needs else None,
            provided={**provided, **({"loss": self.data.loss} if self.data.loss else {})},
            seed=self.recipe.run.seed,
            threads=self.recipe.run.threads,
            progress=progress,
        )

    def _accuracy_of(self, form: str) -> Callable[[Any], float] | None:
        evaluate = self.data.evaluate
        return None if evaluate is None else lambda model: evaluate(model, form).value

    def _latency(self) -> Callable[[Mapping[str, Any]], float]:
        from deepseek_compress.measure.layer_table import LayerTable

        assert self.recipe.budget.latency is not None
        return self.resources.enter_context(LayerTable(self.recipe.budget.latency))

    def evaluate(self, model: Any, form: str) -> compression.Interval | None:
        """Accuracy on the test samples; None without any."""
        return None if self.data.evaluate is None else self.data.evaluate(model, form)

    def set_threads(self) -> None:
        """Fix the number of threads: with another one the same seeds give other bytes."""
        if self.source.form == "torch":
            import torch

            torch.set_num_threads(self.recipe.run.threads)

    def seed(self, number: int) -> None:
        """Begin step `number` from the recipe's seed alone, whatever ran before."""
        if self.source.form == "torch":
            import torch

            torch.manual_seed(self.recipe.run.seed * 1000 + number)

    def export(self, model: Any, path: Path) -> None:
        """Write the float ONNX file of a module.

        Raises:
            InputError: torch can't export it; says which operation.
            WriteError: no room, or no permission.
        """
        from deepseek_compress.lower.export import export_onnx

        export_onnx(model, self.source.inputs, path)

    def latency_inputs(self, batch: int) -> dict[str, Any]:
        """One batch to measure with: test samples, or noise of the model's shapes."""
        from deepseek_compress.measure.latency import synthetic_batch

        samples = self.data.test or self.data.calibration
        if samples is not None:
            first = next(iter(samples.batches(batch)))
            if len(first) == batch:
                return dict(first.inputs)
        return synthetic_batch(self.source.inputs, batch)

    def not_measured(self) -> tuple[str, ...]:
        """What a report can't say, and why."""
        found = []
        if self.data.test is None:
            found.append("accuracy: the recipe has no data.test")
        if self.recipe.budget.latency is None:
            found.append("latency: the recipe has no budget.latency")
        return tuple(found)
