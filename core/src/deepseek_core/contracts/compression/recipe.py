"""Recipes: a model, data, steps, targets and a budget, as a table that a person writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from deepseek_core.contracts.compression.budget import Budget, refuse_unknown
from deepseek_core.contracts.compression.metric import Metric
from deepseek_core.contracts.errors import ConfigError, DeepSeekError
from deepseek_core.contracts.units import check_count

SCHEMA: Final = 1
_TABLES: Final = ("schema", "model", "data", "step", "lower", "budget", "run")
_MODEL: Final = ("entry", "path", "input", "inputs", "weights", "student")
_DATA: Final = (
    "train", "validation", "validation_share", "test", "calibration", "calibration_samples",
    "loss", "metric", "metric_unit", "threshold", "reference",
)  # fmt: skip
_RUN: Final = ("seed", "threads")
_MOST_SEED: Final = 2**32 - 1


@attrs.frozen(kw_only=True)
class ModelSource:
    """Where the model comes from: a function (`entry`) or a file (`path`); one of the two.

    `entry` is `package.module:function`, called without arguments, or with the recipe's `weights`
    file. `inputs` maps input names to shapes, the batch axis first. `student` is such a function,
    too: what it returns the steps begin with, and the model itself teaches and is compared with.
    """

    entry: str | None = None
    path: str | None = None
    weights: str | None = None
    student: str | None = None
    inputs: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class DataSource:
    """Functions (`package.module:function`) or files that give samples; each may be missing.

    Steps choose by `validation`, or by a `validation_share` of the training samples, which they do
    not train on; the verdict alone looks at `test`. `calibration_samples` is how many of the
    training samples calibrate, where no source of their own is given. `loss` and `metric` name
    functions; the defaults are cross-entropy and accuracy. `metric_unit` is what the metric is told
    in; without one it is a share. `threshold` names one that chooses, for each model on validation
    samples, what the metric holds its scores against. `reference` gives samples that each model is
    shown as well, for a metric that compares with them: the known pictures of a search.
    """

    train: str | None = None
    validation: str | None = None
    validation_share: float = 0.1
    test: str | None = None
    calibration: str | None = None
    calibration_samples: int = attrs.field(default=512, validator=check_count(1))
    loss: str | None = None
    metric: str | None = None
    metric_unit: str | None = None
    threshold: str | None = None
    reference: str | None = None

    @property
    def judged_by(self) -> Metric:
        """What models are judged by: the user's function of that name, or accuracy."""
        if self.metric is None:
            return Metric()
        return Metric(name=self.metric.rpartition(":")[2], unit=self.metric_unit)

    def __attrs_post_init__(self) -> None:
        for name in ("metric_unit", "reference"):
            if getattr(self, name) is not None and self.metric is None:
                raise ConfigError(
                    f"data.{name} is for a metric, and there is none",
                    remedy='add data.metric = "file.py:function"',
                )
        _ = self.judged_by  # refuses a unit that is none
        share = self.validation_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise ConfigError(
                f"data.validation_share must be a share from 0.0 to 0.9, got {share!r}",
                remedy="0.0 holds nothing out, 0.1 a tenth",
            )


@attrs.frozen(kw_only=True)
class RecipeStep:
    """One step: the compressor that it uses, and that one's options.

    `of` names the file that a target begins with: an earlier target, or `fp32`, the exported file.
    It is empty where nothing was said.
    """

    use: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    of: str = ""


@attrs.frozen(kw_only=True)
class RunSettings:
    """How a recipe runs: `threads` fixed, so that equal seeds give equal bytes."""

    seed: int = attrs.field(default=0, validator=check_count(0))
    threads: int = attrs.field(default=1, validator=check_count(1))

    def __attrs_post_init__(self) -> None:
        if self.seed > _MOST_SEED:
            raise ConfigError(f"run.seed must be 0 to {_MOST_SEED}, got {self.seed}")


@attrs.frozen(kw_only=True)
class Recipe:
    """A chain of steps, then one file for each target in `lower`, held against a budget."""

    model: ModelSource
    data: DataSource = attrs.field(factory=DataSource)
    steps: tuple[RecipeStep, ...] = ()
    lower: tuple[RecipeStep, ...] = ()
    budget: Budget = attrs.field(factory=Budget)
    run: RunSettings = attrs.field(factory=RunSettings)

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Recipe:
        """A recipe as TOML has it.

        Raises:
            ConfigError: a line for each key or value that does not fit; of a key that is unknown
                the nearest one.
        """
        faults: list[str] = []

        def tried(read: Any, *args: Any) -> Any:
            try:
                return read(*args)
            except DeepSeekError as error:
                faults.append(str(error))
                return None

        tried(lambda: refuse_unknown(table, _TABLES, where="the recipe"))
        tried(_check_schema, table.get("schema", SCHEMA))
        parts = {
            "model": tried(_model, table.get("model")),
            "data": (data := tried(_data, table.get("data", {}))),
            "steps": tried(_steps, table.get("step", ()), "step"),
            "lower": tried(_steps, table.get("lower", ()), "lower"),
            "budget": tried(Budget.parse, table.get("budget", {}), _metric(data)),
            "run": tried(_run, table.get("run", {})),
        }
        if faults:
            raise ConfigError("\n".join(faults))
        return cls(**parts)

    def to_table(self) -> dict[str, Any]:
        """A table as `parse` reads it, every default written out."""
        tables = {
            "schema": SCHEMA,
            "model": _given(self.model),
            "data": _given(self.data),
            "step": [_written(step) for step in self.steps],
            "lower": [_written(step) for step in self.lower],
            "budget": self.budget.to_table(),
            "run": _given(self.run),
        }
        return {name: value for name, value in tables.items() if value not in ({}, [])}


