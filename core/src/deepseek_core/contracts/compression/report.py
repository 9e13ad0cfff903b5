"""The report of a compression: what was wanted, what each step did, what each file costs."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any, Final

import attrs

from deepseek_core.contracts.compression.budget import BudgetRow
from deepseek_core.contracts.compression.interval import Interval
from deepseek_core.contracts.compression.metric import Metric
from deepseek_core.contracts.compression.step import ModelProfile
from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.contracts.units import as_names

SCHEMA: Final = 1


@attrs.frozen(kw_only=True)
class StepRow:
    """What one step did to the model; accuracy where it was measured after the step.

    `warnings` are what is to be known before the model is used, `notes` the rest.
    """

    step: str
    profile: ModelProfile
    accuracy: Interval | None = None
    seconds: float | None = None
    figures: Mapping[str, float] = attrs.field(factory=dict)
    notes: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    warnings: tuple[str, ...] = attrs.field(default=(), converter=as_names)


@attrs.frozen(kw_only=True)
class Variant:
    """One file that came out, for one target.

    `int8_coverage` is the share of multiply-accumulates that run in integer arithmetic after the
    runtime's own optimization. `latency_s` was measured on `device`, `predicted_s` before it was
    made. `threshold` is what its scores are to be held against, chosen on validation samples.
    `shipped` says that this is the file to use on its target; `evidence` what a latency
    rests on: hardware, cpu-runtime, emulator or model. `warnings` are what is to be known before
    the file is used, `notes` the rest.
    """

    name: str
    file: str
    target: str
    nbytes: int
    accuracy: Interval | None = None
    int8_coverage: float | None = None
    device: str | None = None
    latency_s: float | None = None
    predicted_s: float | None = None
    evidence: str = ""
    threshold: float | None = None
    shipped: bool = False
    notes: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    warnings: tuple[str, ...] = attrs.field(default=(), converter=as_names)


@attrs.frozen(kw_only=True)
class CompressionReport:
    """All that a run has to say; `not_measured` says what it could not look at, and why.

    Where the budget does not hold, `closest` names the line that fails by most, and what would
    hold. `metric` is what stands under `accuracy` everywhere. `layers` has a row of
    plain figures for each layer (`name`, `channels_before`, `channels_after`, ...).
    """

    model: str
    verdict: tuple[BudgetRow, ...]
    steps: tuple[StepRow, ...]
    variants: tuple[Variant, ...]
    layers: tuple[Mapping[str, Any], ...] = ()
    closest: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    not_measured: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    machine: Mapping[str, Any] = attrs.field(factory=dict)
    versions: Mapping[str, str] = attrs.field(factory=dict)
    metric: Metric = attrs.field(factory=Metric)

    @property
    def holds(self) -> bool:
        """Whether every line of the budget was measured and holds."""
        return all(row.outcome == "holds" for row in self.verdict)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `report.json` holds them."""
        return {
            "schema": SCHEMA,
            "holds": self.holds,
            **attrs.asdict(self, value_serializer=_finite_or_null),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> CompressionReport:
        """What `to_json` gave.

        Raises:
            ArtifactError: it is of another schema, or lacks a part.
        """
        if kept.get("schema") != SCHEMA:
            raise ArtifactError(f"a report of schema {kept.get('schema')!r}; this reads {SCHEMA}")
        plain = ("model", "not_measured", "machine", "versions")
        try:
            return cls(
                verdict=tuple(BudgetRow(**row) for row in kept["verdict"]),
                steps=tuple(_step(row) for row in kept["steps"]),
                variants=tuple(_variant(row) for row in kept["variants"]),
                layers=tuple(kept["layers"]),
                closest=kept.get("closest", ()),  # later than the others
                metric=Metric(**kept.get("metric", {})),  # reports of 0.1 have none
                **{name: kept[name] for name in plain},
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"a report that lacks a part: {error}") from error


def _finite_or_null(_record: Any, _field: Any, value: Any) -> Any:
    """Turn a number that JSON lacks (NaN, infinity) into None."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _step(row: Mapping[str, Any]) -> StepRow:
    profile = ModelProfile(**row["profile"])
    return StepRow(**{**row, "profile": profile, "accuracy": _interval(row["accuracy"])})


def _variant(row: Mapping[str, Any]) -> Variant:
    return Variant(**{**row, "accuracy": _interval(row["accuracy"])})


def _interval(kept: Mapping[str, Any] | None) -> Interval | None:
    if kept is None:
        return None
    known = {name: value for name, value in kept.items() if value is not None}
    return Interval(**{"low": -inf, "high": inf, **known})
