"""All that a recipe names, loaded and checked: its model, its data, its steps."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import numpy as np

from deepseek_compress.recipe.chain import Chain, Link, chain_of
from deepseek_compress.recipe.data import Data, drawn, load_data
from deepseek_compress.recipe.models import SourceModel, load_model
from deepseek_compress.recipe.read import read_recipe
from deepseek_compress.recipe.seeded import seeded
from deepseek_compress.samples.example import example_inputs
from deepseek_core import Artifact, OpenedCompressor, compression, errors, open_compressor

if TYPE_CHECKING:
    from deepseek_compress.measure.model_latency import LatencyModel
    from deepseek_compress.train.evaluate import Evaluation

Progress = Callable[[int, int, str], None]
_TIMED_SAMPLES: Final = 32


def _quiet(_done: int, _of: int, _text: str) -> None:
    """Report no progress."""


@attrs.define(kw_only=True, eq=False, slots=False)
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
        seed = recipe.run.seed
        with seeded(seed, load_torch=recipe.model.entry is not None):
            source = load_model(recipe.model, folder)
        # Steps first: data may take long to load, and a wrong option is told at once.
        chain = chain_of(recipe, source.form, open_)
        with seeded(seed):
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
            inputs=self.source.inputs,
            train=self.data.train,
            calibration=self.data.calibration,
            original=self.source.model,
            evaluate=self._figure_of(spec.takes),
            lead=self._lead_of(spec.takes),
            metric=self.recipe.budget.metric,
            latency_s=None if self.recipe.budget.latency is None else self.latency_s,
            provided={**provided, **({"loss": self.data.loss} if self.data.loss else {})},
            seed=self.recipe.run.seed,
            threads=self.recipe.run.threads,
            progress=lambda done, of, text: progress(done, of, f"{link.name}: {text}"),
        )

    def _figure_of(self, form: str) -> Callable[[Any], float] | None:
        judge = self.data.judge
        return None if judge is None else lambda model: judge(model, form).score.value

    def _lead_of(self, form: str) -> Callable[[Any, Any], compression.Interval | None] | None:
        lead = self.data.lead
        return None if lead is None else lambda one, other: lead((one, form), (other, form))

    def latency_s(self, layer: Mapping[str, Any]) -> float:
        """What a layer of so many channels takes on the device of the budget, predicted."""
        return self._latency_model(layer)

    @cached_property
    def _latency_model(self) -> LatencyModel:
        """Made when it is first asked: it measures the first model and single layers."""
        from deepseek_compress.measure.layer_models import float_layer, int8_layer
        from deepseek_compress.measure.layer_shapes import layer_shapes
        from deepseek_compress.measure.layer_table import LayerTable
        from deepseek_compress.measure.model_latency import LatencyModel

        budget = self.recipe.budget.latency
        assert budget is not None
        make = int8_layer if self.ships_int8 else float_layer
        table = self.resources.enter_context(LayerTable(budget, make))
        shapes = layer_shapes(self.source.start, self._one_batch(budget.batch))
        return LatencyModel.fitted(table, shapes, self._whole_s(budget))

    @property
    def ships_int8(self) -> bool:
        """Whether the file that is held to the budget, the first target's, runs in int8 here."""
        from deepseek_compress.steps.lower import LowerForOnnxRuntime

        targets = self.chain.targets
        return bool(targets) and isinstance(targets[0].step, LowerForOnnxRuntime)

    def _whole_s(self, budget: compression.LatencyBudget) -> float:
        """What the first model takes on the device as it would ship, at the budget's quantile."""
        from deepseek_compress.measure.latency import measure_latency

        with tempfile.TemporaryDirectory(prefix="ds-compress-") as folder:
            path = Path(folder) / "whole.onnx"
            self.export(self.source.start, path)
            if self.ships_int8:
                self._quantize(path)
            inputs = self.example(budget.batch)
            found = measure_latency({"whole": path}, budget, inputs, _quiet)
        return found["whole"].quantiles_s[budget.quantile]

    def _quantize(self, path: Path) -> None:
        """Make a file int8 with ranges of a few samples: they do not change what it takes."""
        from deepseek_compress.steps.lower import LowerForOnnxRuntime

        assert self.data.calibration is not None  # the target needs it
        samples = drawn(self.data.calibration, _TIMED_SAMPLES)
        context = compression.StepContext(workspace=path.parent, calibration=samples)
        step, floats = (
            LowerForOnnxRuntime(method="minmax", outliers="keep"),
            Artifact.from_path(path),
        )
        path.write_bytes(step.apply(floats, step.plan(floats, context), context).model.read())

    def _one_batch(self, batch: int) -> dict[str, Any]:
        import torch

        return {name: torch.as_tensor(a) for name, a in self.example(batch).items()}

    def evaluate(self, model: Any, form: str) -> Evaluation | None:
        """The metric on the test samples; None without any."""
        return None if self.data.evaluate is None else self.data.evaluate(model, form)

    def drop(self, artifact: Artifact) -> compression.Interval | None:
        """By how much a file is below the original on the same samples."""
        if self.data.drop is None:
            return None
        return self.data.drop((self.source.model, self.source.form), (artifact, "onnx"))

    def set_threads(self) -> None:
        """Fix the number of threads: with another one the same seeds give other bytes."""
        if self.source.form == "torch":
            import torch

            torch.set_num_threads(self.recipe.run.threads)

    def seed(self, number: int) -> None:
        """Begin step `number` from the recipe's seed alone, whatever ran before.

        Python's and numpy's random numbers too: a user's augmentation draws from them.
        """
        seed = self.recipe.run.seed * 1000 + number
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if self.source.form == "torch":
            import torch

            torch.manual_seed(seed)

    def check_outputs(self) -> None:
        """See that what the first model gives can be written to a file.

        Raises:
            InputError: the model can't run on its inputs, or gives something beside tensors.
        """
        if self.source.form != "torch":
            return
        from deepseek_compress.lower.export import check_outputs
        from deepseek_compress.modules import call, evaluating
        from deepseek_compress.train.batches import as_tensors

        model, inputs = self.source.start, self.example(2)
        with evaluating(model):
            try:
                given = as_tensors(compression.Batch(inputs=inputs), model).inputs
                check_outputs(call(model, given))
            except errors.InputError as error:
                if self._samples is None:
                    error.remedy = (
                        "add data.calibration: what the model eats is read off real samples, and "
                        "without any it was given noise"
                    )
                raise

    def export(self, model: Any, path: Path) -> None:
        """Write the float ONNX file of a module.

        Raises:
            InputError: torch can't export it; says which operation.
            WriteError: no space, or no permission.
        """
        from deepseek_compress.lower.export import export_onnx

        export_onnx(model, self.source.inputs, path, example=self.example(2))

    def example(self, count: int) -> dict[str, Any]:
        """So many samples to run the model on: real ones, or noise of the model's shapes."""
        return example_inputs(self._samples, self.source.inputs, count)

    @property
    def _samples(self) -> compression.Samples | None:
        """Any real ones."""
        return self.data.test or self.data.calibration or self.data.train

    def not_measured(self) -> tuple[str, ...]:
        """What a report can't say, and why."""
        found = []
        if self.data.test is None:
            found.append(f"{self.recipe.budget.metric.name}: the recipe has no data.test")
        if self.recipe.budget.latency is None:
            found.append("latency: the recipe has no budget.latency")
        return tuple(found)