def _written(step: RecipeStep) -> dict[str, Any]:
    return {"use": step.use, **({"of": step.of} if step.of else {}), **step.options}


def _given(record: Any) -> dict[str, Any]:
    """The fields that say something, lists instead of tuples."""
    fields = attrs.asdict(record, recurse=False)
    if "inputs" in fields:
        fields["inputs"] = {name: list(shape) for name, shape in fields["inputs"].items()}
    return {name: value for name, value in fields.items() if value not in (None, {}, ())}


def _check_schema(schema: Any) -> None:
    if schema != SCHEMA:
        raise ConfigError(
            f"the recipe has schema {schema!r}; this version reads {SCHEMA}",
            remedy="update the SDK, or write the recipe again",
        )


def _table(value: Any, known: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{where} must be a table, got {value!r}", remedy=f"write it as [{where}]"
        )
    refuse_unknown(value, known, where=where)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where} must be a text in quotes, got {value!r}")
    return value


def _model(value: Any) -> ModelSource:
    if value is None:
        raise ConfigError(
            "the recipe has no model",
            remedy='add [model] with entry = "package.module:function" or path = "model.onnx"',
        )
    table = _table(value, _MODEL, "model")
    if ("entry" in table) == ("path" in table):
        raise ConfigError("model has either an entry or a path", remedy="give one of the two")
    if "input" in table and "inputs" in table:
        raise ConfigError("model has both input and inputs", remedy="give one of the two")
    if "student" in table and "entry" not in table:
        raise ConfigError(
            "model.student is a module to train, and the model is a file",
            remedy="give the model as an entry, too",
        )
    named = ("entry", "path", "weights", "student")
    texts = {k: _text(table[k], f"model.{k}") for k in named if k in table}
    return ModelSource(**texts, inputs=_shapes(table))


def _shapes(table: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes by name; a lone `input` is the input of a model that has one, named "input"."""
    given = table.get("inputs", {"input": table["input"]} if "input" in table else {})
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"model.inputs must be a table, got {given!r}", remedy="write { x = [1, 3, 224, 224] }"
        )
    return {name: _shape(shape, name) for name, shape in given.items()}


def _shape(shape: Any, name: str) -> tuple[int, ...]:
    whole = isinstance(shape, Sequence) and all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape
    )
    if not whole or not shape:
        raise ConfigError(
            f"the shape of model input {name!r} is {shape!r}",
            remedy="write whole numbers above 0, the batch first: [1, 3, 224, 224]",
        )
    return tuple(shape)


def _data(value: Any) -> DataSource:
    table = _table(value, _DATA, "data")
    numbers = {k: table[k] for k in ("calibration_samples", "validation_share") if k in table}
    texts = {key: _text(table[key], f"data.{key}") for key in table if key not in numbers}
    fields: dict[str, Any] = {**texts, **numbers}
    return DataSource(**fields)


def _metric(data: DataSource | None) -> Metric:
    return Metric() if data is None else data.judged_by


def _run(value: Any) -> RunSettings:
    return RunSettings(**_table(value, _RUN, "run"))


def _steps(value: Any, where: str) -> tuple[RecipeStep, ...]:
    if isinstance(value, Mapping | str) or not isinstance(value, Sequence):
        raise ConfigError(
            f"{where} must be tables, got {value!r}", remedy=f"write each as [[{where}]]"
        )
    return tuple(_step(item, f"{where}[{index}]") for index, item in enumerate(value))


def _step(item: Any, where: str) -> RecipeStep:
    if isinstance(item, str):
        return RecipeStep(use=item)
    if not isinstance(item, Mapping) or "use" not in item:
        raise ConfigError(
            f"{where} must name a step, got {item!r}", remedy='write { use = "prune", ... }'
        )
    own = ("use", "of") if where.startswith("lower") else ("use",)
    options = {key: value for key, value in item.items() if key not in own}
    of = _text(item["of"], f"{where}.of") if "of" in own and "of" in item else ""
    return RecipeStep(use=_text(item["use"], f"{where}.use"), options=options, of=of)
