"""Steps that make a model smaller: what they would do, and what they did to a copy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from deepseek_core.contracts.compression.budget import Budget
from deepseek_core.contracts.compression.interval import Interval
from deepseek_core.contracts.compression.metric import Metric
from deepseek_core.contracts.compression.samples import Samples
from deepseek_core.contracts.units import as_names, check_count


@attrs.frozen(kw_only=True)
class ModelProfile:
    """How large a model is; `macs` are multiply-accumulates for one sample, None if unknown."""

    parameters: int = attrs.field(validator=check_count(0))
    macs: int | None = None
    nbytes: int | None = None

    def to_json(self) -> dict[str, int | None]:
        """All fields by name."""
        return {"parameters": self.parameters, "macs": self.macs, "nbytes": self.nbytes}


@attrs.frozen(kw_only=True)
class StepPlan:
    """What a step would do: the model's profile before and after, and its `choices`.

    `choices` is all that `apply` and `reshape` need to know: values as JSON has them, so that a
    plan can be kept in a file and gone on from. `notes` are sentences for people.
    """

    step: str
    before: ModelProfile
    after: ModelProfile
    choices: Mapping[str, Any] = attrs.field(factory=dict)
    notes: tuple[str, ...] = attrs.field(default=(), converter=as_names)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as a file holds them."""
        return {
            "step": self.step,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "choices": dict(self.choices),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> StepPlan:
        """What `to_json` gave."""
        return cls(
            step=kept["step"],
            before=ModelProfile(**kept["before"]),
            after=ModelProfile(**kept["after"]),
            choices=kept["choices"],
            notes=kept["notes"],
        )


@attrs.frozen(kw_only=True, eq=False)
class StepResult:
    """What a step did: the new `model`, its profile, and what it `provided` for later steps.

    `provided` maps names of the record's `provides` to files in the workspace or plain values;
    `figures` are numbers for the report (`{"loss": 0.3}`), `notes` sentences for people, and
    `warnings` what they must know before they use the model.
    """

    model: Any
    profile: ModelProfile
    provided: Mapping[str, Any] = attrs.field(factory=dict)
    figures: Mapping[str, float] = attrs.field(factory=dict)
    notes: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    warnings: tuple[str, ...] = attrs.field(default=(), converter=as_names)


def _quiet(_done: int, _of: int, _text: str) -> None:
    """Report no progress."""


@attrs.frozen(kw_only=True, eq=False)
class StepContext:
    """What a step may use.

    `workspace` is the one folder that `apply` may write to. `inputs` are the shapes of the
    model's inputs by name, the batch first. `original` is the model that the recipe began with (a
    teacher). `evaluate` gives the `metric` (accuracy, or what the user wrote) of a model in the
    form that the step takes, on samples that it does not train on; `lead(one, other)` is by how
    much the one is ahead there, in points of a share, else in the metric's unit. `latency_s`
    predicts what a layer takes on the device of the budget: {"name", "in_channels",
    "out_channels"} -> seconds. `provided` is what earlier steps gave. Each may be None where the
    recipe has none; the record's `needs` say which a step can't do without.
    `progress(done, of, text)` may raise, to stop the step.
    """

    workspace: Path
    budget: Budget = attrs.field(factory=Budget)
    inputs: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    train: Samples | None = None
    calibration: Samples | None = None
    original: Any = None
    evaluate: Callable[[Any], float] | None = None
    lead: Callable[[Any, Any], Interval | None] | None = None
    metric: Metric = attrs.field(factory=Metric)
    latency_s: Callable[[Mapping[str, Any]], float] | None = None
    provided: Mapping[str, Any] = attrs.field(factory=dict)
    seed: int = 0
    threads: int = 1
    progress: Callable[[int, int, str], None] = _quiet


class ModelCompressor(ABC):
    """A step of a recipe; made with its options: `factory(**options)`.

    What a model is depends on the record's `takes`: a `torch.nn.Module` for `torch`, an
    `Artifact` for `onnx`. The model that is given is never changed.
    """

    @abstractmethod
    def plan(self, model: Any, context: StepContext) -> StepPlan:
        """What `apply` would do; changes neither the model nor a file. Equal calls, equal plans.

        Raises:
            InputError: a model that it can't treat; says which operation or layer, and why.
            DeepSeekError: the budget can't be met, or what it needs is not there.
        """

    @abstractmethod
    def apply(self, model: Any, plan: StepPlan, context: StepContext) -> StepResult:
        """Do what was planned, to a copy.

        Raises:
            InputError: the plan does not fit the model.
        """

    def reshape(self, model: Any, plan: StepPlan) -> Any:
        """A copy with the structure that `apply` leaves; its weights need not be right.

        Lets a run go on after this step from its weights alone. The model as it is by default.
        """
        return model

    def versions(self) -> Mapping[str, str]:
        """What decides its result besides its options: libraries by name; none by default.

        They are kept in the locked recipe; a run does not go on with others.
        """
        return {}
